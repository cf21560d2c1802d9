"""Exact byte LMs of random arrays, and every way to compute one."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from kernels.byte_lm import ByteLM
from kernels.byte_lm_config import ByteLMConfig
from kernels.exact_fused import FusedRows
from kernels.exact_lm import ExactByteLM
from kernels.exact_products import PRODUCTS
from kernels.exact_quantise import matrix_shapes, quantise_byte_lm, weight_levels
from kernels.exact_steps import Rows, TorchRows
from kernels.exact_tables import make_tables
from tests.kernels.micro_lm import CONFIG, micro_lm


def random_arrays(config: ByteLMConfig, seed: int) -> dict[str, np.ndarray]:
    """Arrays without sense, within their limits: rows of zeros, rows of the largest weights, scales of all sizes."""
    rng = np.random.default_rng(seed)
    arrays = make_tables(config)
    for name, shape in matrix_shapes(config).items():
        levels = weight_levels(name)
        weight = rng.integers(-levels, levels + 1, shape)
        kind = rng.integers(0, 8, shape[0])
        weight[kind == 0] = 0
        weight[kind == 1] = levels
        arrays[f"{name}.weight"] = weight.astype(np.int8)
        arrays[f"{name}.scale"] = (2.0 ** rng.uniform(-14, -4, shape[0])).astype(np.float32)
    return arrays


def quantised(model: ByteLM) -> dict[str, np.ndarray]:
    """The arrays of the exact model that comes from a floating-point one."""
    weights = {name: weight.detach().numpy() for name, weight in model.state_dict().items()}
    return quantise_byte_lm(model.config, weights)


def micro_exact(seed: int = 0, **how: object) -> ExactByteLM:
    """`micro_lm`, quantised."""
    return ExactByteLM(CONFIG, quantised(micro_lm(seed)), **how)  # type: ignore[arg-type]


def all_ways(config: ByteLMConfig, arrays: dict[str, np.ndarray]) -> list[ExactByteLM]:
    """The model by each kind of products and of loops that this machine has."""
    cpu = torch.device("cpu")
    rows: tuple[Rows, ...] = (FusedRows(config, arrays), TorchRows(config, arrays, cpu))
    return [
        ExactByteLM(config, arrays, product=product, rows=row) for product, row in itertools.product(PRODUCTS, rows)
    ]
