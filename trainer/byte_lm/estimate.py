"""How long a training will take on this CPU, by a few of its windows, said before it starts.

The 40m size needs 3 · 10¹⁷ operations: half an hour to a few hours of a GPU, weeks of a CPU. Who asks a CPU for it
should know that at once, and not from the first progress lines.
"""

from __future__ import annotations

import logging
import time

import torch

from kernels.byte_lm import ByteLM
from schemas.progress import duration
from trainer.byte_lm.settings import ByteLMTraining

logger = logging.getLogger(__name__)

LONG_FLOP = 1e14
"""Less than this is done in minutes on any CPU, and not announced."""
PROBE_POSITIONS = 512


def training_flop(model: ByteLM, training: ByteLMTraining, steps: int) -> float:
    """Floating-point operations of the matrix products of so many steps, forward and backward."""
    return 3.0 * model.config.matmul_flop_per_byte * training.rows * training.window_bytes * steps


def announce(model: ByteLM, training: ByteLMTraining, steps: int) -> None:
    """Say how long `steps` steps will take, where the model is on a CPU and they are long."""
    if model.device.type != "cpu" or training_flop(model, training, steps) < LONG_FLOP:
        return
    seconds = steps * step_seconds(model, training)
    logger.info(
        "byte LM %s on this CPU: about %s for %s steps; --device cuda trains it on a GPU, --size tiny takes a minute",
        training.size,
        duration(seconds),
        f"{steps:,}",
    )


def step_seconds(model: ByteLM, training: ByteLMTraining) -> float:
    """Seconds of one step, from the time of a few windows; optimizers, about a hundredth of it, are left out."""
    rows = max(1, min(training.rows, PROBE_POSITIONS // training.window_bytes))
    inputs = torch.zeros(rows, training.window_bytes, dtype=torch.int64, device=model.device)
    model(inputs[:1, :32]).sum().backward()
    begin = time.perf_counter()
    model(inputs).sum().backward()
    seconds = time.perf_counter() - begin
    model.zero_grad(set_to_none=True)
    return seconds * training.rows / rows
