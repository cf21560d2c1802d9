"""Codes of byte strings by the byte LM, and back.

distinct segments ──► intervals ──► windows: symbols, window lengths, where each segment's windows end
whole documents   ──► intervals given the aligned block before each byte ──► windows that end at segments
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kernels.byte_model import ByteModel
from kernels.byte_spans import ByteSpans, Codes
from kernels.prefix_coding import PrefixCoder
from kernels.window_coder import encode_windows
from pipeline.timing import attribute_time_to
from schemas.batches import Documents
from schemas.errors import VerificationError

BYTE_LM = "byte_lm"
"""The stage that counts the model's reading."""


class SegmentCoder:
    """The byte LM as a coder of strings. Safe to share between threads."""

    def __init__(
        self, model: ByteModel, *, forbidden: np.ndarray | None = None, window_bits: int, threads: int = 1
    ) -> None:
        """forbidden: bool [256, 256], pairs of bytes that are in no segment; see `kernels.prefix_coding`."""
        self.model, self.threads = model, threads
        self.block_bytes = model.config.attention_bytes
        """Length of the aligned blocks of a document that `block_codes` takes as contexts."""
        self._window_bits = window_bits
        self._prefixes = PrefixCoder(model, forbidden=forbidden, threads=threads, window_bits=window_bits)

    @property
    def prefixes_read(self) -> int:
        """Prefixes that the model has read so far."""
        return self._prefixes.prefixes_read

    def codes(self, strings: ByteSpans) -> Codes:
        """The codes of n strings, each a function of its own bytes."""
        first, last = self._prefixes.intervals(strings)
        symbols, window_ends, symbol_ends = encode_windows(
            first, last, np.cumsum(strings.lengths), window_bits=self._window_bits
        )
        return Codes(symbols, np.diff(window_ends, prepend=0), symbol_ends)

    def block_codes(self, documents: Documents, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Codes of the segments of whole documents, each byte given the aligned block of its document before it.

        ends: int64 [m], of the segments over all documents; every end of a block is one. Returns symbols uint16 [k],
        window_ends int64 [k] in bytes of the batch, and symbol_ends int64 [m].
        """
        blocks = block_ends(documents.offsets, self.block_bytes)
        if not blocks.size:
            return np.empty(0, np.uint16), blocks, blocks
        with attribute_time_to(BYTE_LM):
            first, last = self._prefixes.intervals(ByteSpans.from_ends(documents.raw, blocks))
        return encode_windows(first, last, ends, window_bits=self._window_bits)

    def decode(self, codes: Codes) -> np.ndarray:
        """The bytes uint8 of n strings from their codes, string by string, by the model alone.

        VerificationError where the model cannot have written a code.
        """
        raw, damaged = self._prefixes.decode(replace(codes, window_bytes=codes.window_bytes.astype(np.int64)))
        if damaged:
            raise VerificationError(
                f"{damaged} bytes have codes that this model cannot have written; the shard is damaged"
            )
        return raw


def block_ends(offsets: np.ndarray, block_bytes: int) -> np.ndarray:
    """Ends int64 of the aligned blocks of every document, over the batch; offsets int64 [documents + 1]."""
    lengths = np.diff(offsets)
    counts = -(-lengths // block_bytes)
    number = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    starts, stops = np.repeat(offsets[:-1], counts), np.repeat(offsets[1:], counts)
    return np.minimum(starts + (number + 1) * block_bytes, stops)
