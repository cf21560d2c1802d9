"""The learning rate's course: up over the warm-up, down to its last share, at every length."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.training.schedule import Fall, lr_share


@given(st.integers(1, 300), st.integers(0, 300), st.floats(0, 1), st.sampled_from(get_args(Fall)))
def test_it_rises_to_one_and_falls_to_its_last_share(steps: int, warmup: int, final: float, fall: Fall) -> None:
    course = {"steps": steps, "warmup_steps": warmup, "final_share": final}
    shares = [lr_share(step, **course, fall=fall) for step in range(steps + 1)]
    up, down = shares[:warmup], shares[warmup:]
    assert all(a < b for a, b in itertools.pairwise(up))
    assert all(a >= b for a, b in itertools.pairwise(down))
    assert all(0 <= share <= 1 for share in shares)
    if warmup <= steps:
        assert down[0] == pytest.approx(1)
    if warmup < steps:
        assert shares[-1] == pytest.approx(final)
