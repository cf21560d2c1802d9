"""Bits per raw byte of documents, each byte scored exactly once; or each symbol, for a model that only reads those.

A window is <bos> <raw> and up to `room` bytes: the sentinel is at the head of every window, as in training. Windows
move on by `stride` bytes, and of every one but a document's first only the bytes that no earlier window has scored
count, so a byte has at least room − stride bytes before it, or all of its document. Other ids cost nothing. Symbols go
the same way behind <bos> <comp>, and what they cost is divided by the raw bytes that they stand for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from schemas.batches import Documents, offsets_of
from schemas.errors import SettingsError
from schemas.vocabulary import BOS, COMP_BASE, COMP_OPEN, PAD, RAW_BASE, RAW_OPEN
from trainer.data.dataset import Dataset
from trainer.model.evabyte import EvaByte

HEAD = (BOS, RAW_OPEN)
COMP_HEAD = (BOS, COMP_OPEN)


@dataclass(frozen=True, kw_only=True, slots=True)
class SymbolTexts:
    """Documents as a compressor's symbols alone, for a model that was trained without raw bytes."""

    symbols: np.ndarray
    """uint8, uint16 or uint32 [n_symbols]."""
    offsets: np.ndarray
    """int64 [n + 1]: document i has symbols[offsets[i]:offsets[i + 1]]."""
    raw_bytes: int
    """Raw bytes of all of them together."""

    def __len__(self) -> int:
        return len(self.offsets) - 1


Texts = Documents | SymbolTexts


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """Sums over the documents that were scored so far."""

    documents: int
    raw_bytes: int
    nats: float

    @property
    def bits_per_byte(self) -> float:
        """Σ −log2 p over the bytes, divided by their number."""
        return self.nats / math.log(2) / self.raw_bytes


def held_out_symbols(dataset: Dataset) -> Iterator[SymbolTexts]:
    """The held-out documents of a dataset as its compressor's symbols, a record batch at a time."""
    for shard, entry in enumerate(dataset.shards):
        row = 0
        while row < entry.rows:
            batch = dataset.batch_at(shard, row)
            row = batch.end_row
            held_out = np.flatnonzero(batch.held_out)
            if held_out.size:
                spans = [slice(*batch.symbol_offsets[i : i + 2]) for i in held_out]
                yield SymbolTexts(
                    symbols=np.concatenate([batch.symbols[span] for span in spans]),
                    offsets=offsets_of([span.stop - span.start for span in spans]),
                    raw_bytes=int(np.diff(batch.raw_offsets)[held_out].sum()),
                )


def byte_windows(length: int, room: int, stride: int) -> list[tuple[int, int, int]]:
    """(begin, end, first byte that counts) of the windows of a document of `length` bytes."""
    windows = []
    scored = begin = 0
    while scored < length:
        end = min(begin + room, length)
        windows.append((begin, end, scored))
        scored, begin = end, begin + stride
    return windows


@torch.no_grad()
def score(
    model: EvaByte,
    batches: Iterable[Texts],
    *,
    sequence_length: int,
    stride: int = 0,
    rows: int = 8,
    head: tuple[int, ...] = HEAD,
) -> Iterator[Scored]:
    """Score documents in their order, yielding the running sums after each batch of documents.

    sequence_length: length of a window, head included. stride: bytes or symbols, 0 for half a window. head: ids at the
    beginning of every window, which a model trained without sentinels wants to be (BOS,).
    """
    documents = raw_bytes = 0
    nats = 0.0
    for batch in batches:
        work = _work(batch, sequence_length - len(head), stride)
        for first in range(0, len(work), rows):
            nats += _nats(model, batch, work[first : first + rows], sequence_length, rows, head)
        documents += len(batch)
        raw_bytes += batch.raw_bytes if isinstance(batch, SymbolTexts) else int(batch.offsets[-1] - batch.offsets[0])
        yield Scored(documents=documents, raw_bytes=raw_bytes, nats=nats)


@torch.no_grad()
def nats_by_turns(
    model: EvaByte,
    texts: Documents,
    *,
    sequence_length: int,
    rows: int,
    turn: int = 0,
    turns: int = 1,
    head: tuple[int, ...] = HEAD,
) -> list[float]:
    """Σ nats of every `rows` windows, of those whose number is `turn` modulo `turns`, as `score` cuts documents.

    Every turn calls the model equally often, as a model needs that is sharded over as many ranks; what is left over
    are calls without a byte that counts. Under torch.no_grad and not inference_mode, whose tensors a model that trains
    on could not use again.
    """
    work = _work(texts, sequence_length - len(head), 0)
    calls = -(-len(work) // (rows * turns))
    firsts = ((call * turns + turn) * rows for call in range(calls))
    return [_nats(model, texts, work[first : first + rows], sequence_length, rows, head) for first in firsts]


def _work(batch: Texts, room: int, stride: int) -> list[tuple[int, int, int, int]]:
    """(document, begin, end, first that counts) of all windows; SettingsError where a stride leaves something out."""
    stride = stride or max(1, room // 2)
    if room < 1:
        raise SettingsError("windows are so short that the ids at their head leave no room; give a longer context")
    if not 1 <= stride <= room:
        raise SettingsError(f"windows with room for {room} bytes cannot move on by {stride} bytes; give 1 to {room}")
    return [
        (i, *window)
        for i in range(len(batch))
        for window in byte_windows(int(batch.offsets[i + 1] - batch.offsets[i]), room, stride)
    ]


def _nats(
    model: EvaByte,
    batch: Texts,
    work: list[tuple[int, int, int, int]],
    sequence_length: int,
    rows: int,
    head: tuple[int, ...],
) -> float:
    """Σ nats of what counts in some windows; the shape is always [rows, sequence_length]."""
    values, base = (batch.symbols, COMP_BASE) if isinstance(batch, SymbolTexts) else (batch.raw, RAW_BASE)
    ids = np.full((rows, sequence_length), PAD, np.int64)
    counts = np.zeros((rows, sequence_length), bool)
    for row, (document, begin, end, scored) in enumerate(work):
        start = batch.offsets[document]
        ids[row, : len(head)] = head
        ids[row, len(head) : len(head) + end - begin] = values[start + begin : start + end].astype(np.int64) + base
        counts[row, len(head) + scored - begin : len(head) + end - begin] = True
    device = model.embedding.weight.device
    tensor = torch.from_numpy(ids).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        nats = model.heads.symbol_nats(model.hidden(tensor), tensor, torch.from_numpy(counts).to(device))
    return float(nats.double().sum())
