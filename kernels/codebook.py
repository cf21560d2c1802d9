"""The codebook: every segment seen so far with its code, so that the model reads a segment once.

A code is a run of (symbol, window length) pairs. It is a pure function of the segment's bytes, so it does not matter
when, where or from what a codebook was filled. The inverse, code → segment, is the same kind of table: with the
window lengths a code names exactly one segment. The tokenizer's words (`words.py`) have such a table too: there a
window is a token.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import DTypeLike

from kernels.string_table import StringTable

MAX_SEGMENT_BYTES = 255
"""Window lengths are kept as uint8, unless a codebook is told another type."""
CODE_KEY_BYTES = 3
"""Bytes per window in the key of the inverse table: two of symbol, one of length."""


@njit(cache=True, nogil=True)
def _count_symbols(entries, code_offsets):
    total = 0
    for entry in entries:
        total += code_offsets[entry + 1] - code_offsets[entry]
    return total


@njit(cache=True, nogil=True)
def _spell(entries, starts, code_offsets, code_symbols, code_window_bytes, symbols, window_ends, symbol_ends):
    n = 0
    for i in range(entries.size):
        at = starts[i]
        for k in range(code_offsets[entries[i]], code_offsets[entries[i] + 1]):
            symbols[n] = code_symbols[k]
            at += code_window_bytes[k]
            window_ends[n] = at
            n += 1
        symbol_ends[i] = n


@njit(cache=True, nogil=True)
def _code_keys(symbols, window_bytes, out):
    for k in range(symbols.size):
        out[3 * k] = symbols[k] & 0xFF
        out[3 * k + 1] = symbols[k] >> 8
        out[3 * k + 2] = window_bytes[k]


def code_keys(symbols: np.ndarray, window_bytes: np.ndarray) -> np.ndarray:
    """Codes as strings, uint8 [3 k], of symbols uint16 [k] and window lengths [k] ≤ 255."""
    out = np.empty(CODE_KEY_BYTES * symbols.size, np.uint8)
    _code_keys(symbols, window_bytes, out)
    return out


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

    def codes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """offsets int64 [len + 1], symbols and window lengths of all entries."""
        offsets, symbols, window_bytes = self._codes
        n = len(self)
        return offsets[: n + 1], symbols[: offsets[n]], window_bytes[: offsets[n]]

    def find(self, data: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, int]:
        """Entries int32 [n] of segments data[starts[i]:ends[i]], -1 for an unknown one, and how many are unknown."""
        return self.segments.find(data, starts, ends)

    def insert(
        self,
        data: np.ndarray,
        starts: np.ndarray,
        ends: np.ndarray,
        symbols: np.ndarray,
        window_bytes: np.ndarray,
        symbol_ends: np.ndarray,
    ) -> None:
        """Add distinct segments that are not in the book, with the codes that symbol_ends int64 [n] cuts apart."""
        offsets, old_symbols, old_window_bytes = self._codes
        n = len(self)
        used = int(offsets[n])
        # Codes first: a segment that can be found must have its code in place.
        self._codes = (
            _extended(offsets, n + 1, used + symbol_ends),
            _extended(old_symbols, used, symbols),
            _extended(old_window_bytes, used, window_bytes),
        )
        self.segments.insert(data, starts, ends)

    def spell(self, entries: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The codes of a run of segments.

        entries: int32 [m], all known; starts: int64 [m], where each segment begins. Returns symbols [k], window_ends
        int64 [k] (in bytes, same origin as starts) and symbol_ends int64 [m].
        """
        offsets, code_symbols, code_window_bytes = self._codes
        n = _count_symbols(entries, offsets)
        symbols, window_ends = np.empty(n, code_symbols.dtype), np.empty(n, np.int64)
        symbol_ends = np.empty(entries.size, np.int64)
        _spell(entries, starts, offsets, code_symbols, code_window_bytes, symbols, window_ends, symbol_ends)
        return symbols, window_ends, symbol_ends

    def inverse(self) -> StringTable:
        """The table from code keys to entries. Two segments with one key would be a lost document: asserted."""
        offsets, symbols, window_bytes = self.codes()
        keys = code_keys(symbols, window_bytes)
        starts, ends = CODE_KEY_BYTES * offsets[:-1], CODE_KEY_BYTES * offsets[1:]
        table = StringTable()
        table.insert(keys, starts, ends)
        found, _ = table.find(keys, starts, ends)
        assert np.array_equal(found, np.arange(len(self))), "two segments share one code and its window lengths"
        return table

    def copy(self) -> Codebook:
        """A book with the same entries in the same order, which can grow on its own."""
        offsets, symbols, window_bytes = self.codes()
        other = Codebook(symbols.dtype, window_bytes.dtype)
        data, ends = self.segments.strings()
        other.insert(data, ends[:-1], ends[1:], symbols, window_bytes, offsets[1:])
        return other


def _extended(array: np.ndarray, used: int, more: np.ndarray) -> np.ndarray:
    """`array` with `more` behind its first `used` values: in place where there is room, else in a larger array."""
    if used + more.size > array.size:
        larger = np.empty(max(used + more.size, array.size + array.size // 2), array.dtype)
        larger[:used] = array[:used]
        array = larger
    array[used : used + more.size] = more
    return array
