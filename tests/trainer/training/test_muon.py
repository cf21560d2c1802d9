"""Muon: what orthogonalising does to singular values and vectors, and that matrices go together as they would alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from trainer.training.muon import Muon, orthogonalise


def random(*shape: int, seed: int = 0) -> Tensor:
    """A matrix of normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(0, 60), st.integers(0, 2**20), st.floats(1e-4, 1e4))
def test_singular_values_go_to_one_and_vectors_stay(rows: int, more: int, seed: int, scale: float) -> None:
    matrix = random(1, rows, rows + more, seed=seed) * scale
    left, before, right = torch.linalg.svd(matrix[0], full_matrices=False)
    after = (left.T @ orthogonalise(matrix, 5)[0] @ right.T).diagonal()
    large = before > before[0] / 100
    assert after[large].sub(1).abs().max() < 0.2
    assert (left.T @ orthogonalise(matrix, 5)[0] @ right.T - after.diag()).abs().max() < 1e-3


@pytest.mark.parametrize("seed", range(5))
def test_three_steps_narrow_a_range_of_a_hundred_to_ten(seed: int) -> None:
    left, right = (torch.linalg.qr(random(64, 64, seed=seed + i))[0] for i in (0, 100))
    values = torch.linalg.svdvals(orthogonalise((left @ torch.logspace(-2, 0, 64).diag() @ right)[None], 3)[0])
    assert 0.18 < float(values.min()) <= float(values.max()) < 1.9


def test_a_gradient_of_zeros_moves_nothing() -> None:
    matrix = nn.Parameter(random(6, 4))
    before = matrix.detach().clone()
    muon = Muon([(matrix, 1)], lr=0.1)
    matrix.grad = torch.zeros_like(matrix)
    muon.step()
    assert torch.equal(matrix, before)


def moved(matrices: list[tuple[Tensor, int]], steps: int = 3) -> list[Tensor]:
    """Where some steps with fixed gradients take matrices that one optimizer moves."""
    parameters = [(nn.Parameter(matrix.clone()), parts) for matrix, parts in matrices]
    muon = Muon(parameters, lr=0.1)
    for step in range(steps):
        for matrix, _ in parameters:
            matrix.grad = matrix.detach().sin() + random(*matrix.shape, seed=step + matrix.shape[0])
        muon.step()
    return [matrix.detach() for matrix, _ in parameters]


def test_matrices_of_one_shape_move_together_as_they_would_alone() -> None:
    matrices = [(random(8, 12, seed=1), 1), (random(12, 8, seed=2), 1), (random(8, 12, seed=3), 1)]
    for together, matrix in zip(moved(matrices), matrices, strict=True):
        torch.testing.assert_close(together, moved([matrix])[0], rtol=1e-5, atol=1e-6)


def test_parts_of_a_matrix_move_as_matrices_of_their_own() -> None:
    whole = nn.Parameter(random(24, 8))
    parts = [nn.Parameter(part.clone()) for part in whole.detach().chunk(3)]
    for muon, matrices in ((Muon([(whole, 3)], lr=0.1), [whole]), (Muon([(p, 1) for p in parts], lr=0.1), parts)):
        for step in range(3):
            gradient = random(24, 8, seed=step)
            for matrix, grad in zip(matrices, gradient.chunk(len(matrices)), strict=True):
                matrix.grad = grad.clone()
            muon.step()
    torch.testing.assert_close(whole.detach(), torch.cat([part.detach() for part in parts]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 32), (32, 8), (16, 16)])
def test_neurons_whose_gradients_differ_in_size_take_steps_of_one_size(shape: tuple[int, int]) -> None:
    matrix = nn.Parameter(torch.zeros(shape))
    muon = Muon([(matrix, 1)], lr=0.1)
    squares = torch.zeros(shape[0])
    for step in range(40):
        matrix.grad = random(*shape, seed=step) * torch.logspace(-2, 2, shape[0])[:, None]
        before = matrix.detach().clone()
        muon.step()
        squares += (matrix.detach() - before).square().sum(1)
    assert float(squares.max() / squares.min()) < 2


def test_everything_is_float32() -> None:
    matrix = nn.Parameter(random(8, 8))
    muon = Muon([(matrix, 1)], lr=0.1)
    seen = set()

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            found = function(*args, **(kwargs or {}))
            seen.update({found.dtype} if isinstance(found, Tensor) else set())
            return found

    matrix.grad = random(8, 8, seed=1)
    with Watch():
        muon.step()
    assert seen == {torch.float32}
