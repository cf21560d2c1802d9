"""Choosing one of the 258 ids that raw text may continue with. All randomness is a hash of (seed, position, id).

So a choice is a plain function of the logits, the seed and the position: it does not depend on the batch, on its order,
or on how many symbols one forward happened to check.
"""

from __future__ import annotations

import numpy as np

from schemas.vocabulary import COMP_BASE, EOS, RAW_BASE, RAW_CLOSE
from trainer.generation.settings import Sampling

ENDS = (EOS, RAW_CLOSE)
ALLOWED = np.array([*ENDS, *range(RAW_BASE, COMP_BASE)])
"""Ids that may be generated: the two ends and the 256 bytes."""


def choose(logits: np.ndarray, sampling: Sampling, seeds: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Ids int64 [...] from logits over the 320 raw ids, float [..., 320]; seeds and positions integers [...].

    Ties go to the smallest id. Sampling takes the largest of logit / temperature + Gumbel noise, so that two similar
    distributions under the same seed and position mostly give the same id: drafts profit from that.
    """
    logits = logits[..., ALLOWED].astype(np.float64)
    if sampling.temperature:
        logits = logits / sampling.temperature
        if sampling.top_p < 1:
            logits = np.where(_nucleus(logits, sampling.top_p), logits, -np.inf)
        logits = logits - np.log(-np.log(_uniform(seeds, positions)))
    return ALLOWED[logits.argmax(-1)]


def _nucleus(logits: np.ndarray, top_p: float) -> np.ndarray:
    """bool [..., n]: the fewest likeliest whose probabilities sum to at least top_p."""
    order = np.argsort(-logits, -1, kind="stable")
    weights = np.exp(np.take_along_axis(logits - logits.max(-1, keepdims=True), order, -1))
    before = np.cumsum(weights, -1) - weights
    kept = before < top_p * weights.sum(-1, keepdims=True)
    kept[..., 0] = True
    chosen = np.empty_like(kept)
    np.put_along_axis(chosen, order, kept, -1)
    return chosen


def _uniform(seeds: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """float64 [..., 258] inside (0, 1), splitmix64 of seed, position and id."""
    mixed = _splitmix64(_splitmix64(seeds.astype(np.uint64)) + positions.astype(np.uint64))
    mixed = _splitmix64(mixed[..., None] + ALLOWED.astype(np.uint64))
    return ((mixed >> np.uint64(12)).astype(np.float64) + 0.5) / 2.0**52


def _splitmix64(x: np.ndarray) -> np.ndarray:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
