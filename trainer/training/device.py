"""Where the trainer computes: one place that chooses, says why, and refuses what nobody has tried."""

from __future__ import annotations

import glob
import logging

import torch

from schemas.errors import SettingsError

logger = logging.getLogger(__name__)

GPU_FILES = ("/dev/nvidia[0-9]*", "/dev/kfd")
"""What drivers of NVIDIA and AMD put there for a GPU."""
SHAPES_AT_MOST = 256
"""Kernels that a compiled function may have before a run ends; torch's own limit is 8."""


def training_device(name: str) -> str:
    """`cuda` or `cpu`: the one that is named, or cuda where there is one, whose compiler is bounded from then on.

    SettingsError for any other name, and for cuda where torch has no GPU. ROCm builds of torch call their GPUs cuda.
    """
    if name not in ("", "cpu", "cuda"):
        raise SettingsError(
            f"--device is {name}, the trainer runs on cpu and on cuda, ROCm's GPUs included; use one of these, and "
            "CUDA_VISIBLE_DEVICES to choose a GPU"
        )
    if torch.cuda.is_available():
        if name != "cpu":
            bound_recompilation()
        return name or "cuda"
    if name == "cuda":
        raise SettingsError(f"--device is cuda, but {_why_no_gpu()}; use --device cpu")
    if not name and _gpu_files():
        logger.warning("training and inference take the CPU, although there is a GPU: %s", _why_no_gpu())
    return "cpu"


def device_line(kind: str, asked: str) -> str:
    """Which device was taken and why, as one line of a log."""
    why = "as asked" if asked else "the default where torch sees a GPU" if kind == "cuda" else _why_no_gpu()
    if kind == "cuda":
        return f"device: cuda, {torch.cuda.get_device_name()}, {torch.cuda.device_count()} here ({why})"
    return f"device: cpu, {torch.get_num_threads()} threads ({why})"


def bound_recompilation() -> None:
    """End a run in an error where torch would stop compiling: flex_attention alone makes the whole score matrix."""
    config = torch._dynamo.config
    config.recompile_limit = config.accumulated_recompile_limit = SHAPES_AT_MOST
    config.fail_on_recompile_limit_hit = True


def _gpu_files() -> list[str]:
    return sorted(path for pattern in GPU_FILES for path in glob.glob(pattern))


def _why_no_gpu() -> str:
    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}"
    if not torch.version.cuda and not torch.version.hip:
        built = "CPUs alone"
    if found := _gpu_files():
        return f"torch {torch.__version__}, built for {built}, sees no GPU behind {found[0]}: check driver and build"
    return "torch sees no GPU"
