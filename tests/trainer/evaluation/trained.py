"""A model of a few thousand parameters that knows the solution of the first small problem by heart."""

from __future__ import annotations

from functools import cache

import torch

from schemas.vocabulary import BOS, EOS, RAW_BASE, RAW_CLOSE, RAW_OPEN
from tests.trainer.evaluation.code.files import HUMANEVAL
from tests.trainer.models import build_model, small_config
from trainer.model.evabyte import EvaByte

TEXT = HUMANEVAL[0]["prompt"] + HUMANEVAL[0]["canonical_solution"]


@cache
def knows_one() -> EvaByte:
    """Continues `def one():` with its solution and </raw>, and anything else with something."""
    model = build_model(small_config(dim=48, heads=2, raw_heads=1), seed=0)
    ids = torch.tensor([[BOS, RAW_OPEN, *(RAW_BASE + byte for byte in TEXT.encode()), RAW_CLOSE, EOS]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(100):
        losses = model(ids)
        optimizer.zero_grad()
        (losses.loss_sum / losses.weight_sum).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval().requires_grad_(False)
