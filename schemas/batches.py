"""Documents and their encodings as flat arrays: what compressors take and give.

Text is never a Python object here. n documents are one run of bytes and n + 1 offsets; an encoding is one
run of symbols, one run of segments, and two offset arrays that say which of them belong to which document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Documents:
    """n documents end to end."""

    raw: np.ndarray
    """uint8 [n_bytes]: the UTF-8 bytes of all documents."""
    offsets: np.ndarray
    """int64 [n + 1]: document i is raw[offsets[i]:offsets[i + 1]]."""

    @classmethod
    def from_bytes(cls, texts: Sequence[bytes]) -> Documents:
        """The documents of a list of byte strings."""
        return cls(raw=np.frombuffer(b"".join(texts), np.uint8), offsets=offsets_of([len(text) for text in texts]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def text(self, i: int) -> bytes:
        """The bytes of document i."""
        return self.raw[self.offsets[i] : self.offsets[i + 1]].tobytes()


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoding:
    """The compressed encoding of n documents. A segment is what a code was made for: likely bytes, a token, a text."""

    symbols: np.ndarray
    """uint8, uint16 or uint32 [n_symbols]."""
    symbol_offsets: np.ndarray
    """int64 [n + 1]: document i has symbols[symbol_offsets[i]:symbol_offsets[i + 1]]."""
    raw_ends: np.ndarray
    """uint32 [n_segments]: end of each segment in its document, in raw bytes."""
    symbol_ends: np.ndarray
    """uint32 [n_segments]: end of each segment in its document, in symbols."""
    segment_offsets: np.ndarray
    """int64 [n + 1]: document i has segments segment_offsets[i]:segment_offsets[i + 1]."""
    window_ends: np.ndarray | None = None
    """uint32 [n_symbols], neural only: end of each window in its document, in raw bytes."""

    def __len__(self) -> int:
        return len(self.symbol_offsets) - 1


def first_bytes(documents: Documents, limit_bytes: int) -> Documents:
    """The first documents, as many as begin within a limit; the last one is cut there. Over the same memory."""
    n = min(int(np.searchsorted(documents.offsets, limit_bytes)), len(documents))
    offsets = np.minimum(documents.offsets[: n + 1], limit_bytes)
    return Documents(raw=documents.raw[: offsets[-1]], offsets=offsets)


def offsets_of(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """int64 [n + 1]: where parts of these n lengths, end to end from 0, begin, and where the last one ends."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def lengths_within(ends: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Lengths int64 [m] from ends that count within each document; offsets int64 [documents + 1]."""
    lengths = np.diff(ends.astype(np.int64), prepend=0)
    heads = offsets[:-1][np.diff(offsets) > 0]
    lengths[heads] = ends[heads]
    return lengths
