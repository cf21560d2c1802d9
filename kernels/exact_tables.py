"""The tables of the exact byte LM: rotation, sigmoid, powers and logarithms of two, as integers.

A table is made once, with a model's other arrays (`exact_quantise.py`), and is read from then on: no machine computes a
sine or an exponential when it codes. What is computed with them is in `exact_rows.py`.

    rotation.cos, rotation.sin  int16 [positions, head size / 2]   in 2^-14
    sigmoid                     int32 [4097]    of -16, -16 + 1/128, … 16, in 2^-15
    exp2                        int32 [256]     2^24 · 2^(-i / 256)
    log2                        int32 [257]     log2(1 + i / 256), in 2^-16
"""

from __future__ import annotations

import numpy as np

from kernels.byte_lm_config import ByteLMConfig

ROTATION_UNIT = 2.0**-14
SIGMOID_STEPS = 128
"""Entries of the sigmoid's table per unit of its argument."""
SIGMOID_LIMIT = 16
"""Arguments beyond this have the sigmoid of this."""
SIGMOID_UNIT = 2.0**-15
STEP_BITS = 8
STEPS_PER_BIT = 1 << STEP_BITS
"""Scores and outputs are whole multiples of 1 / STEPS_PER_BIT bit."""
EXP2_BITS = 24
"""The largest weight of `exp2` is 2^EXP2_BITS."""
LOG2_BITS = 16
"""Logarithms are in 2^-LOG2_BITS."""
MIN_POSITIONS = 256
"""Positions that any model can rotate to: more than a segment has bytes."""


def table_shapes(config: ByteLMConfig) -> dict[str, tuple[tuple[int, ...], type]]:
    """Shape and dtype of each table of a model of this shape."""
    positions = max(2 * config.attention_bytes, MIN_POSITIONS)
    rotation = (positions, config.dim // config.heads // 2)
    return {
        "rotation.cos": (rotation, np.int16),
        "rotation.sin": (rotation, np.int16),
        "sigmoid": ((2 * SIGMOID_LIMIT * SIGMOID_STEPS + 1,), np.int32),
        "exp2": ((STEPS_PER_BIT,), np.int32),
        "log2": ((STEPS_PER_BIT + 1,), np.int32),
    }


def make_tables(config: ByteLMConfig) -> dict[str, np.ndarray]:
    """The tables of a model of this shape, by this machine's libm: an entry may differ by 1 on another machine."""
    positions, half = table_shapes(config)["rotation.cos"][0]
    frequency = config.rope_theta ** (-np.arange(half) / half)
    angle = np.arange(positions)[:, None] * frequency
    argument = np.arange(-SIGMOID_LIMIT * SIGMOID_STEPS, SIGMOID_LIMIT * SIGMOID_STEPS + 1) / SIGMOID_STEPS
    steps = np.arange(STEPS_PER_BIT + 1) / STEPS_PER_BIT
    return {
        "rotation.cos": np.rint(np.cos(angle) / ROTATION_UNIT).astype(np.int16),
        "rotation.sin": np.rint(np.sin(angle) / ROTATION_UNIT).astype(np.int16),
        "sigmoid": np.rint(1 / (1 + np.exp(-argument)) / SIGMOID_UNIT).astype(np.int32),
        "exp2": np.rint(2.0 ** (EXP2_BITS - steps[:-1])).astype(np.int32),
        "log2": np.rint(np.log2(1 + steps) * (1 << LOG2_BITS)).astype(np.int32),
    }


def check_tables(tables: dict[str, np.ndarray]) -> None:
    """ValueError where a table has values that the arithmetic of `exact_rows.py` makes no room for."""
    cos, sin = tables["rotation.cos"].astype(np.int64), tables["rotation.sin"].astype(np.int64)
    exp2, log2 = tables["exp2"].astype(np.int64), tables["log2"].astype(np.int64)
    laws = {
        "rotation.cos": np.abs(cos).max() <= 1 / ROTATION_UNIT,
        "rotation.sin": np.abs(sin).max() <= 1 / ROTATION_UNIT,
        "sigmoid": tables["sigmoid"].min() >= 0 and tables["sigmoid"].max() <= 1 / SIGMOID_UNIT,
        "exp2": exp2[0] == 1 << EXP2_BITS and exp2.min() >= 1 << (EXP2_BITS - 1) and (np.diff(exp2) < 0).all(),
        "log2": log2[0] == 0 and log2[-1] == 1 << LOG2_BITS and (np.diff(log2) > 0).all(),
    }
    for name, holds in laws.items():
        if not holds:
            raise ValueError(f"table {name} has values that no such table can have")
