"""Times on a device that works behind the program's back, and the rates that they are compared with."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

REPEATS = 5


def wait(device: str) -> None:
    """Until the device has done what it was asked for."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds_of(work: Callable[[], object], device: str, *, repeats: int = REPEATS, warm: bool = True) -> float:
    """Median seconds of a piece of work, after one run that is not counted."""
    if warm:
        work()
    times = []
    for _ in range(repeats):
        wait(device)
        begin = time.perf_counter()
        work()
        wait(device)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def matrix_rate(device: str, side: int, dtype: torch.dtype) -> float:
    """Operations per second of a square product, of random numbers: zeros are faster."""
    if dtype == torch.int8:
        left, right = (torch.randint(-63, 64, (side, side), dtype=dtype, device=device) for _ in range(2))
        seconds = seconds_of(lambda: torch._int_mm(left, right.t()), device)
    else:
        left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        seconds = seconds_of(lambda: left @ right, device)
    return 2 * side**3 / seconds


def copy_rate(device: str, size: int) -> float:
    """Bytes per second, read and written, of a copy within the device."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / seconds_of(lambda: target.copy_(source), device)
