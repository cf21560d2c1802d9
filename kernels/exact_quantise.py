"""From the weights of a trained byte LM to the integers, scales and tables of the exact one.

Each matrix becomes int8, at most 63 in absolute value, times one float32 scale per output channel. The gains of the
norms are folded into the matrices behind them, and constants into scales: log2(e) / sqrt(head size) and 256 into the
queries', so that scores are in 1/256 bit; log2(e) and 256 into the head's. Values are scaled so that their largest
possible scale is 1, and the matrix behind attention undoes that.

63, not 127: with activations up to 127 a product's sum stays below 2^24 for up to 2,096 columns, and the int8
instructions of older CPUs, which add two products in 16 bits after moving one factor to 0 … 255, cannot saturate.
"""

from __future__ import annotations

import math

import numpy as np

from kernels.byte_lm_config import START, ByteLMConfig
from kernels.exact_rows import LEVELS, MAX_ATTENTION, SHARE_BITS
from kernels.exact_tables import STEPS_PER_BIT, check_tables, make_tables, table_shapes

WEIGHT_LEVELS = 63
"""Quantised weights are integers from -WEIGHT_LEVELS to WEIGHT_LEVELS."""
MAX_COLUMNS = (1 << 24) // (WEIGHT_LEVELS * LEVELS)
"""Inputs of a matrix: with more, a sum of products could reach 2^24."""
SMALLEST_ABSMAX = 1e-6
"""A channel of smaller weights is quantised as if this were its largest."""
SMALLEST_SCALE, LARGEST_SCALE = 2.0**-80, 2.0**8
"""Between these no product of scales, sums and activations overflows or becomes denormal."""


def matrix_shapes(config: ByteLMConfig) -> dict[str, tuple[int, int]]:
    """Outputs and inputs of each quantised matrix; each has `.weight` and `.scale`."""
    dim, ffn_dim = config.dim, config.ffn_dim
    shapes = {"embedding": (START + 1, dim), "head": (256, dim)}
    for layer in range(config.layers):
        block = {"qkv": (3 * dim, dim), "out": (dim, dim), "gate_up": (2 * ffn_dim, dim), "down": (dim, ffn_dim)}
        shapes |= {f"blocks.{layer}.{name}": shape for name, shape in block.items()}
    return shapes


def weight_levels(name: str) -> int:
    """The largest absolute value of a quantised matrix; the embedding takes part in no product and may have more."""
    return LEVELS if name.startswith("embedding") else WEIGHT_LEVELS


def check_shape(config: ByteLMConfig) -> None:
    """ValueError where sums could be inexact."""
    if max(config.dim, config.ffn_dim) > MAX_COLUMNS:
        raise ValueError(f"byte LM: dim {config.dim} and ffn_dim {config.ffn_dim} must be at most {MAX_COLUMNS}")
    if config.attention_bytes >= MAX_ATTENTION:
        raise ValueError(f"byte LM: attention_bytes {config.attention_bytes} must be below {MAX_ATTENTION}")


def quantise_byte_lm(config: ByteLMConfig, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The exact model's arrays, by name, of the floating-point weights of `kernels.byte_lm.ByteLM`, by theirs."""
    check_shape(config)
    floats = {name: np.asarray(weight, np.float64) for name, weight in weights.items()}
    dim = config.dim
    to_steps = STEPS_PER_BIT * math.log2(math.e)
    arrays = dict(make_tables(config))

    def store(name: str, matrix: np.ndarray, factor: float | np.ndarray = 1.0) -> None:
        """`matrix` [outputs, inputs] quantised, its scales times `factor`, one or [outputs]."""
        absmax, levels = np.maximum(np.abs(matrix).max(1), SMALLEST_ABSMAX), weight_levels(name)
        arrays[f"{name}.weight"] = np.rint(matrix / absmax[:, None] * levels).astype(np.int8)
        arrays[f"{name}.scale"] = (absmax / levels * factor).astype(np.float32)

    store("embedding", floats["embedding.weight"])
    for layer in range(config.layers):
        block = f"blocks.{layer}"
        qkv = floats[f"{block}.qkv.weight"] * floats[f"{block}.attention_norm.weight"]
        store(f"{block}.qkv", qkv)
        values = (arrays[f"{block}.qkv.{part}"][2 * dim :] for part in ("weight", "scale"))
        largest = _largest_value_scale(*values)
        factors = np.concatenate(
            (np.full(dim, to_steps / math.sqrt(dim // config.heads)), np.ones(dim), np.full(dim, 1 / largest))
        )
        store(f"{block}.qkv", qkv, factors)
        store(f"{block}.out", floats[f"{block}.out.weight"], largest * 2.0**-SHARE_BITS)
        store(f"{block}.gate_up", floats[f"{block}.gate_up.weight"] * floats[f"{block}.ffn_norm.weight"])
        store(f"{block}.down", floats[f"{block}.down.weight"])
    store("head", floats["head.weight"] * floats["norm.weight"], to_steps)
    check_arrays(config, arrays)
    return arrays


def _largest_value_scale(weight: np.ndarray, scale: np.ndarray) -> float:
    """No value's scale is above this: its row is normal, so |value| ≤ |channel's weights| · sqrt(dim)."""
    norms = np.sqrt((weight.astype(np.float64) ** 2).sum(1)) * scale
    return max(float(norms.max()) * math.sqrt(weight.shape[1]) / LEVELS * 1.001, SMALLEST_ABSMAX)


def check_arrays(config: ByteLMConfig, arrays: dict[str, np.ndarray]) -> None:
    """ValueError where arrays are not those of an exact byte LM of this shape, or would make a sum inexact."""
    check_shape(config)
    shapes: dict[str, tuple[tuple[int, ...], type]] = dict(table_shapes(config))
    for name, (outputs, inputs) in matrix_shapes(config).items():
        shapes |= {f"{name}.weight": ((outputs, inputs), np.int8), f"{name}.scale": ((outputs,), np.float32)}
    if arrays.keys() != shapes.keys():
        raise ValueError(f"arrays missing or of no use: {', '.join(sorted(arrays.keys() ^ shapes.keys()))}")
    for name, (shape, dtype) in shapes.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(f"array {name} is {array.dtype} {array.shape}, not {np.dtype(dtype)} {shape}")
        if name.endswith(".weight") and np.abs(array.astype(np.int16)).max() > weight_levels(name):
            raise ValueError(f"array {name} has values beyond {weight_levels(name)}")
        if name.endswith(".scale") and not ((array >= SMALLEST_SCALE) & (array <= LARGEST_SCALE)).all():
            raise ValueError(f"array {name} has scales outside {SMALLEST_SCALE:.0e} to {LARGEST_SCALE:.0e}")
    check_tables(arrays)
