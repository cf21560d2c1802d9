"""The exact byte LM's steps between products as Triton kernels for a GPU, the same bits as `exact_rows` defines.

One program computes one row, and what a row needs stays in a multiprocessor. What makes that exact:

- A multiplication and an addition stay two: `enable_fp_fusion=False` (`exact_triton.OPTIONS`). Divisions and square
  roots are those of IEEE 754 (`div_rn`, `sqrt_rn`); Triton's `/` is not. The suite searches what is compiled for
  NVIDIA's GPUs for anything else, which needs no GPU.
- Rounding half to even is an addition and a subtraction, see `rint`, for Triton has no such function of its own.
- Sums are over integers, and largest values may be found in any order.

Imports Triton, so only `exact_triton` imports it, where there is one; queries, keys, values and attention are in
`exact_triton_attention`. Shapes are those of `exact_steps.Rows`. Constants in capitals are compiled in; blocks are
powers of two that cover what they are for.
"""

# Triton reads annotations of its functions, so there is no `from __future__ import annotations` here.
import triton
import triton.language as tl

from kernels.exact_rows import LEVELS, MAX_STEPS, ONE_LEVEL, SMALLEST_ABSMAX
from kernels.exact_tables import SIGMOID_LIMIT, SIGMOID_STEPS, STEP_BITS, STEPS_PER_BIT
from kernels.window_coder import PRECISION_BITS

_LEVELS = tl.constexpr(float(LEVELS))
_ONE_LEVEL = tl.constexpr(ONE_LEVEL)
_SMALLEST_ABSMAX = tl.constexpr(SMALLEST_ABSMAX)
_MAX_STEPS = tl.constexpr(MAX_STEPS)
_SIGMOID_STEPS = tl.constexpr(float(SIGMOID_STEPS))
_SIGMOID_ENTRIES = tl.constexpr(float(SIGMOID_LIMIT * SIGMOID_STEPS))
_STEP_BITS = tl.constexpr(STEP_BITS)
_STEP_MASK = tl.constexpr(STEPS_PER_BIT - 1)
_WHOLE = tl.constexpr(1 << PRECISION_BITS)
_ROUNDS_SIGNED = tl.constexpr(1.5 * 2.0**23)


@triton.jit
def rint(x):
    """x, |x| ≤ 2^22, to the nearest integer, half to even: a sum of this size has no bits below 1."""
    return (x + _ROUNDS_SIGNED) - _ROUNDS_SIGNED


@triton.jit
def steps(scores):
    """Scores float32 as whole steps, int32, clamped."""
    return rint(tl.minimum(tl.maximum(scores, -_MAX_STEPS), _MAX_STEPS)).to(tl.int32)


@triton.jit
def quantised(y, absmax):
    """Levels int8 of y whose largest absolute value is `absmax`."""
    return rint(y * tl.div_rn(_LEVELS, absmax)).to(tl.int8)


@triton.jit
def store_quantised(y, levels, scales, row, columns, inside, COLUMNS: tl.constexpr):
    """Store a row's levels and its scale."""
    absmax = tl.maximum(tl.max(tl.abs(y), 0), _SMALLEST_ABSMAX)
    tl.store(levels + row * COLUMNS + columns, quantised(y, absmax), mask=inside)
    tl.store(scales + row, absmax * _ONE_LEVEL)


@triton.jit
def _store_normalised(x, levels, scales, row, columns, inside, COLUMNS: tl.constexpr):
    """Store a row's levels and the scale that makes their mean square 1."""
    absmax = tl.maximum(tl.max(tl.abs(x), 0), _SMALLEST_ABSMAX)
    level = quantised(x, absmax)
    tl.store(levels + row * COLUMNS + columns, level, mask=inside)
    wide = level.to(tl.int32)
    squares = tl.maximum(tl.sum(wide * wide, 0), 1).to(tl.float32)
    tl.store(scales + row, tl.sqrt_rn(tl.div_rn(COLUMNS * 1.0, squares)))


@triton.jit
def embed_kernel(inputs, embedding, x, levels, scales, COLUMNS: tl.constexpr, BLOCK: tl.constexpr):
    """x of inputs int64, of the embedding float32 [257, COLUMNS], and its normalised levels and scales."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < COLUMNS
    own = tl.load(embedding + tl.load(inputs + row) * COLUMNS + columns, mask=inside, other=0.0)
    tl.store(x + row * COLUMNS + columns, own, mask=inside)
    _store_normalised(own, levels, scales, row, columns, inside, COLUMNS)


@triton.jit
def scaled(sums, scale, factor, at, columns, inside):
    """Sums at `at` times the scales of their columns, then of their row."""
    own = tl.load(sums + at + columns, mask=inside, other=0).to(tl.float32)
    return own * tl.load(scale + columns, mask=inside, other=0.0) * factor


@triton.jit
def add_kernel(x, sums, scale, row_scale, levels, scales, COLUMNS: tl.constexpr, BLOCK: tl.constexpr):
    """Add scaled sums to x, in place; the new x's normalised levels and scales."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < COLUMNS
    more = scaled(sums, scale, tl.load(row_scale + row), row * COLUMNS, columns, inside)
    new = tl.load(x + row * COLUMNS + columns, mask=inside, other=0.0) + more
    tl.store(x + row * COLUMNS + columns, new, mask=inside)
    _store_normalised(new, levels, scales, row, columns, inside, COLUMNS)


@triton.jit
def gate_kernel(sums, scale, row_scale, sigmoid, levels, scales, COLUMNS: tl.constexpr, BLOCK: tl.constexpr):
    """SiLU of the gates times the ups, quantised; sums [rows, 2 · COLUMNS]."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < COLUMNS
    factor = tl.load(row_scale + row)
    gate = scaled(sums, scale, factor, row * 2 * COLUMNS, columns, inside)
    up = scaled(sums + COLUMNS, scale + COLUMNS, factor, row * 2 * COLUMNS, columns, inside)
    argument = tl.minimum(tl.maximum(gate * _SIGMOID_STEPS, -_SIGMOID_ENTRIES), _SIGMOID_ENTRIES)
    entries = (rint(argument) + _SIGMOID_ENTRIES).to(tl.int32)
    y = gate * tl.load(sigmoid + entries) * up
    store_quantised(y, levels, scales, row, columns, inside, COLUMNS)


@triton.jit
def outputs_kernel(sums, scale, row_scale, out, COLUMNS: tl.constexpr, BLOCK: tl.constexpr):
    """Outputs int32 [rows, COLUMNS]."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < COLUMNS
    logits = scaled(sums, scale, tl.load(row_scale + row), row * COLUMNS, columns, inside)
    tl.store(out + row * COLUMNS + columns, steps(logits), mask=inside)


@triton.jit
def cumulative_kernel(outputs, exp2, out, LEAST: tl.constexpr, BYTES: tl.constexpr):
    """Cumulative frequencies int32 [rows, BYTES + 1] of outputs int32 [rows, BYTES]; none is below LEAST."""
    row = tl.program_id(0).to(tl.int64)
    byte = tl.arange(0, BYTES)
    own = tl.load(outputs + row * BYTES + byte)
    below = tl.max(own, 0) - own
    weights = (tl.load(exp2 + (below & _STEP_MASK)) >> tl.minimum(below >> _STEP_BITS, 31)).to(tl.int64)
    shared = weights * (_WHOLE - BYTES * LEAST)
    frequencies = (shared // tl.sum(weights, 0)).to(tl.int32) + LEAST
    missing = _WHOLE - tl.sum(frequencies, 0)
    frequencies += tl.where(byte == tl.argmax(own, 0, tie_break_left=True), missing, 0)
    tl.store(out + row * (BYTES + 1), 0)
    tl.store(out + row * (BYTES + 1) + 1 + byte, tl.cumsum(frequencies, 0))
