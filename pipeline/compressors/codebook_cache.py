"""A codebook that learns what it lacks, from a function that codes distinct strings, in bounded memory.

    strings ── find ──► known ───────────────────────────────────► entries in one book
                 └────► unknown ─ distinct ─ code them ─ insert ─┘

What is learned at run time lives in a copy of the book that was given. When the copy has grown by more than the limit
it is dropped, and the next batch starts again from the given book. A code is a function of its string alone, so nothing
that comes out depends on what was known, on the order of batches or on the number of threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from kernels.codebook import Codebook
from kernels.string_table import distinct
from pipeline.timing import attribute_time_to

DEFAULT_CACHE_BYTES = 256 << 20

Code = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""raw uint8, starts, ends int64 [n] of distinct strings ─► symbols [k], window lengths [k], symbol_ends int64 [n]."""


class GrowingBook:
    """Safe to share between threads: look-ups take no lock, and strings are coded outside of it."""

    def __init__(self, base: Codebook, code: Code, *, stage: str, cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        """`stage`: whom the seconds of `code` are counted for."""
        self.base, self.current = base, base
        self._code, self._stage, self._cache_bytes = code, stage, cache_bytes
        self._lock = threading.Lock()

    def entries(self, raw: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[Codebook, np.ndarray]:
        """A book that knows all the strings raw[starts[i]:ends[i]], and their entries in it, int32 [n]."""
        book = self.current
        entries, missing = book.find(raw, starts, ends)
        if not missing:
            return book, entries
        unknown = np.flatnonzero(entries < 0)
        unknown = unknown[distinct(raw, starts[unknown], ends[unknown])[0]]
        starts_of_new, ends_of_new = starts[unknown], ends[unknown]
        with attribute_time_to(self._stage):
            codes = self._code(raw, starts_of_new, ends_of_new)
        with self._lock:
            book = self._book_to_grow(book)
            _learn(book, raw, starts_of_new, ends_of_new, *codes)
        return book, book.find(raw, starts, ends)[0]

    def _book_to_grow(self, book: Codebook) -> Codebook:
        """The book that may learn what `book` lacks. A full one is dropped for the next batches, not for this one."""
        if book is self.base:
            if self.current is self.base:
                self.current = book.copy()
            return self.current
        if book is self.current and book.memory_bytes - self.base.memory_bytes > self._cache_bytes:
            self.current = self.base
        return book


def _learn(
    book: Codebook,
    raw: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    symbols: np.ndarray,
    window_bytes: np.ndarray,
    symbol_ends: np.ndarray,
) -> None:
    """Insert those of the coded strings that no other thread has inserted meanwhile."""
    known, _ = book.find(raw, starts, ends)
    new = np.flatnonzero(known < 0)
    counts = np.diff(symbol_ends, prepend=0)
    chosen = np.repeat(known < 0, counts)
    book.insert(raw, starts[new], ends[new], symbols[chosen], window_bytes[chosen], np.cumsum(counts[new]))
