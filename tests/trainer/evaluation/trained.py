"""A model of a few thousand parameters that knows the solution of the first small problem by heart."""

from __future__ import annotations

from functools import cache

from tests.trainer.evaluation.code.files import HUMANEVAL
from tests.trainer.models import build_model, learn_by_heart, small_config
from trainer.model.evabyte import EvaByte

TEXT = HUMANEVAL[0]["prompt"] + HUMANEVAL[0]["canonical_solution"]


@cache
def knows_one() -> EvaByte:
    """Continues `def one():` with its solution and </raw>, and anything else with something."""
    model = build_model(small_config(dim=48, heads=2, raw_heads=1), seed=0)
    learn_by_heart(model, TEXT.encode(), steps=100)
    return model.eval().requires_grad_(False)
