"""The training windows of a step: a function of the text, the seed and the step's number."""

from __future__ import annotations

import numpy as np

from kernels.byte_lm_config import START
from schemas.batches import Documents
from trainer.byte_lm.settings import ByteLMTraining

IGNORE = -100
"""The label of a position behind a document's end: it counts for no loss."""


def windows(documents: Documents, training: ByteLMTraining, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels int64 [rows, window_bytes] of a step; labels behind a document's end are IGNORE.

    Each window begins at a byte drawn from all bytes of the text alike, with START for its first input.
    """
    rng = np.random.Generator(np.random.Philox(key=[training.seed, step]))
    starts = rng.integers(0, documents.raw.size, training.rows)
    ends = documents.offsets[np.searchsorted(documents.offsets, starts, "right")]
    at = starts[:, None] + np.arange(training.window_bytes)
    inside = at < ends[:, None]
    labels = np.where(inside, documents.raw[np.minimum(at, documents.raw.size - 1)].astype(np.int64), IGNORE)
    heads = np.full((training.rows, 1), START, np.int64)
    return np.concatenate((heads, np.maximum(labels[:, :-1], 0)), 1), labels
