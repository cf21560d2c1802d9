"""The codebook: every segment seen so far with its code, so that the model reads a segment once.

A code is a run of (symbol, window length) pairs. It is a pure function of the segment's bytes, so it does not matter
when, where or from what a codebook was filled. The inverse, code → segment, is the same kind of table: with the
window lengths a code names exactly one segment. The tokenizer's words (`words.py`) have such a table too, in which a
token is what a window is here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from kernels.byte_spans import ByteSpans, Codes
from kernels.compiled import compiled
from kernels.string_table import StringTable
from schemas.batches import Encoding

CODE_KEY_BYTES = 3
"""Bytes per window in the key of the inverse table: two of symbol, one of length."""


@compiled()
def _count_symbols(entries, code_offsets):
    """Symbols of the codes of all entries, int32 [m]."""
    total = 0
    for entry in entries:
        total += code_offsets[entry + 1] - code_offsets[entry]
    return total


@compiled()
def _join(
    entries, segment_offsets, code_offsets, code_symbols, code_window_bytes,
    symbols, symbol_offsets, window_ends, raw_ends, symbol_ends,
):  # fmt: skip
    """Write the codes of the entries end to end, with all ends counted within their documents."""
    n = 0
    for document in range(segment_offsets.size - 1):
        first, at = n, 0
        for i in range(segment_offsets[document], segment_offsets[document + 1]):
            for k in range(code_offsets[entries[i]], code_offsets[entries[i] + 1]):
                symbols[n] = code_symbols[k]
                at += code_window_bytes[k]
                window_ends[n] = at
                n += 1
            raw_ends[i] = at
            symbol_ends[i] = n - first
        symbol_offsets[document + 1] = n


@compiled()
def _code_keys(symbols, window_bytes, out):
    """Write CODE_KEY_BYTES bytes for each symbol, uint16 [k]: the symbol, little-endian, and its window's length."""
    for k in range(symbols.size):
        out[3 * k] = symbols[k] & 0xFF
        out[3 * k + 1] = symbols[k] >> 8
        out[3 * k + 2] = window_bytes[k]


def code_keys(codes: Codes) -> ByteSpans:
    """Codes as byte strings, CODE_KEY_BYTES for each symbol; symbols uint16, window lengths ≤ 255."""
    keys = np.empty(CODE_KEY_BYTES * codes.symbols.size, np.uint8)
    _code_keys(codes.symbols, codes.window_bytes, keys)
    return ByteSpans.from_ends(keys, CODE_KEY_BYTES * codes.ends)


class Codebook:
    """Segments in order of insertion, each with its code. Look-ups take no lock; insertions must be serialised."""

    def __init__(self, symbol_dtype: DTypeLike = np.uint16, length_dtype: DTypeLike = np.uint8) -> None:
        self.segments = StringTable()
        self._codes = (np.zeros(1, np.int64), np.empty(0, symbol_dtype), np.empty(0, length_dtype))

    def __len__(self) -> int:
        return len(self.segments)

    @property
    def memory_bytes(self) -> int:
        """Bytes held by all arrays."""
        return self.segments.memory_bytes + sum(array.nbytes for array in self._codes)

    def codes(self) -> Codes:
        """The codes of all entries, in their order."""
        offsets, symbols, window_bytes = self._codes
        n = len(self)
        return Codes(symbols[: offsets[n]], window_bytes[: offsets[n]], offsets[1 : n + 1])

    def find(self, segments: ByteSpans) -> tuple[np.ndarray, int]:
        """Entries int32 [n] of n segments, -1 for an unknown one, and how many are unknown."""
        return self.segments.find(segments)

    def insert(self, segments: ByteSpans, codes: Codes) -> None:
        """Add distinct segments that are not in the book, with their codes."""
        offsets, old_symbols, old_window_bytes = self._codes
        n = len(self)
        used = int(offsets[n])
        # Codes first: a segment that can be found must have its code in place.
        self._codes = (
            _extended(offsets, n + 1, used + codes.ends),
            _extended(old_symbols, used, codes.symbols),
            _extended(old_window_bytes, used, codes.window_bytes),
        )
        self.segments.insert(segments)

    def join(self, entries: np.ndarray, segment_offsets: np.ndarray) -> Encoding:
        """The encoding of documents whose segments are known, one after the other without gaps.

        entries: int32 [m], all known; segment_offsets: int64 [documents + 1].
        """
        offsets, code_symbols, code_window_bytes = self._codes
        n, m = _count_symbols(entries, offsets), entries.size
        encoding = Encoding(
            symbols=np.empty(n, code_symbols.dtype),
            symbol_offsets=np.zeros(segment_offsets.size, np.int64),
            raw_ends=np.empty(m, np.uint32),
            symbol_ends=np.empty(m, np.uint32),
            segment_offsets=segment_offsets,
            window_ends=np.empty(n, np.uint32),
        )
        _join(
            entries, segment_offsets, offsets, code_symbols, code_window_bytes, encoding.symbols,
            encoding.symbol_offsets, encoding.window_ends, encoding.raw_ends, encoding.symbol_ends,
        )  # fmt: skip
        return encoding

    def inverse(self) -> StringTable:
        """The table from code keys to entries. Two segments with one key would be a lost document: asserted."""
        codes, table = self.codes(), StringTable()
        keys = code_keys(codes)
        table.insert(keys)
        entries, _ = table.find(keys)
        assert np.array_equal(entries, np.arange(len(self))), "two segments share one code and its window lengths"
        return table

    def copy(self) -> Codebook:
        """A book with the same entries in the same order, which can grow on its own."""
        codes = self.codes()
        other = Codebook(codes.symbols.dtype, codes.window_bytes.dtype)
        other.insert(self.segments.strings(), codes)
        return other


def _extended(array: np.ndarray, used: int, more: np.ndarray) -> np.ndarray:
    """`array` with `more` behind its first `used` values: in place where there is room, else in a larger array."""
    if used + more.size > array.size:
        larger = np.empty(max(used + more.size, array.size + array.size // 2), array.dtype)
        larger[:used] = array[:used]
        array = larger
    array[used : used + more.size] = more
    return array
