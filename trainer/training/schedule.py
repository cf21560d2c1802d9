"""The course of a learning rate, the same for every model that is trained here: linear up, half a cosine down."""

from __future__ import annotations

import math

import torch


def lr_share(step: int, *, steps: int, warmup_steps: int, final_share: float) -> float:
    """Share of the peak rate at a step, counted from 0: up over the warm-up, then half a cosine to `final_share`."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return final_share + (1 - final_share) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameter groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate
