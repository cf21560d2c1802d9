"""Quantised intervals: they sum to 2^16, leave nothing out, break ties by the smallest byte."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernels.intervals import cumulative_frequencies, entropies_bits


def rows(scale: float, seed: int) -> torch.Tensor:
    """Logits [5, 256]."""
    return torch.randn(5, 256, generator=torch.Generator().manual_seed(seed)) * scale


@given(st.sampled_from([0.0, 0.1, 1.0, 10.0, 1000.0]), st.integers(0, 1000), st.integers(10, 16))
def test_frequencies_are_a_leaky_partition(scale: float, seed: int, window_bits: int) -> None:
    cumulative = cumulative_frequencies(rows(scale, seed), window_bits).numpy()
    assert (cumulative[:, 0] == 0).all()
    assert (cumulative[:, 256] == 65536).all()
    assert (np.diff(cumulative, axis=1) >= 1 << (16 - window_bits)).all()


def test_frequencies_follow_the_stated_rule() -> None:
    logits = rows(3.0, 7)
    p = torch.softmax(logits, -1).numpy()
    expected = np.floor(p * np.float32(65280)).astype(np.int64) + 1
    expected[np.arange(5), p.argmax(1)] += 65536 - expected.sum(1)
    assert np.diff(cumulative_frequencies(logits).numpy(), axis=1).tolist() == expected.tolist()


def test_equals_share_by_the_smallest_byte() -> None:
    frequencies = np.diff(cumulative_frequencies(torch.zeros(1, 256)).numpy(), axis=1)[0]
    assert frequencies.tolist() == [256] * 256
    logits = torch.zeros(1, 256)
    logits[0, [200, 100]] = 5.0
    frequencies = np.diff(cumulative_frequencies(logits).numpy(), axis=1)[0]
    assert frequencies[100] > frequencies[200]


def test_entropies_are_those_of_float64_to_the_grid() -> None:
    logits = rows(2.0, 1)
    p = torch.softmax(logits.double(), -1)
    exact = -(p * p.log2()).sum(-1).numpy()
    assert entropies_bits(logits).numpy() == pytest.approx(exact, abs=0.6 / 1024)
    assert float(entropies_bits(torch.zeros(1, 256))[0]) == 8.0
