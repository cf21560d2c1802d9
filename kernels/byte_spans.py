"""Byte strings and their codes as flat arrays, so that no string is a Python object.

data    i f   x : i f        strings "if", " x:", "if":  starts 0 2 5, ends 2 5 7
codes   17 | 4 90 | 17       symbols end to end, with the number of bytes each covers: 2, 2 1, 2; ends 1 3 4
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kernels.compiled import compiled
from schemas.batches import offsets_of


@dataclass(frozen=True, slots=True)
class ByteSpans:
    """n byte strings, in any order and possibly overlapping: string i is data[starts[i]:ends[i]]."""

    data: np.ndarray
    """uint8."""
    starts: np.ndarray
    """int64 [n]."""
    ends: np.ndarray
    """int64 [n]."""

    @classmethod
    def from_ends(cls, data: np.ndarray, ends: np.ndarray, *, start: int = 0) -> ByteSpans:
        """Strings that follow each other from `start` on; ends int64 [n], rising."""
        return cls(data, starts_of(ends, start=start), ends)

    @classmethod
    def from_offsets(cls, data: np.ndarray, offsets: np.ndarray) -> ByteSpans:
        """Strings that follow each other; offsets int64 [n + 1]."""
        return cls(data, offsets[:-1], offsets[1:])

    @classmethod
    def from_bytes(cls, strings: Sequence[bytes]) -> ByteSpans:
        """The strings of a list."""
        return cls.from_offsets(np.frombuffer(b"".join(strings), np.uint8), offsets_of(list(map(len, strings))))

    def __len__(self) -> int:
        return self.starts.size

    @property
    def lengths(self) -> np.ndarray:
        """int64 [n], in bytes."""
        return self.ends - self.starts

    def take(self, which: np.ndarray | slice) -> ByteSpans:
        """Some of the strings, of the same data; `which` indexes int64 [n] arrays: numbers, a mask or a slice."""
        return ByteSpans(self.data, self.starts[which], self.ends[which])

    def joined(self) -> np.ndarray:
        """The strings end to end, uint8 [sum of the lengths]."""
        out = np.empty(int(self.lengths.sum()), np.uint8)
        _join(self.data, self.starts, self.ends, out)
        return out

    def to_bytes(self) -> list[bytes]:
        """The strings as a list."""
        return [self.data[start:end].tobytes() for start, end in zip(self.starts, self.ends, strict=True)]


@dataclass(frozen=True, slots=True)
class Codes:
    """The codes of n byte strings, end to end: k symbols, each with the number of bytes that it covers."""

    symbols: np.ndarray
    """uint16 or uint32 [k]."""
    window_bytes: np.ndarray
    """Integer [k]: bytes of the window, or of the token, that each symbol covers."""
    ends: np.ndarray
    """int64 [n]: end of each string's code, in symbols."""

    def __len__(self) -> int:
        return self.ends.size

    def take(self, which: np.ndarray) -> Codes:
        """The codes of some of the strings, in their order here; which: bool [n]."""
        counts = np.diff(self.ends, prepend=0)
        kept = np.repeat(which, counts)
        return Codes(self.symbols[kept], self.window_bytes[kept], np.cumsum(counts[which]))


@compiled()
def _join(data, starts, ends, out):
    """Copy the strings data[starts[i]:ends[i]] end to end into out."""
    at = 0
    for i in range(starts.size):
        for t in range(starts[i], ends[i]):
            out[at] = data[t]
            at += 1


def starts_of(ends: np.ndarray, *, start: int = 0) -> np.ndarray:
    """int64 [n]: where parts begin that follow each other from `start` on and end at `ends`, int64 [n]."""
    return np.concatenate((np.full(min(1, ends.size), start, np.int64), ends[:-1]))


def span_indices(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Indices int64 of the concatenated ranges [starts[i], starts[i] + lengths[i]); both int64 [n]."""
    shift = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return shift + np.arange(int(lengths.sum()))


def merged_codes(groups: Sequence[tuple[np.ndarray, Codes]]) -> Codes:
    """The codes of n strings from those of groups of them: the numbers int64 [m] of a group's strings, and their codes.

    Every number in [0, n) is in exactly one group.
    """
    order = np.argsort(np.concatenate([numbers for numbers, _ in groups]), kind="stable")
    counts = np.concatenate([np.diff(codes.ends, prepend=0) for _, codes in groups])
    chosen = span_indices((np.cumsum(counts) - counts)[order], counts[order])
    return Codes(
        np.concatenate([codes.symbols for _, codes in groups])[chosen],
        np.concatenate([codes.window_bytes for _, codes in groups])[chosen],
        np.cumsum(counts[order]),
    )
