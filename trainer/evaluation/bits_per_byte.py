"""Bits per raw byte of documents, each byte scored exactly once.

A window is <bos> <raw> and up to `room` bytes: the sentinel is at the head of every window, as in training. Windows
move on by `stride` bytes, and of every one but a document's first only the bytes that no earlier window has scored
count, so a byte has at least room − stride bytes before it, or all of its document. Other ids cost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from schemas.batches import Documents
from schemas.errors import SettingsError
from schemas.vocabulary import BOS, PAD, RAW_BASE, RAW_OPEN
from trainer.model.evabyte import EvaByte

HEAD = (BOS, RAW_OPEN)


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


def byte_windows(length: int, room: int, stride: int) -> list[tuple[int, int, int]]:
    """(begin, end, first byte that counts) of the windows of a document of `length` bytes."""
    windows = []
    scored = begin = 0
    while scored < length:
        end = min(begin + room, length)
        windows.append((begin, end, scored))
        scored, begin = end, begin + stride
    return windows


@torch.inference_mode()
def score(
    model: EvaByte, batches: Iterable[Documents], *, sequence_length: int, stride: int = 0, rows: int = 8
) -> Iterator[Scored]:
    """Score documents in their order, yielding the running sums after each batch of documents.

    sequence_length: length of a window, sentinel included. stride: bytes, 0 for half a window.
    """
    room = sequence_length - len(HEAD)
    stride = stride or max(1, room // 2)
    if room < 1 or not 1 <= stride <= room:
        raise SettingsError(f"windows of {sequence_length} symbols cannot move on by {stride} bytes; give 1 to {room}")
    documents = raw_bytes = 0
    nats = 0.0
    for batch in batches:
        work = [
            (i, *window)
            for i in range(len(batch))
            for window in byte_windows(int(batch.offsets[i + 1] - batch.offsets[i]), room, stride)
        ]
        for first in range(0, len(work), rows):
            nats += _nats(model, batch, work[first : first + rows], sequence_length, rows)
        documents += len(batch)
        raw_bytes += int(batch.offsets[-1] - batch.offsets[0])
        yield Scored(documents=documents, raw_bytes=raw_bytes, nats=nats)


def _nats(
    model: EvaByte, batch: Documents, work: list[tuple[int, int, int, int]], sequence_length: int, rows: int
) -> float:
    """Σ nats of the bytes that count in some windows; the shape is always [rows, sequence_length]."""
    ids = np.full((rows, sequence_length), PAD, np.int64)
    counts = np.zeros((rows, sequence_length), bool)
    for row, (document, begin, end, scored) in enumerate(work):
        start = batch.offsets[document]
        ids[row, : len(HEAD)] = HEAD
        ids[row, len(HEAD) : len(HEAD) + end - begin] = (
            batch.raw[start + begin : start + end].astype(np.int64) + RAW_BASE
        )
        counts[row, len(HEAD) + scored - begin : len(HEAD) + end - begin] = True
    device = model.embedding.weight.device
    tensor = torch.from_numpy(ids).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        nats = model.heads.symbol_nats(model.hidden(tensor), tensor, torch.from_numpy(counts).to(device))
    return float(nats.double().sum())
