"""The window coder: equal to its oracle, exact both ways, within 2 % of an ideal packer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.window_coder import FULL_RANGE, STATE_BITS, decode_step, encode_windows
from tests.oracles import encode_segment, ideal_windows


def tables(rng: np.random.Generator, n: int, sharpness: float) -> np.ndarray:
    """Cumulative frequencies uint32 [n, 257]; a large sharpness puts nearly all on one byte."""
    weights = rng.random((n, 256)) ** sharpness
    frequencies = np.floor(weights / weights.sum(1, keepdims=True) * (65536 - 256)).astype(np.int64) + 1
    frequencies[np.arange(n), frequencies.argmax(1)] += 65536 - frequencies.sum(1)
    return np.concatenate((np.zeros((n, 1), np.int64), frequencies.cumsum(1)), 1).astype(np.uint32)


def coded(cumulative: np.ndarray, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The intervals of the bytes of a text."""
    rows = np.arange(text.size)
    first = cumulative[rows, text].astype(np.uint16)
    return first, (cumulative[rows, text.astype(np.int64) + 1] - 1).astype(np.uint16)


def decoded(cumulative: np.ndarray, symbols: np.ndarray, window_ends: np.ndarray, window_bits: int = 16) -> np.ndarray:
    """The bytes of windows, by decode_step."""
    grid_bits = np.uint64(STATE_BITS - window_bits)
    out = np.empty(int(window_ends[-1]) if window_ends.size else 0, np.uint8)
    start = 0
    for symbol, end in zip(symbols, window_ends, strict=True):
        low, range_ = np.zeros(1, np.uint64), np.full(1, FULL_RANGE, np.uint64)
        for t in range(start, end):
            name = np.array([symbol], np.uint16)
            assert decode_step(cumulative[t : t + 1], low, range_, name, grid_bits, out[t : t + 1]) == 0
        start = end
    return out


@st.composite
def interval_lists(draw: st.DrawFn) -> tuple[int, list[list[tuple[int, int]]]]:
    """W, and segments of intervals that a fresh window of W bits can name."""
    window_bits = draw(st.sampled_from([16, 16, 13, 10]))
    least = 1 << (16 - window_bits)
    begin = st.integers(0, 65536 - least)
    interval = begin.flatmap(lambda lo: st.tuples(st.just(lo), st.integers(lo + least, 65536)))
    return window_bits, draw(st.lists(st.lists(interval, min_size=1, max_size=40), max_size=8))


@given(interval_lists())
def test_equal_to_the_oracle(drawn: tuple[int, list[list[tuple[int, int]]]]) -> None:
    window_bits, segments = drawn
    flat = [pair for segment in segments for pair in segment]
    first = np.array([lo for lo, _ in flat], np.uint16)
    last = np.array([hi - 1 for _, hi in flat], np.uint16)
    ends = np.cumsum([len(segment) for segment in segments], dtype=np.int64)
    symbols, window_ends, symbol_ends = encode_windows(first, last, ends, window_bits=window_bits)
    expected = [encode_segment(segment, window_bits) for segment in segments]
    assert not symbols.size or symbols.max() < 1 << window_bits
    assert symbols.tolist() == [name for names, _ in expected for name in names]
    assert np.diff(window_ends, prepend=0).tolist() == [length for _, lengths in expected for length in lengths]
    assert symbol_ends.tolist() == np.cumsum([len(names) for names, _ in expected]).tolist()


@pytest.mark.parametrize("length", [0, 1, 2, 10, 3000])
@pytest.mark.parametrize("sharpness", [0.0, 1.0, 30.0, 3000.0])
def test_bytes_come_back(length: int, sharpness: float) -> None:
    rng = np.random.default_rng(length)
    cumulative = tables(rng, length, sharpness)
    text = rng.integers(0, 256, length).astype(np.uint8)
    if length > 10:
        likely = np.diff(cumulative.astype(np.int64), axis=1).argmax(1).astype(np.uint8)
        text = np.where(rng.random(length) < 0.9, likely, text)
    ends = np.unique(np.append(np.arange(7, length, 7), length))[: None if length else 0].astype(np.int64)
    first, last = coded(cumulative, text)
    symbols, window_ends, _ = encode_windows(first, last, ends)
    assert np.array_equal(decoded(cumulative, symbols, window_ends), text)


@pytest.mark.parametrize("sharpness", [1.0, 10.0, 100.0, 1000.0])
def test_rate_is_within_two_percent_of_the_ideal_packer(sharpness: float) -> None:
    rng = np.random.default_rng(0)
    cumulative = tables(rng, 20_000, sharpness)
    frequencies = np.diff(cumulative.astype(np.int64), axis=1)
    text = np.array([rng.choice(256, p=row / 65536) for row in frequencies], np.uint8)
    first, last = coded(cumulative, text)
    chosen = last.astype(np.int64) - first + 1
    whole, _, _ = encode_windows(first, last, np.array([text.size]))
    assert whole.size <= 1.02 * ideal_windows(chosen.tolist())
    pieces = np.arange(5, text.size + 1, 5)
    parts, _, _ = encode_windows(first, last, pieces)
    ideal = sum(ideal_windows(chosen[end - 5 : end].tolist()) for end in pieces.tolist())
    assert parts.size <= 1.02 * ideal


def test_golden_symbols() -> None:
    """Output bytes are API: these never change within a code format."""
    first = np.array([0, 100, 65535, 30000, 1, 1, 40000, 12345], np.uint16)
    last = np.array([65535, 199, 65535, 40000, 1, 65535, 65535, 12400], np.uint16)
    symbols, window_ends, symbol_ends = encode_windows(first, last, np.array([3, 8]))
    assert (symbols.tolist(), window_ends.tolist(), symbol_ends.tolist()) == (GOLDEN_SYMBOLS, GOLDEN_ENDS, [2, 5])


GOLDEN_SYMBOLS = [100, 65535, 30000, 1, 44811]
GOLDEN_ENDS = [2, 3, 4, 5, 8]


def test_segments_that_do_not_cover_the_intervals_are_refused() -> None:
    with pytest.raises(ValueError, match="segments end at byte 3, the intervals at 2"):
        encode_windows(np.zeros(2, np.uint16), np.zeros(2, np.uint16), np.array([3]))


def test_a_damaged_symbol_is_counted() -> None:
    cumulative = tables(np.random.default_rng(0), 1, 1.0)
    low, range_ = np.full(1, 1 << 40, np.uint64), np.full(1, 1 << 33, np.uint64)
    assert decode_step(cumulative, low, range_, np.zeros(1, np.uint16), np.uint64(32), np.empty(1, np.uint8)) > 0
