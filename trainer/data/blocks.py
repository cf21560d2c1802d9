"""Blocks: some hundred documents drawn from a lane's slots, end to end in memory. Pure functions of arrays.

waiting documents of each slot ── sizes ──┐
a seeded draw per document ── choose ─────┴─► slot of each document ── build ──► PackedDocuments and Provenance
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kernels.counter_rng import Purpose, draws, key
from kernels.packing import PackedDocuments, gather
from trainer.data.slots import SlotDocuments


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Where in the dataset the n documents of a block lie."""

    epochs: np.ndarray
    """int64 [n]: how often the dataset was read through before each document."""
    shards: np.ndarray
    """int64 [n]: number of each document's shard."""
    rows: np.ndarray
    """int64 [n]: each document's row in its shard."""


def choose(drawn: np.ndarray, sizes: Sequence[np.ndarray], max_bytes: int) -> np.ndarray:
    """int64 [n]: the slot that each document of a block comes from, a beginning of `drawn`.

    drawn: int64 [n or more], the slot drawn for each document. sizes: for each slot int64 [1 or more], the bytes and
    symbols of its next documents: all that wait, or one more than are drawn. The block ends where a slot has no further
    document, because that is known only after reading, or with the document that reaches `max_bytes`.
    """
    count, document_sizes = len(drawn), np.zeros(len(drawn), np.int64)
    for slot, waiting in enumerate(sizes):
        places = np.flatnonzero(drawn == slot)[: len(waiting)]
        document_sizes[places] = waiting[: len(places)]
        if len(places) == len(waiting):
            count = min(count, int(places[-1]) + 1)
    full = int(np.searchsorted(np.cumsum(document_sizes[:count]), max_bytes)) + 1
    return drawn[: min(count, full)]


def build(chosen: np.ndarray, taken: Sequence[SlotDocuments], seed: int) -> tuple[PackedDocuments, Provenance]:
    """The block of documents, slot chosen[i] giving document i, from what was taken of each slot, in its order."""
    n = len(chosen)
    places = [np.flatnonzero(chosen == slot) for slot in range(len(taken))]
    sizes = np.zeros((2, n + 1), np.int64)
    keys, hashes = np.empty(n, np.uint64), np.empty(n, np.uint64)
    provenance = Provenance(epochs=np.empty(n, np.int64), shards=np.empty(n, np.int64), rows=np.empty(n, np.int64))
    for documents, place in zip(taken, places, strict=True):
        sizes[0, place + 1], sizes[1, place + 1] = documents.raw_bytes, documents.symbols
        keys[place], hashes[place] = key(seed, Purpose.MIXING, documents.epoch), documents.batch.hashes[documents.rows]
        provenance.epochs[place], provenance.shards[place] = documents.epoch, documents.shard
        provenance.rows[place] = documents.rows + documents.batch.first_row
    raw_offsets, symbol_offsets = np.cumsum(sizes, axis=1)
    raw = np.empty(raw_offsets[-1], np.uint8)
    symbols = np.empty(symbol_offsets[-1], taken[0].batch.symbols.dtype)
    for documents, place in zip(taken, places, strict=True):
        batch, rows = documents.batch, documents.rows
        gather(batch.raw, batch.raw_offsets, rows, place, raw, raw_offsets)
        gather(batch.symbols, batch.symbol_offsets, rows, place, symbols, symbol_offsets)
    block = PackedDocuments(
        raw=raw,
        raw_offsets=raw_offsets,
        symbols=symbols,
        symbol_offsets=symbol_offsets,
        draws=draws(keys, hashes),
    )
    return block, provenance
