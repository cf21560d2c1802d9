"""Steps that compute other integers, or none, are not taken, and a line says why."""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kernels import exact_choice
from kernels.exact_fused import FusedRows
from kernels.exact_lm import ExactByteLM
from kernels.exact_steps import KvCache, TorchRows
from tests.bench.launches import read_launches
from tests.kernels.exact_models import micro_exact
from tests.kernels.micro_lm import CONFIG

GPU = torch.device("cuda")


class OneOff(TorchRows):
    """One output of a prefix is one too large."""

    def outputs(self, sums: Tensor, scale: Tensor, row_scale: Tensor) -> Tensor:
        out = super().outputs(sums, scale, row_scale)
        out[-1, 77] += 1
        return out


class OneUlpOff(TorchRows):
    """The scale of one key is the next float: no output need show it."""

    def project(
        self, sums: Tensor, scale: Tensor, row_scale: Tensor, positions: Tensor, own: Tensor, cache: KvCache
    ) -> tuple[Tensor, Tensor]:
        queries = super().project(sums, scale, row_scale, positions, own, cache)
        one = cache.key_scales[own[0], 0]
        cache.key_scales[own[0], 0] = torch.nextafter(one, one + 1)
        return queries


class NoTriton(TorchRows):
    def __init__(self, *how: Any) -> None:
        raise ModuleNotFoundError("No module named 'triton'")


class NoCompiler(TorchRows):
    def outputs(self, sums: Tensor, scale: Tensor, row_scale: Tensor) -> Tensor:
        raise RuntimeError("ptxas: unknown architecture\nsecond line")


class Right(TorchRows):
    pass


def chosen(monkeypatch: pytest.MonkeyPatch, rows: type[TorchRows]) -> tuple[type, str]:
    """The steps that are taken on a GPU, all of it on this CPU, and why they are slow."""
    cpu = torch.device("cpu")
    monkeypatch.setattr(exact_choice, "TritonRows", lambda config, arrays, device: rows(config, arrays, cpu))
    monkeypatch.setattr(exact_choice, "TorchRows", lambda config, arrays, device: TorchRows(config, arrays, cpu))
    own = exact_choice._inputs
    monkeypatch.setattr(exact_choice, "_inputs", lambda device: own(cpu)[-32:])
    model = micro_exact()
    taken, why = exact_choice.fast_rows(CONFIG, model.arrays, GPU, model._trace)
    return type(taken), why


def test_steps_that_compute_the_same_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, Right) == (Right, "")


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (OneOff, "Triton's kernels compute 7 of 15 arrays otherwise here; please report device and driver"),
        (OneUlpOff, "Triton's kernels compute "),
        (NoTriton, "No module named 'triton'; install the triton that this torch was built with"),
        (NoCompiler, "Triton's kernels do not run here (RuntimeError: ptxas: unknown architecture)"),
    ],
)
def test_others_are_not_and_a_line_says_why(monkeypatch: pytest.MonkeyPatch, rows: type[TorchRows], why: str) -> None:
    taken, line = chosen(monkeypatch, rows)
    assert taken is TorchRows
    assert line.startswith(f"the byte LM takes plain torch operators on cuda, slower, with the same codes: {why}")
    assert "\n" not in line


def test_a_cpu_takes_its_loops() -> None:
    model = micro_exact()
    assert (model.steps_name, type(model._rows), model.slower_because) == ("FusedRows", FusedRows, "")
    assert micro_exact(rows=TorchRows(CONFIG, model.arrays, model.device)).steps_name == "TorchRows"


def test_tritons_kernels_are_a_twentieth_of_the_launches() -> None:
    """A layer is four products and five kernels; plain torch has a hundred and more."""
    config = dataclasses.replace(CONFIG, layers=2)
    one, two = (read_launches(dataclasses.replace(config, layers=layers), triton=True) for layers in (1, 2))
    assert two - one == 9
    assert two <= 34
    assert read_launches(config, triton=False) > 300


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="no Triton")
def test_a_gpu_takes_tritons_kernels() -> None:
    arrays: dict[str, np.ndarray] = micro_exact().arrays
    assert ExactByteLM(CONFIG, arrays, device="cuda").steps_name == "TritonRows"
