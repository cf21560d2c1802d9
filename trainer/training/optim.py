"""AdamW and its schedule: linear up, cosine down to a share of the peak."""

from __future__ import annotations

import math

import torch
from torch import nn

from trainer.training.settings import TrainSettings


def learning_rate(settings: TrainSettings, step: int) -> float:
    """The rate of a step, counted from 0: linear over the warm-up, then half a cosine to `final_lr_share`."""
    peak = settings.peak_lr
    if step < settings.lr_warmup_steps:
        return peak * (step + 1) / settings.lr_warmup_steps
    progress = (step - settings.lr_warmup_steps) / max(1, settings.steps - settings.lr_warmup_steps)
    low = settings.final_lr_share
    return peak * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def make_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW over all parameters, its moments in place from the start, so that a checkpoint can be read into them."""
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings.peak_lr,
        betas=(settings.adam_beta1, settings.adam_beta2),
        eps=settings.adam_eps,
        weight_decay=settings.weight_decay,
        foreach=True,
    )
    for parameter in model.parameters():
        optimizer.state[parameter] = {
            "step": torch.zeros(()),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return optimizer


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameter groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate
