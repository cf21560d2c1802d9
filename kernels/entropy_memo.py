"""H of every byte from the few bytes before it: a table for short contexts, a memo for longer ones.

With a context of k bytes, H_t is a pure function of the k bytes before t (fewer at a document's head). Up to two bytes
all contexts fit one table; for more, contexts that were seen are kept and the model reads each new one once.
"""

from __future__ import annotations

import threading

import numpy as np

from kernels.prefix_coding import PrefixCoder
from kernels.prefix_trie import gather_strings
from kernels.segmentation import DENSE_CONTEXT_BYTES, dense_contexts, dense_entropies, dense_table_size
from kernels.string_table import StringTable, distinct

MAX_ENTRIES = 1 << 23
"""A memo that has learned more than this starts again from what it was made with."""


class EntropyMemo:
    """Entropies by context of at most `context_bytes` bytes. Safe to share between threads."""

    def __init__(self, context_bytes: int, contexts: list[bytes], bits: np.ndarray) -> None:
        self.context_bytes = context_bytes
        self._contexts, self._bits_given = contexts, bits.astype(np.float32)
        self._lock = threading.Lock()
        self._state = (StringTable(), self._bits_given)
        if self.is_dense:
            if bits.size != dense_table_size(context_bytes):
                raise ValueError(f"{bits.size} entropies for contexts of {context_bytes} bytes")
        else:
            self._restart()

    @property
    def is_dense(self) -> bool:
        """Whether every context is in the table from the start."""
        return self.context_bytes <= DENSE_CONTEXT_BYTES

    def entropies(self, raw: np.ndarray, offsets: np.ndarray, coder: PrefixCoder) -> np.ndarray:
        """H float32 [n], in bits, of every byte; raw uint8 [n], offsets int64 [documents + 1]."""
        if self.is_dense:
            return dense_entropies(raw, offsets, self._bits_given, self.context_bytes)
        stops = np.arange(raw.size)
        heads = np.repeat(offsets[:-1], np.diff(offsets))
        starts = np.maximum(stops - self.context_bytes, heads)
        firsts, group = distinct(raw, starts, stops)
        return self._distinct(raw, starts[firsts], stops[firsts], coder)[group]

    def _distinct(self, raw: np.ndarray, starts: np.ndarray, stops: np.ndarray, coder: PrefixCoder) -> np.ndarray:
        table, _ = self._state
        entries, missing = table.find(raw, starts, stops)
        now, bits = self._state
        if now is not table:
            return self._distinct(raw, starts, stops, coder)
        out = np.empty(starts.size, np.float32)
        known = entries >= 0
        out[known] = bits[entries[known]]
        if missing:
            unknown = np.flatnonzero(~known)
            out[unknown] = coder.entropies(raw, starts[unknown], stops[unknown])
            with self._lock:
                self._learn(raw, starts[unknown], stops[unknown], out[unknown])
        return out

    def _learn(self, raw: np.ndarray, starts: np.ndarray, stops: np.ndarray, bits: np.ndarray) -> None:
        table, known_bits = self._state
        if len(table) + starts.size > MAX_ENTRIES + len(self._contexts):
            self._restart()
            table, known_bits = self._state
        entries, _ = table.find(raw, starts, stops)
        new = np.flatnonzero(entries < 0)
        # Values first: an entry that can be found must have its value in place.
        self._state = (table, np.concatenate((known_bits[: len(table)], bits[new])))
        table.insert(raw, starts[new], stops[new])

    def _restart(self) -> None:
        table = StringTable()
        data = np.frombuffer(b"".join(self._contexts), np.uint8)
        ends = np.cumsum([len(context) for context in self._contexts], dtype=np.int64)
        lengths = np.diff(ends, prepend=0)
        table.insert(data, ends - lengths, ends)
        self._state = (table, self._bits_given)


def context_entropies(contexts: list[bytes], coder: PrefixCoder) -> np.ndarray:
    """H float32 [n], in bits, of the byte after each context."""
    data = np.frombuffer(b"".join(contexts), np.uint8)
    ends = np.cumsum([len(context) for context in contexts], dtype=np.int64)
    return coder.entropies(data, ends - np.diff(ends, prepend=0), ends)


def table_contexts(raw: np.ndarray, offsets: np.ndarray, size: int) -> list[bytes]:
    """The contexts that a memo is made with: all short ones, of longer ones those that occur."""
    return dense_contexts(size) if size <= DENSE_CONTEXT_BYTES else distinct_contexts(raw, offsets, size)


def distinct_contexts(raw: np.ndarray, offsets: np.ndarray, context_bytes: int) -> list[bytes]:
    """The distinct contexts of up to `context_bytes` bytes in some documents, sorted."""
    stops = np.arange(raw.size)
    starts = np.maximum(stops - context_bytes, np.repeat(offsets[:-1], np.diff(offsets)))
    firsts, _ = distinct(raw, starts, stops)
    lengths = stops[firsts] - starts[firsts]
    flat = gather_strings(raw, starts[firsts], stops[firsts]).tobytes()
    ends = np.cumsum(lengths)
    return sorted(flat[end - length : end] for end, length in zip(ends, lengths, strict=True))
