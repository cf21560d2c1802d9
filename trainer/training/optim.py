"""The optimizers of a run with their state in place from the start, and the learning rates of its steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from trainer.training.muon import Muon, matrices_and_others
from trainer.training.schedule import lr_share
from trainer.training.settings import TrainSettings

_PEAK = "peak_lr"
"""Key of a parameter group: its learning rate at the end of the warm-up."""


def learning_rate(settings: TrainSettings, step: int) -> float:
    """The rate of a step, counted from 0; AdamW's where there is Muon too."""
    return settings.peak_lr * _share(settings, step)


def set_learning_rates(optimizers: Sequence[torch.optim.Optimizer], settings: TrainSettings, step: int) -> None:
    """Set every parameter group's rate to that of a step."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group.get(_PEAK, settings.peak_lr) * _share(settings, step)


def _share(settings: TrainSettings, step: int) -> float:
    return lr_share(
        step, steps=settings.steps, warmup_steps=settings.lr_warmup_steps, final_share=settings.final_lr_share
    )


def make_optimizers(model: nn.Module, settings: TrainSettings) -> tuple[torch.optim.Optimizer, ...]:
    """AdamW over all parameters of a run's model; or Muon over its blocks' matrices and AdamW over the others."""
    matrices, others = matrices_and_others(model) if settings.optimizer == "muon" else ([], list(model.parameters()))
    made: list[torch.optim.Optimizer] = [
        adamw(
            others,
            lr=settings.peak_lr,
            betas=(settings.adam_beta1, settings.adam_beta2),
            eps=settings.adam_eps,
            weight_decay=settings.weight_decay,
        )
    ]
    if matrices:
        made.append(Muon(matrices, lr=settings.matrix_lr, momentum=settings.matrix_momentum))
    for group in (group for optimizer in made for group in optimizer.param_groups):
        group[_PEAK] = group["lr"]
    return tuple(made)


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
