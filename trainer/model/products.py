"""Matrix products whose sums are, and stay, in fp32, whatever the factors are.

A bf16 product that leaves in bf16 rounds each sum to 8 bits, and a sum over many such products rounds each of them.
GPUs sum up in fp32 anyway, and torch lets these sums out where it is asked to: on CUDA. On a CPU factors are made fp32,
which changes none of them.
"""

from __future__ import annotations

import torch
from torch import Tensor


def factor(values: Tensor) -> Tensor:
    """The same numbers as products take them on that device; made once where a factor is multiplied several times."""
    return values if _has_fp32_sums(values) else values.float()


def product(left: Tensor, right: Tensor, *, out: Tensor | None = None) -> Tensor:
    """left [n, k] @ right [k, m], of one dtype, in fp32; into `out` where it is given."""
    if left.dtype != torch.float32 and _has_fp32_sums(left):
        return torch.mm(left, right, out_dtype=torch.float32, out=out)
    return torch.mm(left.float(), right.float(), out=out)


def add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add left [n, k] @ right [k, m], of one dtype, to total, fp32 [n, m], in place and without another [n, m]."""
    if left.dtype != torch.float32 and _has_fp32_sums(left):
        torch.addmm(total, left, right, out_dtype=torch.float32, out=total)
    else:
        total.addmm_(left.float(), right.float())


def _has_fp32_sums(values: Tensor) -> bool:
    """Whether torch gives fp32 sums of lower factors on that device."""
    return values.is_cuda
