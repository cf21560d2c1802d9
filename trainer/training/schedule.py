"""The course of a learning rate: linear up, then down to a share of its peak, by half a cosine or a straight line."""

from __future__ import annotations

import math
from typing import Literal

import torch

Fall = Literal["cosine", "linear"]


def lr_share(step: int, *, steps: int, warmup_steps: int, final_share: float, fall: Fall = "cosine") -> float:
    """Share of the peak rate at a step, counted from 0: up over the warm-up, then down to `final_share` at `steps`."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, steps - warmup_steps))
    left = 1 - progress if fall == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
    return final_share + (1 - final_share) * left


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameter groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate
