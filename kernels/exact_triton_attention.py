"""Queries, keys and values, and attention of the exact byte LM, as Triton kernels; see `exact_triton_kernels`."""

import triton
import triton.language as tl

from kernels.exact_rows import ONE_LEVEL, SCORE_WEIGHT_BITS, SHARE_BITS, SMALLEST_ABSMAX
from kernels.exact_tables import EXP2_BITS, STEP_BITS, STEPS_PER_BIT
from kernels.exact_triton_kernels import quantised, scaled, steps

_ONE_LEVEL = tl.constexpr(ONE_LEVEL)
_SMALLEST_ABSMAX = tl.constexpr(SMALLEST_ABSMAX)
_SHARES = tl.constexpr(float(1 << SHARE_BITS))
"""Added and taken away, it rounds shares, which are between 0 and it; `rint` is for what has a sign."""
_STEP_BITS = tl.constexpr(STEP_BITS)
_STEP_MASK = tl.constexpr(STEPS_PER_BIT - 1)
_SCORE_SHIFT = tl.constexpr(EXP2_BITS - SCORE_WEIGHT_BITS)
_LOWEST = tl.constexpr(-(1 << 30))


@triton.jit
def _halves(sums, scale, factor, at, columns, inside, HALF: tl.constexpr):
    """Scaled sums of the left and the right half of each head, [heads, HALF] each."""
    left = scaled(sums, scale, factor, at, columns, inside)
    return left, scaled(sums, scale, factor, at, columns + HALF, inside)


@triton.jit
def _store_heads(
    left, right, levels, scales, at, head, half, HEADS: tl.constexpr, HALF: tl.constexpr, CLAMPED: tl.constexpr
):
    """Store a place's levels, the halves of its heads side by side, and a scale for each head; CLAMPED: at most 1."""
    absmax = tl.maximum(tl.max(tl.maximum(tl.abs(left), tl.abs(right)), 1), _SMALLEST_ABSMAX)
    inside = (head < HEADS)[:, None] & (half < HALF)[None, :]
    to = levels + (at * HEADS + head)[:, None] * 2 * HALF + half[None, :]
    tl.store(to, quantised(left, absmax[:, None]), mask=inside)
    tl.store(to + HALF, quantised(right, absmax[:, None]), mask=inside)
    scale = absmax * _ONE_LEVEL
    if CLAMPED:
        scale = tl.minimum(scale, 1.0)
    tl.store(scales + at * HEADS + head, scale, mask=head < HEADS)


@triton.jit
def project_kernel(
    sums,
    scale,
    row_scale,
    positions,
    own,
    cos,
    sin,
    queries,
    query_scales,
    keys,
    key_scales,
    values,
    value_scales,
    HEADS: tl.constexpr,
    HALF: tl.constexpr,
    HEAD_BLOCK: tl.constexpr,
    HALF_BLOCK: tl.constexpr,
):
    """Queries, rotated, of each row; keys, rotated, and values at the places `own`, int64 [rows]."""
    row = tl.program_id(0).to(tl.int64)
    head, half = tl.arange(0, HEAD_BLOCK), tl.arange(0, HALF_BLOCK)
    inside = (head < HEADS)[:, None] & (half < HALF)[None, :]
    columns = head[:, None] * 2 * HALF + half[None, :]
    factor, place = tl.load(row_scale + row), tl.load(own + row)
    angle = tl.load(positions + row) * HALF + half
    c = tl.load(cos + angle, mask=half < HALF, other=0.0)[None, :]
    s = tl.load(sin + angle, mask=half < HALF, other=0.0)[None, :]
    dim = HEADS * 2 * HALF
    at = row * 3 * dim
    left, right = _halves(sums, scale, factor, at, columns, inside, HALF)
    queried, across = left * c - right * s, right * c + left * s
    _store_heads(queried, across, queries, query_scales, row, head, half, HEADS, HALF, False)
    left, right = _halves(sums + dim, scale + dim, factor, at, columns, inside, HALF)
    keyed, across = left * c - right * s, right * c + left * s
    _store_heads(keyed, across, keys, key_scales, place, head, half, HEADS, HALF, False)
    left, right = _halves(sums + 2 * dim, scale + 2 * dim, factor, at, columns, inside, HALF)
    _store_heads(left, right, values, value_scales, place, head, half, HEADS, HALF, True)


@triton.jit
def _seen(places, begin, n, j, flat, whole, HEADS: tl.constexpr, SIZE: tl.constexpr, BLOCK: tl.constexpr):
    """Places of the positions from the j-th on, which of them are among the n, and where their levels are."""
    step = j + tl.arange(0, BLOCK)
    seen = step < n
    place = tl.load(places + begin + step, mask=seen, other=0)
    at = place[:, None, None] * HEADS * SIZE + flat[None, :, :]
    return place, seen, at, seen[:, None, None] & whole[None, :, :]


@triton.jit
def _scores(query, query_scale, keys, key_scales, place, seen, at, inside, head, HEADS: tl.constexpr):
    """Scores int32 [positions, heads]; those of positions that are not seen are the lowest."""
    key = tl.load(keys + at, mask=inside, other=0).to(tl.int32)
    dots = tl.sum(query[None, :, :] * key, 2).to(tl.float32)
    heads = seen[:, None] & (head < HEADS)[None, :]
    scale = tl.load(key_scales + place[:, None] * HEADS + head[None, :], mask=heads, other=0.0)
    return tl.where(seen[:, None], steps(dots * (query_scale[None, :] * scale)), _LOWEST)


@triton.jit
def weights_of(below, exp2):
    """Weights int32 of scores that are so much below the largest one."""
    return tl.load(exp2 + (below & _STEP_MASK)) >> tl.minimum((below >> _STEP_BITS) + _SCORE_SHIFT, 31)


@triton.jit
def attend_kernel(
    queries,
    query_scales,
    keys,
    key_scales,
    values,
    value_scales,
    places,
    first,
    count,
    exp2,
    levels,
    scales,
    HEADS: tl.constexpr,
    SIZE: tl.constexpr,
    HEAD_BLOCK: tl.constexpr,
    SIZE_BLOCK: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """What each row attends to, quantised: three passes over its positions, BLOCK at a time.

    The largest score; then the sum of weights, which depend on it by a shift that drops bits, so no pass may guess it;
    then the values.
    """
    row = tl.program_id(0).to(tl.int64)
    head, column = tl.arange(0, HEAD_BLOCK), tl.arange(0, SIZE_BLOCK)
    flat = head[:, None] * SIZE + column[None, :]
    whole = (head < HEADS)[:, None] & (column < SIZE)[None, :]
    query = tl.load(queries + row * HEADS * SIZE + flat, mask=whole, other=0).to(tl.int32)
    query_scale = tl.load(query_scales + row * HEADS + head, mask=head < HEADS, other=0.0)
    begin, n = tl.load(first + row), tl.load(count + row).to(tl.int32)
    largest = tl.full([HEAD_BLOCK], _LOWEST, tl.int32)
    for j in range(0, n, BLOCK):
        place, seen, at, inside = _seen(places, begin, n, j, flat, whole, HEADS, SIZE, BLOCK)
        scores = _scores(query, query_scale, keys, key_scales, place, seen, at, inside, head, HEADS)
        largest = tl.maximum(largest, tl.max(scores, 0))
    total = tl.zeros([HEAD_BLOCK], tl.int32)
    for j in range(0, n, BLOCK):
        place, seen, at, inside = _seen(places, begin, n, j, flat, whole, HEADS, SIZE, BLOCK)
        scores = _scores(query, query_scale, keys, key_scales, place, seen, at, inside, head, HEADS)
        total += tl.sum(weights_of(largest[None, :] - scores, exp2), 0)
    unit = tl.div_rn(_SHARES, total.to(tl.float32))
    sums = tl.zeros([HEAD_BLOCK, SIZE_BLOCK], tl.int32)
    for j in range(0, n, BLOCK):
        place, seen, at, inside = _seen(places, begin, n, j, flat, whole, HEADS, SIZE, BLOCK)
        scores = _scores(query, query_scale, keys, key_scales, place, seen, at, inside, head, HEADS)
        heads = seen[:, None] & (head < HEADS)[None, :]
        scale = tl.load(value_scales + place[:, None] * HEADS + head[None, :], mask=heads, other=0.0)
        share = weights_of(largest[None, :] - scores, exp2).to(tl.float32) * scale * unit[None, :]
        shares = ((share + _SHARES) - _SHARES).to(tl.int32)
        sums += tl.sum(shares[:, :, None] * tl.load(values + at, mask=inside, other=0).to(tl.int32), 0)
    attended = tl.where(whole, sums, 0).to(tl.float32)
    absmax = tl.maximum(tl.max(tl.max(tl.abs(attended), 1), 0), _SMALLEST_ABSMAX)
    tl.store(levels + row * HEADS * SIZE + flat, quantised(attended, absmax), mask=whole)
    tl.store(scales + row, absmax * _ONE_LEVEL)
