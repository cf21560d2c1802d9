"""Attention of the exact byte LM in whole windows, as a Triton kernel by tensor cores; see `exact_triton_kernels`.

In a window the positions that rows attend to are neighbours, so tiles of rows and keys are products of matrices. Those
of queries and keys are of int8 as they are. A share of attention has up to 24 bits: it is four digits of 7 bits, each
of which is multiplied with the values, and their sums, shifted, are added. All sums fit int32, so any order will do.
"""

import triton
import triton.language as tl

from kernels.exact_rows import SHARE_BITS
from kernels.exact_triton_attention import weights_of
from kernels.exact_triton_kernels import steps, store_quantised

_SHARES = tl.constexpr(float(1 << SHARE_BITS))
_LOWEST = tl.constexpr(-(1 << 30))


@triton.jit
def _scores(query, query_scale, row, keys, key_scales, at, key, head, column, WIDTH, FAR, HEADS, SIZE):
    """Scores int32 [rows, keys] of one head; those of keys that a row does not see are the lowest."""
    inside = key < WIDTH
    place = (at + key) * HEADS + head
    tile = tl.load(
        keys + place[None, :] * SIZE + column[:, None], mask=inside[None, :] & (column < SIZE)[:, None], other=0
    )
    scale = tl.load(key_scales + place, mask=inside, other=0.0)
    dots = tl.dot(query, tile, out_dtype=tl.int32).to(tl.float32)
    seen = (key[None, :] <= row[:, None]) & (key[None, :] > row[:, None] - FAR)
    return tl.where(seen, steps(dots * (query_scale[:, None] * scale[None, :])), _LOWEST)


@triton.jit
def _digit(shares, n: tl.constexpr, value):
    """The n-th digit of shares int32 [rows, keys] times values int8 [keys, size], at its place."""
    digit = ((shares >> (7 * n)) & 127).to(tl.int8)
    return tl.dot(digit, value, out_dtype=tl.int32) << (7 * n)


@triton.jit
def windows_kernel(
    queries,
    query_scales,
    keys,
    key_scales,
    values,
    value_scales,
    exp2,
    attended,
    WIDTH: tl.constexpr,
    FAR: tl.constexpr,
    HEADS: tl.constexpr,
    SIZE: tl.constexpr,
    SIZE_BLOCK: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """What BLOCK rows of one window and one head attend to, float32: integers, in 2^-SHARE_BITS.

    Row i of a window is at place i of its window's WIDTH places, and sees itself and up to FAR - 1 places before. Three
    passes over the keys, as in `exact_triton_attention.attend_kernel`.
    """
    head, column = tl.program_id(1), tl.arange(0, SIZE_BLOCK)
    at = tl.program_id(2).to(tl.int64) * WIDTH
    begin = tl.program_id(0) * BLOCK
    row, step = begin + tl.arange(0, BLOCK), tl.arange(0, BLOCK)
    inside = (row < WIDTH)[:, None] & (column < SIZE)[None, :]
    own = (at + row) * HEADS + head
    query = tl.load(queries + own[:, None] * SIZE + column[None, :], mask=inside, other=0)
    query_scale = tl.load(query_scales + own, mask=row < WIDTH, other=0.0)
    first = tl.maximum(begin - FAR + 1, 0) // BLOCK * BLOCK
    largest = tl.full([BLOCK], _LOWEST, tl.int32)
    for j in range(first, begin + BLOCK, BLOCK):
        scores = _scores(query, query_scale, row, keys, key_scales, at, j + step, head, column, WIDTH, FAR, HEADS, SIZE)
        largest = tl.maximum(largest, tl.max(scores, 1))
    total = tl.zeros([BLOCK], tl.int32)
    for j in range(first, begin + BLOCK, BLOCK):
        scores = _scores(query, query_scale, row, keys, key_scales, at, j + step, head, column, WIDTH, FAR, HEADS, SIZE)
        total += tl.sum(weights_of(largest[:, None] - scores, exp2), 1)
    unit = tl.div_rn(_SHARES, total.to(tl.float32))
    sums = tl.zeros([BLOCK, SIZE_BLOCK], tl.int32)
    for j in range(first, begin + BLOCK, BLOCK):
        key = j + step
        scores = _scores(query, query_scale, row, keys, key_scales, at, key, head, column, WIDTH, FAR, HEADS, SIZE)
        place = (at + key) * HEADS + head
        scale = tl.load(value_scales + place, mask=key < WIDTH, other=0.0)
        share = weights_of(largest[:, None] - scores, exp2).to(tl.float32) * scale[None, :] * unit[:, None]
        shares = ((share + _SHARES) - _SHARES).to(tl.int32)
        near = (key < WIDTH)[:, None] & (column < SIZE)[None, :]
        value = tl.load(values + place[:, None] * SIZE + column[None, :], mask=near, other=0)
        sums += (
            _digit(shares, 0, value) + _digit(shares, 1, value) + _digit(shares, 2, value) + _digit(shares, 3, value)
        )
    tl.store(attended + own[:, None] * SIZE + column[None, :], sums.to(tl.float32), mask=inside)


@triton.jit
def quantise_kernel(y, levels, scales, COLUMNS: tl.constexpr, BLOCK: tl.constexpr):
    """Levels and scales of y float32 [rows, COLUMNS]."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < COLUMNS
    own = tl.load(y + row * COLUMNS + columns, mask=inside, other=0.0)
    store_quantised(own, levels, scales, row, columns, inside, COLUMNS)
