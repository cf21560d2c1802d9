"""pass@k: the chance that at least one of k samples solves a problem, without bias, with an interval over problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kernels.bootstrap import bootstrap_interval

RESAMPLES = 10_000
"""Bootstrap resamples of a mean."""
CONFIDENCE = 0.95
"""Share of the resamples' means that an interval holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A mean over problems and the interval that 95 % of its bootstrap resamples lie in. Shares, 0 to 1."""

    value: float
    low: float
    high: float


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """1 − C(samples − passed, k) / C(samples, k): over all ways to choose k of the samples, how often one passed."""
    assert 0 <= passed <= samples and 1 <= k <= samples
    if samples - passed < k:
        return 1.0
    return float(1 - np.prod(1 - k / np.arange(samples - passed + 1, samples + 1)))


def estimate(counts: Sequence[tuple[int, int]], k: int, *, seed: int = 0) -> Estimate:
    """pass@k and its interval over problems, each given as (samples, samples that passed)."""
    return bootstrap([pass_at_k(samples, passed, k) for samples, passed in counts], seed=seed)


def bootstrap(values: Sequence[float], *, seed: int = 0) -> Estimate:
    """The mean of one value per problem. The interval says how far it moves had other problems been drawn."""
    assert len(values)
    array, random = np.array(values, np.float64), np.random.default_rng(seed)
    low, high = bootstrap_interval(array, np.mean, random, resamples=RESAMPLES, confidence=CONFIDENCE)
    return Estimate(value=float(array.mean()), low=low, high=high)
