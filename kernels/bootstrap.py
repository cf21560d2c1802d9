"""Bootstrap intervals: how far a statistic moves if the values are drawn again from themselves."""

from __future__ import annotations

from typing import Protocol

import numpy as np

RESAMPLES_AT_ONCE = 1000
"""Resamples whose values are in memory together."""


class Statistic(Protocol):
    """A function such as np.mean or np.median."""

    def __call__(self, values: np.ndarray, /, *, axis: int) -> np.ndarray:
        """The statistic of every row of values [m, n] for axis 1: float64 [m]."""
        ...


def bootstrap_interval(
    values: np.ndarray, statistic: Statistic, random: np.random.Generator, *, resamples: int, confidence: float
) -> tuple[float, float]:
    """Lower and upper end of the interval that holds the share `confidence` of the statistics of the resamples.

    values: float64 [n], n ≥ 1. The draws, and so the interval, are a function of the generator's state.
    """
    parts = []
    for begin in range(0, resamples, RESAMPLES_AT_ONCE):
        shape = (min(RESAMPLES_AT_ONCE, resamples - begin), values.size)
        parts.append(statistic(values[random.integers(0, values.size, shape)], axis=1))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(parts), (tail, 1 - tail))
    return float(low), float(high)
