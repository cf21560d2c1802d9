"""The machine, and the yardsticks: what its matrix units and its memory give to programs that do nothing else."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

import torch

from tests.gpu_check.clock import copy_rate, matrix_rate, seconds_of
from tests.gpu_check.run import Figure
from tests.gpu_check.scale import Scale


def machine(scale: Scale, scratch: Path) -> Iterator[Figure]:
    """Names, then rates."""
    device = scale.device
    yield "Python, torch", f"{platform.python_version()}, {torch.__version__}"
    yield "CPU cores", os.cpu_count() or 0
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        yield "device", properties.name
        yield "built for", f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}"
        yield "driver's CUDA", getattr(torch._C, "_cuda_getDriverVersion", lambda: 0)()
        yield "memory, GB", properties.total_memory / 1e9
    else:
        yield "device", torch.backends.cpu.get_cpu_capability()
    for dtype in (torch.bfloat16, torch.int8, torch.float32):
        yield f"{str(dtype).removeprefix('torch.')} product, TOP/s", matrix_rate(device, scale.matrix, dtype) / 1e12
    yield "copy within memory, GB/s", copy_rate(device, scale.copied_bytes) / 1e9
    if device == "cuda":
        size = scale.copied_bytes // 4
        for name, source in (("pageable", torch.zeros(size, dtype=torch.uint8)), ("pinned", _pinned(size))):
            seconds = seconds_of(lambda source=source: source.to(device, non_blocking=True), device)  # type: ignore[misc]
            yield f"{name} memory to the device, GB/s", size / seconds / 1e9


def _pinned(size: int) -> torch.Tensor:
    return torch.zeros(size, dtype=torch.uint8, pin_memory=True)
