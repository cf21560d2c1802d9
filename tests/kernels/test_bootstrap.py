"""Bootstrap intervals against a resampling loop, and against theory."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.bootstrap import RESAMPLES_AT_ONCE, bootstrap_interval


@pytest.mark.parametrize("resamples", [1, RESAMPLES_AT_ONCE, RESAMPLES_AT_ONCE + 7])
@pytest.mark.parametrize("n", [1, 2, 30])
def test_an_interval_is_that_of_resamples_one_by_one(n: int, resamples: int) -> None:
    values = np.random.default_rng(1).normal(size=n)
    random = np.random.default_rng(2)
    medians = []
    for begin in range(0, resamples, RESAMPLES_AT_ONCE):
        for drawn in random.integers(0, n, (min(RESAMPLES_AT_ONCE, resamples - begin), n)):
            medians.append(np.median(values[drawn]))
    low, high = bootstrap_interval(values, np.median, np.random.default_rng(2), resamples=resamples, confidence=0.9)
    assert (low, high) == pytest.approx((np.quantile(medians, 0.05), np.quantile(medians, 0.95)))


def test_the_interval_of_a_mean_is_about_two_standard_errors_wide_on_each_side() -> None:
    values = np.random.default_rng(3).normal(size=400)
    low, high = bootstrap_interval(values, np.mean, np.random.default_rng(4), resamples=5000, confidence=0.95)
    error = values.std() / len(values) ** 0.5
    assert ((values.mean() - low) / error, (high - values.mean()) / error) == pytest.approx((1.96, 1.96), abs=0.15)
