"""Slow plain-Python twins, written from the definitions and not from the code."""

from __future__ import annotations

import math
from collections.abc import Sequence

STATE_BITS = 48


def encode_segment(intervals: Sequence[tuple[int, int]], window_bits: int = 16) -> tuple[list[int], list[int]]:
    """Names and lengths of the windows of one segment; intervals are [lo, hi) of 2^16, in Python integers."""
    names: list[int] = []
    lengths: list[int] = []
    grid = 1 << (STATE_BITS - window_bits)
    low, width, count = 0, 1 << 48, 0
    for lo, hi in intervals:
        step = width >> 16
        new_low, new_width = low + step * lo, step * (hi - lo)
        if count and not _grid_points(new_low, new_width, grid):
            names.append(_grid_points(low, width, grid)[0])
            lengths.append(count)
            step, count = 1 << 32, 0
            new_low, new_width = step * lo, step * (hi - lo)
        low, width, count = new_low, new_width, count + 1
        assert low >= 0
        assert low + width <= 1 << 48
    if count:
        names.append(_grid_points(low, width, grid)[0])
        lengths.append(count)
    return names, lengths


def _grid_points(low: int, width: int, grid: int) -> range:
    """Indices of the multiples of `grid` in [low, low + width)."""
    return range(-(-low // grid), -(-(low + width) // grid))


def ideal_windows(frequencies: Sequence[int]) -> int:
    """Windows of a packer that fills 16 bits with exact real-valued costs."""
    windows, used_bits = 0, math.inf
    for frequency in frequencies:
        cost_bits = -math.log2(frequency / 65536)
        if used_bits + cost_bits > 16:
            windows, used_bits = windows + 1, 0.0
        used_bits += cost_bits
    return windows


def lossy_packer_ends(frequencies: Sequence[int]) -> list[int]:
    """Window ends of a packer of 16 bits that pays log2(65536 / 65535) bits more for every byte, in exact integers.

    A window takes its first byte always, and the next while 2^48 · Π freq · 65535 / 2^32 is still at least 2^32.
    """
    ends: list[int] = []
    product, count = 1, 0
    for t, frequency in enumerate(frequencies):
        product, count = product * frequency * 65535, count + 1
        if count > 1 and product << 16 < 1 << 32 * count:
            ends.append(t)
            product, count = frequency * 65535, 1
    return [*ends, len(frequencies)] if frequencies else ends


def prefixes(strings: Sequence[bytes]) -> set[bytes]:
    """All proper prefixes of the strings: what a model must read to code them."""
    return {string[:length] for string in strings for length in range(len(string))}
