"""Matrix products of small integers, exact on whatever unit a machine has for them.

Sums stay below 2^24 (`exact_quantise.py`), so int8 with sums in 32 bits, float32, bfloat16 or TF32 with float32 sums
give the same integers, and a machine is free to choose by speed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

Product = Callable[[Tensor, Tensor], Tensor]
"""product(left int8 [rows, n], right int8 [m, n]) is left · rightᵀ, [rows, m], as int32 or as float32 integers."""

INT8_CAPABILITIES = ("AVX2", "AVX512")
"""CPU capabilities, as torch names them, for which oneDNN multiplies int8 at two to four times the rate of float32."""
CUDA_MIN_ROWS = 32
"""CUDA's product of int8 wants more than 16 rows."""


def int8_product(left: Tensor, right: Tensor) -> Tensor:
    """By int8 units, or what stands in for them: int32 [rows, m]."""
    rows, columns = left.shape
    if columns == 1:  # torch 2.13 leaves such a product unset on a CPU.
        left, right = F.pad(left, (0, 1)), F.pad(right, (0, 1))
    if left.is_cuda and rows < CUDA_MIN_ROWS:
        left = F.pad(left, (0, 0, 0, CUDA_MIN_ROWS - rows))
    return torch._int_mm(left, right.t())[:rows]


def float32_product(left: Tensor, right: Tensor) -> Tensor:
    """By float32 units: float32 [rows, m]. Inside, bfloat16 or TF32 change nothing."""
    return torch.mm(left.to(torch.float32), right.to(torch.float32).t())


PRODUCTS: dict[str, Product] = {"int8": int8_product, "float32": float32_product}


def is_exact(product: Product, columns: int, device: torch.device) -> bool:
    """Whether the product gives the integers that float64 gives: values of every size, the largest ones together, in
    batches of one row and of many."""
    left, right = (torch.arange(rows * columns, device=device).view(rows, columns) for rows in (32, 16))
    left, right = left * 7919 % 255 - 127, right * 104729 % 127 - 63
    left[:4], right[:4] = 127, 63
    left[2:6], right[2:6] = -127, -63
    expected = left.double() @ right.double().t()
    left, right = left.to(torch.int8), right.to(torch.int8)
    try:
        return all(torch.equal(product(left[:rows], right).double(), expected[:rows]) for rows in (1, 2, 31, 32))
    except (RuntimeError, AttributeError):
        return False


def fast_product(columns: Iterable[int], device: torch.device) -> str:
    """The fastest product here that is exact for so many columns: int8 where that is fast, else float32."""
    has_units = device.type == "cuda" or torch.backends.cpu.get_cpu_capability() in INT8_CAPABILITIES
    return "int8" if has_units and all(is_exact(int8_product, n, device) for n in columns) else "float32"
