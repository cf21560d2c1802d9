"""What the exact byte LM computes between its matrix products: the definition, row by row, in plain torch.

The same integers everywhere, by four rules:

1. A sum is over integers. Sums of products are below 2^24 in absolute value and so exact in float32, bfloat16 with
   float32 sums, TF32 or int8, in any order; all others are integers of 32 or 64 bits, or in float64 below 2^53.
2. Every other step works on one element and is rounded once, as IEEE 754 says: add, multiply, divide, square root,
   round half to even, and the conversion of an integer. No reciprocals, no fused multiply-add, no library of functions.
3. Exponentials, sigmoids and rotations come from integer tables (`exact_tables.py`).
4. What a sum or a comparison over a row needs is quantised first: [-127, 127] times one scale.

Every float ends in a rounding to an integer, of a value that denormal numbers are far too small to move; so neither
these nor -0.0 can be seen from outside. Divisions are of tensor by tensor: torch may divide by a Python number through
its reciprocal, which rounds twice.

Arrays here are [rows, …]: a row is one position of one text. Units: `queries`, `keys` and `values` are int8 with one
scale per head, scores and outputs are in 1/256 bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kernels.exact_tables import (
    EXP2_BITS,
    LOG2_BITS,
    ROTATION_UNIT,
    SIGMOID_LIMIT,
    SIGMOID_STEPS,
    SIGMOID_UNIT,
    STEP_BITS,
    STEPS_PER_BIT,
)
from kernels.window_coder import PRECISION_BITS

LEVELS = 127
"""Quantised activations are integers from -LEVELS to LEVELS."""
SMALLEST_ABSMAX = 2.0**-24
"""A row whose largest absolute value is smaller is quantised as if it were this; so a row of zeros needs no case."""
ONE_LEVEL = float(np.float32(1 / LEVELS))
MAX_STEPS = 2.0**21
"""Scores and outputs are clamped to this, in 1/256 bit, so that they are exact integers in float32."""
SCORE_WEIGHT_BITS = 20
"""The largest weight of a position in attention, before they are divided by their sum, is 2^SCORE_WEIGHT_BITS."""
SHARE_BITS = 23
"""Shares of attention are in 2^-SHARE_BITS, so a sum of shares times values is below 127 · 2^24 < 2^31."""
MAX_ATTENTION = 1 << (31 - SCORE_WEIGHT_BITS)
"""Positions that one can attend to, less one: the sum of their weights is below 2^31."""

FORBIDDEN = -(1 << 30)
"""The output of a byte that cannot come: so far below any other that its weight is 0, and equal to itself."""
ENTROPY_BITS = 10
"""Entropies are in 2^-ENTROPY_BITS bit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tables:
    """The tables as the arithmetic uses them, on one device."""

    cos: Tensor
    """float32 [positions, head size / 2]"""
    sin: Tensor
    """float32 [positions, head size / 2]"""
    sigmoid: Tensor
    """float32, of the multiples of 1 / SIGMOID_STEPS from -SIGMOID_LIMIT on"""
    exp2: Tensor
    """int32 [256]"""
    log2: Tensor
    """int64 [257]"""

    @classmethod
    def load(cls, arrays: dict[str, np.ndarray], device: torch.device) -> Tables:
        """From the arrays of an artifact."""
        units = {"cos": ROTATION_UNIT, "sin": ROTATION_UNIT}
        rotation = {
            name: torch.from_numpy(arrays[f"rotation.{name}"].astype(np.float32)) * unit for name, unit in units.items()
        }
        sigmoid = torch.from_numpy(arrays["sigmoid"].astype(np.float32)) * SIGMOID_UNIT
        exp2 = torch.from_numpy(arrays["exp2"].astype(np.int32))
        log2 = torch.from_numpy(arrays["log2"].astype(np.int64))
        return cls(
            cos=rotation["cos"].to(device),
            sin=rotation["sin"].to(device),
            sigmoid=sigmoid.to(device),
            exp2=exp2.to(device),
            log2=log2.to(device),
        )


def quantise(y: Tensor) -> tuple[Tensor, Tensor]:
    """int8 [..., n] and float32 [..., 1], whose product is y, float32 [..., n], rounded to 127 levels a side."""
    absmax = y.abs().amax(-1, keepdim=True).clamp_min(SMALLEST_ABSMAX)
    levels = torch.round(y * (torch.full_like(absmax, LEVELS) / absmax))
    return levels.to(torch.int8), absmax * ONE_LEVEL


def normalise(x: Tensor) -> tuple[Tensor, Tensor]:
    """int8 [rows, n] and float32 [rows, 1], whose product is x / RMS(x), for x float32 [rows, n].

    The root mean square is that of the quantised row: x's own scale is in both and need not be known.
    """
    levels, _ = quantise(x)
    squares = levels.to(torch.int32).square().sum(-1, keepdim=True, dtype=torch.int64).clamp_min(1)
    squares = squares.to(torch.float32)
    return levels, square_root(torch.full_like(squares, x.shape[-1]) / squares)


def square_root(x: Tensor) -> Tensor:
    """Square roots of float32, rounded to the nearest float32.

    torch.sqrt is not: on a CPU it may be a vector library's, and one unit off in a fifth of all cases. In float64 that
    is harmless. The root of a float32 in [1, 4) is at least 2^-50, 4 units of float64, away from the middle between two
    float32, so a float64 that is nearer to the root than that is rounded to the right side.
    """
    return torch.sqrt(x.to(torch.float64)).to(torch.float32)


def scaled(sums: Tensor, column_scale: Tensor, row_scale: Tensor) -> Tensor:
    """float32 [rows, n]: a product's integers times the scales of its columns [n], then of its rows [rows, 1]."""
    return sums.to(torch.float32) * column_scale * row_scale


def project(
    sums: Tensor, column_scale: Tensor, row_scale: Tensor, positions: Tensor, heads: int, tables: Tables
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Queries and keys, rotated, and values, each int8 [rows, heads, head size] with scales float32 [rows, heads].

    sums: [rows, 3 · dim], of queries, keys, values; positions: int64 [rows].
    """
    q, k, v = scaled(sums, column_scale, row_scale).unflatten(-1, (3, heads, -1)).unbind(1)
    cos, sin = tables.cos[positions].unsqueeze(1), tables.sin[positions].unsqueeze(1)
    (queries, query_scales), (keys, key_scales), (values, value_scales) = (
        quantise(part) for part in (_rotated(q, cos, sin), _rotated(k, cos, sin), v)
    )
    return (
        (queries, query_scales.squeeze(-1)),
        (keys, key_scales.squeeze(-1)),
        (values, value_scales.clamp_max(1.0).squeeze(-1)),
    )


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, -1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), -1)


def attend(
    query: tuple[Tensor, Tensor], key: tuple[Tensor, Tensor], value: tuple[Tensor, Tensor], seen: Tensor, tables: Tables
) -> Tensor:
    """What each row attends to, float32 [rows, dim], in 2^-SHARE_BITS.

    query: int8 [rows, heads, head size], float32 [rows, heads]. key, value: the same of n positions, [rows, n, heads,
    head size] and [rows, n, heads]. seen: bool [rows, n], which of them the row attends to, at least one.
    """
    dots = torch.einsum("rhd,rnhd->rhn", query[0].double(), key[0].double()).to(torch.float32)
    scales = query[1].unsqueeze(-1) * key[1].transpose(1, 2)
    scores = torch.round((dots * scales).clamp(-MAX_STEPS, MAX_STEPS)).to(torch.int32)
    scores = scores.masked_fill(~seen.unsqueeze(1), FORBIDDEN)
    weights = exp2_weights(scores, tables.exp2, SCORE_WEIGHT_BITS)
    totals = weights.sum(-1, keepdim=True, dtype=torch.int64).to(torch.float32)
    unit = torch.full_like(totals, 1 << SHARE_BITS) / totals
    shares = torch.round(weights.to(torch.float32) * value[1].transpose(1, 2) * unit)
    return torch.einsum("rhn,rnhd->rhd", shares.double(), value[0].double()).to(torch.float32).flatten(1)


def exp2_weights(steps: Tensor, exp2: Tensor, bits: int) -> Tensor:
    """int32 [..., n]: 2^bits · 2^((steps - largest step of the row) / 256), rounded down; steps int32 [..., n]."""
    below = steps.amax(-1, keepdim=True) - steps
    shift = ((below >> STEP_BITS) + (EXP2_BITS - bits)).clamp_max(31)
    return exp2[below & (STEPS_PER_BIT - 1)] >> shift


def gated(sums: Tensor, column_scale: Tensor, row_scale: Tensor, tables: Tables) -> Tensor:
    """SiLU of the gate times up, float32 [rows, n], of sums [rows, 2 · n]: gates, then ups."""
    gate, up = scaled(sums, column_scale, row_scale).chunk(2, -1)
    limit = SIGMOID_LIMIT * SIGMOID_STEPS
    entries = torch.round((gate * SIGMOID_STEPS).clamp(-limit, limit)).to(torch.int64) + limit
    return gate * tables.sigmoid[entries] * up


def to_outputs(sums: Tensor, column_scale: Tensor, row_scale: Tensor) -> Tensor:
    """log2 of the next byte's weights, int32 [rows, 256], in 1/256 bit."""
    logits = scaled(sums, column_scale, row_scale)
    return torch.round(logits.clamp(-MAX_STEPS, MAX_STEPS)).to(torch.int32)


def cumulative_frequencies(outputs: Tensor, window_bits: int, tables: Tables) -> Tensor:
    """Cumulative frequencies int32 [rows, 257], from 0 to 2^16, of outputs int32 [rows, 256].

    With m = 2^(16 - window_bits) and weights w = 2^24 · 2^((output - largest output) / 256), rounded down:

        frequency = m + floor(w · (2^16 - 256 m) / Σ w),   and what is missing to 2^16 goes to the byte of the largest
                                                            output, the smallest byte among equals
    """
    least = 1 << (PRECISION_BITS - window_bits)
    weights = exp2_weights(outputs, tables.exp2, EXP2_BITS).to(torch.int64)
    shared = weights * ((1 << PRECISION_BITS) - 256 * least)
    frequencies = shared // weights.sum(-1, keepdim=True) + least
    missing = (1 << PRECISION_BITS) - frequencies.sum(-1, keepdim=True)
    frequencies.scatter_add_(1, outputs.argmax(-1, keepdim=True), missing)
    return torch.nn.functional.pad(frequencies.cumsum(-1), (1, 0)).to(torch.int32)


def entropies_bits(outputs: Tensor, tables: Tables) -> Tensor:
    """H = -Σ p log2 p, float32 [rows], in bits, a multiple of 1/1024, of outputs int32 [rows, 256].

    With w and Σ w as in `cumulative_frequencies`: log2 Σ w - 24 + Σ w · (largest output - output) / (256 Σ w).
    """
    weights = exp2_weights(outputs, tables.exp2, EXP2_BITS).to(torch.int64)
    below = (outputs.amax(-1, keepdim=True) - outputs).to(torch.int64)
    totals = weights.sum(-1)
    spread = ((weights * below).sum(-1) << (LOG2_BITS - STEP_BITS)) // totals
    bits = log2_of(totals, tables) - (EXP2_BITS << LOG2_BITS) + spread
    rounded = (bits + (1 << (LOG2_BITS - ENTROPY_BITS - 1))) >> (LOG2_BITS - ENTROPY_BITS)
    return rounded.clamp_min(0).to(torch.float32) * 2.0**-ENTROPY_BITS


def surprisals_bits(outputs: Tensor, symbols: Tensor, tables: Tables) -> Tensor:
    """-log2 p of bytes int64 [rows], float64 [rows], in bits, a multiple of 2^-16, of outputs int32 [rows, 256]."""
    totals = exp2_weights(outputs, tables.exp2, EXP2_BITS).sum(-1, dtype=torch.int64)
    below = (outputs.amax(-1) - outputs.gather(1, symbols[:, None]).squeeze(1)).to(torch.int64)
    bits = log2_of(totals, tables) - (EXP2_BITS << LOG2_BITS) + (below << (LOG2_BITS - STEP_BITS))
    return bits.to(torch.float64) * 2.0**-LOG2_BITS


def log2_of(totals: Tensor, tables: Tables) -> Tensor:
    """log2 of integers int64 from 2^24 to 2^32, in 2^-16: by the table, and linear between its entries."""
    exponent = torch.full_like(totals, EXP2_BITS)
    for bit in range(EXP2_BITS + 1, 33):
        exponent += totals >= 1 << bit
    fraction = (totals << (32 - exponent)) - (1 << 32)
    entry, rest = fraction >> (32 - STEP_BITS), fraction & ((1 << (32 - STEP_BITS)) - 1)
    low, high = tables.log2[entry], tables.log2[(entry + 1).clamp_max(STEPS_PER_BIT)]
    return (exponent << LOG2_BITS) + low + ((high - low) * rest >> (32 - STEP_BITS))
