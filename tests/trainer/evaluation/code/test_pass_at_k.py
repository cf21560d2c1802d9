"""pass@k equals counting all choices of k samples; intervals are seeded and hold the mean."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.evaluation.code.pass_at_k import bootstrap, estimate, pass_at_k


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_it_is_the_share_of_choices_with_a_winner(case: tuple[int, int, int]) -> None:
    samples, passed, k = case
    choices = list(itertools.combinations([True] * passed + [False] * (samples - passed), k))
    assert pass_at_k(samples, passed, k) == pytest.approx(sum(map(any, choices)) / len(choices))


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_it_is_the_binomial_formula(case: tuple[int, int, int]) -> None:
    samples, passed, k = case
    assert pass_at_k(*case) == pytest.approx(1 - math.comb(samples - passed, k) / math.comb(samples, k))


def test_golden_values() -> None:
    assert [pass_at_k(20, passed, 10) for passed in (0, 1, 5, 11, 20)] == pytest.approx([0, 0.5, 0.9837461, 1, 1])
    assert pass_at_k(200, 3, 1) == pytest.approx(0.015)


def test_the_estimate_is_the_mean_over_problems() -> None:
    assert estimate([(20, 0), (20, 10), (20, 20)], 1).value == pytest.approx(0.5)


@pytest.mark.parametrize("values", [[0.0], [1.0, 1.0], [0.0, 1.0], [i % 3 / 2 for i in range(164)]])
def test_the_interval_holds_the_mean_and_is_seeded(values: list[float]) -> None:
    found = bootstrap(values, seed=3)
    assert found.low <= found.value <= found.high
    assert found == bootstrap(values, seed=3)
    assert (found.low == found.high) == (len(set(values)) == 1)


def test_the_interval_is_as_wide_as_theory_says() -> None:
    """Half of 164 problems: a standard error of 3.9 points."""
    found = bootstrap([0.0, 1.0] * 82)
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(0.039, abs=0.002)
