"""Batches that were not packed from a dataset."""

from __future__ import annotations

import numpy as np

from trainer.data.loader import PackedBatch


def one_document_each(ids: np.ndarray, step: int = 0, *, lookahead: int = 2) -> PackedBatch:
    """A batch of sequences int32 [n, T], each of one document; what follows them is pad."""
    return PackedBatch(
        step=step,
        ids=ids,
        documents=np.zeros_like(ids),
        spans=np.ones(ids.shape, np.uint8),
        next_ids=np.zeros((len(ids), lookahead), np.int32),
        pieces=np.zeros((len(ids), 5), np.int64),
    )
