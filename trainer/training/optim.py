"""AdamW with its moments in place from the start, and the learning rate of a run's steps."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from trainer.training.schedule import lr_share
from trainer.training.settings import TrainSettings


def learning_rate(settings: TrainSettings, step: int) -> float:
    """The rate of a step, counted from 0."""
    return settings.peak_lr * lr_share(
        step,
        steps=settings.steps,
        warmup_steps=settings.lr_warmup_steps,
        final_share=settings.final_lr_share,
    )


def make_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW over all parameters of a run's model."""
    return adamw(
        model.parameters(),
        lr=settings.peak_lr,
        betas=(settings.adam_beta1, settings.adam_beta2),
        eps=settings.adam_eps,
        weight_decay=settings.weight_decay,
    )


def adamw(
    parameters: Iterable[nn.Parameter],
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    fused: bool | None = None,
) -> torch.optim.AdamW:
    """AdamW, its moments in place from the start, so that a checkpoint can be read into them.

    fused: one kernel that reads and writes everything once, without a copy of the gradients; None: on GPUs. On a CPU
    the other one stays, whose rounding checkpoints of before have.
    """
    parameters = list(parameters)
    fused = all(parameter.is_cuda for parameter in parameters) if fused is None else fused
    kind: dict[str, bool] = {"fused": True} if fused else {"foreach": True}
    optimizer = torch.optim.AdamW(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, **kind)
    for parameter in parameters:
        optimizer.state[parameter] = {
            # The fused kernel counts its steps on the device, so that nothing waits for them.
            "step": torch.zeros((), device=parameter.device if fused else "cpu"),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return optimizer
