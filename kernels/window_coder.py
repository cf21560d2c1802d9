"""Equal-information windows: byte intervals to symbols of W bits and back, in integers. W is 16 unless told.

State of a window: `low` and `range_`, integers, with 0 ≤ low, low + range_ ≤ 2^48. The grid is the multiples
of 2^(48 - W). Coding the interval [lo, hi) of 2^16:

    step = range_ >> 16        low += step * lo        range_ = step * (hi - lo)

While some grid point lies in [low, low + range_) the window can still be named. A byte that would leave none ends the
window before it and starts a fresh one (low = 0, range_ = 2^48), where it always fits: step is 2^32 and every
frequency is ≥ 2^(16 - W). A window is named by its smallest grid point / 2^(48 - W): one symbol of W bits.

Intervals are kept as two uint16: `first` = lo and `last` = hi - 1, so that 2^16 itself never has to be stored.
Why this is exact, and what it costs: WINDOW_CODER.md.
"""

from __future__ import annotations

import numpy as np

from kernels.code_format import PRECISION_BITS, WINDOW_BITS
from kernels.compiled import compiled

STATE_BITS = 48
FULL_RANGE = 1 << STATE_BITS

_SHIFT = np.uint64(PRECISION_BITS)
_FULL = np.uint64(FULL_RANGE)
_ONE = np.uint64(1)


@compiled(inline="always")
def _narrow(low, range_, first, last):
    """The state after coding one interval."""
    step = range_ >> _SHIFT
    return low + step * np.uint64(first), step * (np.uint64(last) - np.uint64(first) + _ONE)


@compiled(inline="always")
def smallest_grid_index(low, grid_bits):
    """Index of the smallest grid point, a multiple of 2^grid_bits, that is not below `low`; both uint64."""
    return (low + (_ONE << grid_bits) - _ONE) >> grid_bits


@compiled()
def _encode(first, last, segment_ends, grid_bits, symbols, window_ends, symbol_ends):
    n_symbols = 0
    start = 0
    for segment in range(segment_ends.size):
        end = segment_ends[segment]
        low, range_ = np.uint64(0), _FULL
        name = np.uint64(0)
        for t in range(start, end):
            next_low, next_range = _narrow(low, range_, first[t], last[t])
            next_name = smallest_grid_index(next_low, grid_bits)
            if (next_name << grid_bits) >= next_low + next_range:
                symbols[n_symbols] = name
                window_ends[n_symbols] = t
                n_symbols += 1
                next_low, next_range = _narrow(np.uint64(0), _FULL, first[t], last[t])
                next_name = smallest_grid_index(next_low, grid_bits)
            low, range_, name = next_low, next_range, next_name
        if end > start:
            symbols[n_symbols] = name
            window_ends[n_symbols] = end
            n_symbols += 1
        symbol_ends[segment] = n_symbols
        start = end
    return n_symbols


def encode_windows(
    first: np.ndarray, last: np.ndarray, segment_ends: np.ndarray, *, window_bits: int = WINDOW_BITS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Symbols of a run of segments, each ending its last window.

    first, last: uint16 [n]: the interval [first, last + 1) of every byte, at least 2^(16 - W) wide. segment_ends:
    int64 [m], rising, the last one n. Returns symbols uint16 [k], window_ends int64 [k] (in bytes) and symbol_ends
    int64 [m] (in symbols), k ≤ n.
    """
    end = segment_ends[-1] if segment_ends.size else 0
    if not end == first.size == last.size:
        raise ValueError(f"segments end at byte {end}, the intervals at {first.size} and {last.size}")
    symbols = np.empty(first.size, np.uint16)
    window_ends = np.empty(first.size, np.int64)
    symbol_ends = np.empty(segment_ends.size, np.int64)
    grid_bits = np.uint64(STATE_BITS - window_bits)
    n_symbols = _encode(first, last, segment_ends, grid_bits, symbols, window_ends, symbol_ends)
    return symbols[:n_symbols].copy(), window_ends[:n_symbols].copy(), symbol_ends


@compiled()
def decode_step(cumulative, low, range_, symbols, grid_bits, out):
    """Decode one byte in each of n windows, in place.

    cumulative: uint32 [n, 257], cumulative frequencies from 0 to 2^16, strictly rising. low, range_: uint64 [n], the
    windows' states (0 and FULL_RANGE at a fresh one), updated. symbols: uint16 [n], the windows' names. grid_bits:
    uint64, 48 - W. out: uint8 [n].
    Returns the number of rows whose symbol no byte can explain (a damaged code); their byte is then arbitrary.
    """
    damaged = 0
    for i in range(symbols.size):
        value = np.uint64(symbols[i]) << grid_bits
        step = range_[i] >> _SHIFT
        if step == 0 or value < low[i]:
            damaged += 1
            step, value = max(step, _ONE), max(value, low[i])
        quantile = (value - low[i]) // step
        if quantile >= np.uint64(1 << PRECISION_BITS):
            damaged += 1
            quantile = np.uint64((1 << PRECISION_BITS) - 1)
        below, above = 0, 256
        while above - below > 1:
            middle = (below + above) >> 1
            if np.uint64(cumulative[i, middle]) <= quantile:
                below = middle
            else:
                above = middle
        low[i] += step * np.uint64(cumulative[i, below])
        range_[i] = step * np.uint64(cumulative[i, below + 1] - cumulative[i, below])
        out[i] = below
    return damaged
