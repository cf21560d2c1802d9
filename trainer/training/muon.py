"""Muon in float32: matrices move along their orthogonalised momentum, all neurons by steps of one length.

    gradient ─► momentum, looked ahead ─► Polar Express, three times X (a + b XᵀX + c (XᵀX)²) ─► NorMuon ─► weight

Polar Express brings the singular values of an update near 1, three steps all above a hundredth of the largest to
between 0.18 and 1.9. Muon: Jordan et al. 2024. Polar Express and its coefficients: Amsel et al., arXiv 2505.16932.
NorMuon, which divides each row by the root of a running mean of its squares: Li et al., arXiv 2510.05491.

`torch.optim.Muon` computes in bfloat16, which CPUs without instructions for it imitate at a tenth of the speed; here
everything is float32 on every device, and matrices of one shape go together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

SAFETY = 1.01
"""Every polynomial is stretched by this, so that rounding carries no singular value out of its range."""
_LISTED = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
)
POLAR_EXPRESS = tuple((a / SAFETY, b / SAFETY**3, c / SAFETY**5) for a, b, c in _LISTED)
"""(a, b, c) of the polynomials a x + b x³ + c x⁵, one for each step, from the paper's listing."""
EPSILON = 1e-8
PARTS = {"qkv": 3, "gate_up": 2}
"""Matrices of blocks that are several in one: queries, keys and values; gate and input of the feed-forward layer."""


def orthogonalise(matrices: Tensor, steps: int) -> Tensor:
    """Matrices float32 [n, rows, columns], rows ≤ columns, with singular values moved towards 1 and vectors kept."""
    x = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) * SAFETY + EPSILON)
    for a, b, c in POLAR_EXPRESS[:steps]:
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def matrices_and_others(model: nn.Module) -> tuple[list[tuple[nn.Parameter, int]], list[nn.Parameter]]:
    """The matrices of a model's blocks, each with the number of its parts, for Muon; and all other parameters."""
    matrices: list[tuple[nn.Parameter, int]] = []
    others: list[nn.Parameter] = []
    for name, weight in model.named_parameters():
        *_, within, last = ("", *name.removeprefix("module.").split("."))
        if weight.dim() == 2 and name.removeprefix("module.").startswith("blocks.") and last == "weight":
            matrices.append((weight, PARTS.get(within, 1)))
        else:
            others.append(weight)
    return matrices, others


class Muon(torch.optim.Optimizer):
    """Muon over matrices. A matrix that is several in one, such as queries, keys and values, moves part by part."""

    def __init__(
        self,
        matrices: Iterable[tuple[nn.Parameter, int]],
        *,
        lr: float,
        momentum: float = 0.95,
        square_decay: float = 0.95,
        steps: int = 3,
    ) -> None:
        """matrices: each with the number of equal parts that its rows are. steps: of Polar Express, at most five."""
        assert 1 <= steps <= len(POLAR_EXPRESS), steps
        by_parts: dict[int, list[nn.Parameter]] = {}
        for matrix, parts in matrices:
            assert matrix.dim() == 2 and matrix.shape[0] % parts == 0, (matrix.shape, parts)
            by_parts.setdefault(parts, []).append(matrix)
        groups = [{"params": params, "parts": parts} for parts, params in by_parts.items()]
        super().__init__(groups, {"lr": lr, "momentum": momentum, "square_decay": square_decay, "steps": steps})
        for matrix in (matrix for group in self.param_groups for matrix in group["params"]):
            self.state[matrix] = {
                "momentum": torch.zeros_like(matrix),
                "row_squares": torch.zeros(matrix.shape[0], 1, device=matrix.device),
                "step": torch.zeros(()),
            }

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Move every matrix that has a gradient."""
        assert closure is None
        by_shape: dict[tuple[int, ...], list[_Part]] = {}
        for group in self.param_groups:
            for matrix in group["params"]:
                self.state[matrix]["step"] += 1
                for part in _parts(matrix, self.state[matrix], group):
                    by_shape.setdefault(tuple(sorted(part.weight.shape)), []).append(part)
        for parts in by_shape.values():
            updates = orthogonalise(torch.stack([part.wide(part.looked_ahead()) for part in parts]), parts[0].steps)
            for part, update in zip(parts, updates, strict=True):
                part.move(part.wide(update))


class _Part:
    """One matrix, or one of several that share a parameter, with its views of gradient and state."""

    def __init__(self, weight: Tensor, gradient: Tensor, momentum: Tensor, row_squares: Tensor, group: dict):
        self.weight, self.gradient, self.momentum, self.row_squares = weight, gradient, momentum, row_squares
        self.lr, self.decay, self.square_decay = group["lr"], group["momentum"], group["square_decay"]
        self.steps = group["steps"]

    def wide(self, matrix: Tensor) -> Tensor:
        """Transposed where the weight is taller than wide: there and back."""
        return matrix.mT if self.weight.shape[0] > self.weight.shape[1] else matrix

    def looked_ahead(self) -> Tensor:
        """The momentum with this gradient, and this gradient once more (Nesterov)."""
        self.momentum.lerp_(self.gradient, 1 - self.decay)
        return self.gradient.lerp(self.momentum, self.decay)

    def move(self, update: Tensor) -> None:
        """NorMuon, then the step: rows of one length on average, the whole as long as before."""
        self.row_squares.lerp_(update.square().mean(1, keepdim=True), 1 - self.square_decay)
        evened = update / (self.row_squares.sqrt() + EPSILON)
        length = update.norm() / (evened.norm() + EPSILON) * math.sqrt(max(1.0, update.shape[0] / update.shape[1]))
        self.weight.sub_(evened * (self.lr * length))


def _parts(matrix: nn.Parameter, state: dict[str, Tensor], group: dict[str, Any]) -> list[_Part]:
    if matrix.grad is None:
        return []
    views = (t.chunk(group["parts"]) for t in (matrix.data, matrix.grad, state["momentum"], state["row_squares"]))
    return [
        _Part(weight, grad, momentum, squares, group) for weight, grad, momentum, squares in zip(*views, strict=True)
    ]
