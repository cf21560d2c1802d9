"""A codebook that learns what it lacks, from a function that codes distinct strings, in bounded memory.

    strings ── find ──► known ───────────────────────────────────► entries in one book ── join ──► codes
                 └────► unknown ─ distinct ─ code them ─ insert ─┘

What is learned at run time lives in a copy of the book that was given. When the copy has grown by more than the limit
it is dropped, and the next batch starts again from the given book. A code is a function of its string alone, so nothing
that comes out depends on what was known, on the order of batches or on the number of threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from kernels.byte_spans import ByteSpans, Codes
from kernels.codebook import Codebook
from kernels.string_table import distinct
from pipeline.timing import attribute_time_to
from schemas.batches import Encoding

DEFAULT_CACHE_BYTES = 256 << 20

Coder = Callable[[ByteSpans], Codes]
"""What codes distinct strings: by the byte LM, or by SentencePiece."""


class CodebookCache:
    """Codes of any strings. Safe to share between threads: look-ups take no lock, strings are coded outside of it."""

    def __init__(self, base: Codebook, coder: Coder, *, stage: str, cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        """base: the book to start from, which stays as it is. stage: what the seconds of `coder` are counted for."""
        self.base, self.current = base, base
        self._coder, self._stage, self._cache_bytes = coder, stage, cache_bytes
        self._lock = threading.Lock()

    def encode(self, strings: ByteSpans, offsets: np.ndarray) -> Encoding:
        """The encoding of documents whose segments are n strings without gaps; offsets int64 [documents + 1]."""
        book, entries = self.entries(strings)
        return book.join(entries, offsets)

    def entries(self, strings: ByteSpans) -> tuple[Codebook, np.ndarray]:
        """A book that knows all n strings, and their entries in it, int32 [n]."""
        book = self.current
        entries, missing = book.find(strings)
        if not missing:
            return book, entries
        lacking = np.flatnonzero(entries < 0)
        firsts, group = distinct(strings.take(lacking))
        unknown = strings.take(lacking[firsts])
        with attribute_time_to(self._stage):
            codes = self._coder(unknown)
        with self._lock:
            book = self._book_to_grow(book)
            # Another thread may have inserted some of them meanwhile.
            new = book.find(unknown)[0] < 0
            book.insert(unknown.take(new), codes.take(new))
        # What was known has the same entries in a book that was copied from another.
        entries[lacking] = book.find(unknown)[0][group]
        return book, entries

    def _book_to_grow(self, book: Codebook) -> Codebook:
        """The book that may learn what `book` lacks. A full one is dropped for the next batches, not for this one."""
        if book is self.base:
            if self.current is self.base:
                self.current = book.copy()
            return self.current
        if book is self.current and book.memory_bytes - self.base.memory_bytes > self._cache_bytes:
            self.current = self.base
        return book
