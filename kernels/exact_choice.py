"""Which implementation of the exact byte LM's steps a device takes: the fastest that gives the definition's integers.

    cpu   FusedRows     loops of numba
    cuda  TritonRows ── the same integers as TorchRows here and now? ──► TritonRows
                        no, or no Triton ──► TorchRows, and the reason, which whoever loads a model says

Triton compiles for the GPU that it finds, with the compiler that it finds, so nothing but a comparison on that GPU can
say what it computes there. It is made whenever a model is put on a GPU, of the model's own weights.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from kernels.byte_lm_config import START, ByteLMConfig
from kernels.exact_fused import FusedRows
from kernels.exact_steps import Rows, TorchRows
from kernels.exact_triton import TritonRows

CHECKED_ROWS, CHECKED_BYTES = 256, 6
"""Prefixes that the comparison reads, and how long they become."""
WINDOW_BYTES = 96
"""What is read again in windows of this size: longer than what one program attends to at a time."""
WINDOW_BITS = (10, 16)

Trace = Callable[[Rows, Tensor], list[Tensor]]
"""Everything that a model computes with some steps of the inputs int64 [rows, bytes]."""


def fast_rows(
    config: ByteLMConfig, arrays: dict[str, np.ndarray], device: torch.device, trace: Trace
) -> tuple[Rows, str]:
    """The fastest steps on a device whose integers are those of the definition, by `trace` of a model's own.

    With them one line that says why they are slower than they should be there; empty where they are not.
    """
    if device.type == "cpu":
        return FusedRows(config, arrays), ""
    plain = TorchRows(config, arrays, device)
    try:
        fused = TritonRows(config, arrays, device)
        why = difference(trace(fused, _inputs(device)), trace(plain, _inputs(device)))
    except ImportError as error:
        why = f"{error}; install the triton that this torch was built with"
    except Exception as error:  # A compiler or driver that Triton cannot use has errors of its own.
        why = f"Triton's kernels do not run here ({type(error).__name__}: {str(error).strip().partition(chr(10))[0]})"
    else:
        if not why:
            return fused, ""
    return plain, f"the byte LM takes plain torch operators on {device}, slower, with the same codes: {why}"


def difference(found: list[Tensor], expected: list[Tensor]) -> str:
    """What two traces differ in, as a reason; empty where they are equal bit for bit."""
    wrong = sum(not torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    if not wrong:
        return ""
    return f"Triton's kernels compute {wrong} of {len(expected)} arrays otherwise here; please report device and driver"


def _inputs(device: torch.device) -> Tensor:
    """Windows of drawn bytes, int64 [rows, bytes], each from its head; the last ones are of one byte repeated."""
    inputs = np.random.default_rng(0).integers(0, 256, (CHECKED_ROWS, CHECKED_BYTES))
    inputs[-16:] = np.arange(0, 256, 16)[:, None]
    inputs[:, 0] = START
    return torch.from_numpy(inputs).to(device)
