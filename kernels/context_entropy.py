"""H of every byte from the few bytes before it: a table for short contexts, a cache for longer ones.

With a context of k bytes, H_t is a pure function of the k bytes before t (fewer at a document's head). Up to two bytes
all contexts fit one table; for more, contexts that were seen are kept and the model reads each new one once.
"""

from __future__ import annotations

import threading

import numpy as np

from kernels.byte_spans import ByteSpans
from kernels.compiled import compiled
from kernels.prefix_coding import PrefixCoder
from kernels.string_table import StringTable, distinct

DENSE_CONTEXT_BYTES = 2
"""Up to this many bytes of context the entropies of all contexts fit one table."""
MAX_ENTRIES = 1 << 23
"""A cache that has learned more contexts than this starts again from those it was made with."""


def dense_table_size(context_bytes: int) -> int:
    """Entries of a table over all contexts of 0 … context_bytes bytes."""
    return sum(256**length for length in range(context_bytes + 1))


def dense_contexts(context_bytes: int) -> list[bytes]:
    """All contexts of 0 … context_bytes bytes in the table's order: by length, then by value, big-endian."""
    return [value.to_bytes(length, "big") for length in range(context_bytes + 1) for value in range(256**length)]


def distinct_contexts(raw: np.ndarray, offsets: np.ndarray, context_bytes: int) -> list[bytes]:
    """The distinct contexts of up to `context_bytes` bytes that occur in some documents, sorted.

    raw: uint8 [n]; offsets: int64 [documents + 1].
    """
    contexts = _contexts(raw, offsets, context_bytes)
    return sorted(contexts.take(distinct(contexts)[0]).to_bytes())


def _contexts(raw: np.ndarray, offsets: np.ndarray, context_bytes: int) -> ByteSpans:
    """The context of each of the n bytes of some documents."""
    stops = np.arange(raw.size)
    return ByteSpans(raw, np.maximum(stops - context_bytes, np.repeat(offsets[:-1], np.diff(offsets))), stops)


@compiled()
def _dense_entropies(raw, offsets, bits, context_bytes, out):
    """Write H_t of every byte into out float32 [n]; bits float32 [dense_table_size(context_bytes)]."""
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        base, context = 0, 0
        size = 1
        for t in range(start, end):
            out[t] = bits[base + context]
            if t - start < context_bytes:
                base += size
                size *= 256
            context = ((context << 8) | raw[t]) % size


class ContextEntropy:
    """Entropies by the context of at most `context_bytes` bytes; a `kernels.boundary_score.BoundaryScore`."""

    def __init__(self, context_bytes: int, contexts: list[bytes], bits: np.ndarray, coder: PrefixCoder) -> None:
        """contexts, bits float32 [n]: those of `of_sample`, or of the `table` of another one of the same model.

        coder: what reads contexts that are in no table. ValueError where short contexts are not all given.
        """
        self.context_bytes = context_bytes
        self._sample_contexts, self._sample_bits = contexts, bits.astype(np.float32)
        self._coder = coder
        self._lock = threading.Lock()
        self._state = (StringTable(), self._sample_bits)
        if not self.needs_model:
            if bits.size != dense_table_size(context_bytes):
                raise ValueError(
                    f"{bits.size} entropies, all contexts of up to {context_bytes} bytes have "
                    f"{dense_table_size(context_bytes)}"
                )
        else:
            self._restart()

    @classmethod
    def of_sample(cls, context_bytes: int, raw: np.ndarray, offsets: np.ndarray, coder: PrefixCoder) -> ContextEntropy:
        """The score with a table of all contexts, where they are short, else of those that occur in a sample.

        raw: uint8 [n]; offsets: int64 [documents + 1].
        """
        if context_bytes <= DENSE_CONTEXT_BYTES:
            contexts = dense_contexts(context_bytes)
        else:
            contexts = distinct_contexts(raw, offsets, context_bytes)
        return cls(context_bytes, contexts, coder.entropies(ByteSpans.from_bytes(contexts)), coder)

    @property
    def needs_model(self) -> bool:
        """Whether there are contexts that no table holds from the beginning."""
        return self.context_bytes > DENSE_CONTEXT_BYTES

    def scores(self, raw: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """H float32 [n], in bits, of every byte; raw uint8 [n], offsets int64 [documents + 1]."""
        if not self.needs_model:
            out = np.empty(raw.size, np.float32)
            _dense_entropies(raw, offsets, self._sample_bits, self.context_bytes, out)
            return out
        contexts = _contexts(raw, offsets, self.context_bytes)
        firsts, group = distinct(contexts)
        return self._after(contexts.take(firsts))[group]

    def forbidden_pairs(self, theta_bits: float) -> None:
        """None: the entropy says how surprising a byte will be, not which byte cannot come."""

    def table(self) -> tuple[list[bytes], np.ndarray]:
        """The contexts that the score was made with, and H float32 [n] in bits after each."""
        return self._sample_contexts, self._sample_bits

    def _after(self, contexts: ByteSpans) -> np.ndarray:
        """H float32 [n] after each of n distinct contexts."""
        table, _ = self._state
        entries, missing = table.find(contexts)
        now, bits = self._state
        if now is not table:
            return self._after(contexts)
        out = np.empty(len(contexts), np.float32)
        known = entries >= 0
        out[known] = bits[entries[known]]
        if missing:
            unknown = contexts.take(~known)
            out[~known] = self._coder.entropies(unknown)
            with self._lock:
                self._learn(unknown, out[~known])
        return out

    def _learn(self, contexts: ByteSpans, bits: np.ndarray) -> None:
        table, known_bits = self._state
        if len(table) + len(contexts) > MAX_ENTRIES + len(self._sample_contexts):
            self._restart()
            table, known_bits = self._state
        entries, _ = table.find(contexts)
        new = entries < 0
        # Values first: an entry that can be found must have its value in place.
        self._state = (table, np.concatenate((known_bits[: len(table)], bits[new])))
        table.insert(contexts.take(new))

    def _restart(self) -> None:
        table = StringTable()
        table.insert(ByteSpans.from_bytes(self._sample_contexts))
        self._state = (table, self._sample_bits)
