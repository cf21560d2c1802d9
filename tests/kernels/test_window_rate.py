"""What windows cost, as theorems where there are any (proofs in WINDOW_CODER.md), and golden symbols."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.window_coder import FULL_RANGE, decode_step, encode_windows
from tests.oracles import ideal_windows, lossy_packer_ends

GOLDEN = Path(__file__).parents[1] / "golden" / "windows.json"
GOLDEN_TEXT = b"The codebook holds every segment of the sample, the most frequent first; \x00\xff and tails.\n" * 3

frequency = st.one_of(
    st.just(1), st.just(65281), st.just(65536), st.integers(1, 65536), st.integers(0, 16).map(lambda k: 1 << k)
)
interval = st.tuples(frequency, st.floats(0, 1)).map(lambda drawn: (int(drawn[1] * (65536 - drawn[0])), drawn[0]))
"""(cum_lo, freq)"""


def encoded(intervals: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Symbols and window ends of one segment."""
    first = np.array([lo for lo, _ in intervals], np.uint16)
    last = np.array([lo + freq - 1 for lo, freq in intervals], np.uint16)
    symbols, window_ends, _ = encode_windows(first, last, np.array([len(intervals)]))
    return symbols.tolist(), window_ends.tolist()


def sharp_table(likely: int, frequency: int = 65281) -> np.ndarray:
    """Cumulative frequencies int64 [257]: one byte has `frequency`, the others share the rest."""
    frequencies = np.full(256, (65536 - frequency) // 255)
    frequencies[likely] = 65536 - frequencies[0] * 255
    return np.concatenate(([0], frequencies.cumsum()))


def integer_table(text: bytes) -> np.ndarray:
    """Cumulative frequencies [257] of a text's own bytes, by integers alone."""
    counts = Counter(text)
    frequencies = [1 + counts[byte] * 65280 // len(text) for byte in range(256)]
    frequencies[max(counts, key=lambda byte: (counts[byte], -byte))] += 65536 - sum(frequencies)
    return np.concatenate(([0], np.cumsum(frequencies)))


@given(st.lists(interval, min_size=1, max_size=120))
def test_every_window_reaches_as_far_as_a_packer_that_loses_two_to_the_minus_16_per_byte(
    intervals: list[tuple[int, int]],
) -> None:
    _, ends = encoded(intervals)
    bound = lossy_packer_ends([freq for _, freq in intervals])
    assert len(ends) <= len(bound)
    assert all(end >= other for end, other in zip(ends, bound, strict=False))


def test_the_theorem_needs_its_surcharge() -> None:
    """Four bytes of 16 bits less 7e-7 that truncation and a missed grid point part."""
    intervals = [(0, 3355), (35_685, 5287), (41, 3054), (0, 5196)]
    frequencies = [freq for _, freq in intervals]
    assert math.prod(frequencies) >= 1 << 48
    assert ideal_windows(frequencies) == 1
    assert encoded(intervals) == ([1828, 0], [3, 4])
    assert lossy_packer_ends(frequencies) == [3, 4]


@given(st.lists(interval, min_size=1, max_size=120))
def test_no_window_costs_more_than_48_bits_and_none_more_than_32_before_its_last_byte(
    intervals: list[tuple[int, int]],
) -> None:
    _, ends = encoded(intervals)
    for start, end in itertools.pairwise([0, *ends]):
        width = 1
        for t, (_, freq) in enumerate(intervals[start:end]):
            if t:
                assert (width << 48) >> (16 * t) >= 1 << 16, "a byte was coded with a step of 0"
            width *= freq
        assert (width << 48) >> (16 * (end - start)) >= 1


@pytest.mark.parametrize("length", [1, 2, 255, 256, 20_000])
@pytest.mark.parametrize("surprises", [0, 3])
def test_a_run_of_one_nearly_certain_byte_comes_back(length: int, surprises: int) -> None:
    cumulative = sharp_table(likely=120)
    text = np.full(length, 120, np.uint8)
    text[np.random.default_rng(length).integers(0, length, surprises)] = 255
    first, last = cumulative[text], cumulative[text.astype(np.int64) + 1] - 1
    symbols, window_ends, _ = encode_windows(first.astype(np.uint16), last.astype(np.uint16), np.array([length]))
    cost_bits = -np.log2((last - first + 1) / 65536).sum()
    assert symbols.size <= cost_bits / 15.9 + surprises + 1
    window, low, range_ = 0, np.zeros(1, np.uint64), np.full(1, FULL_RANGE, np.uint64)
    out = np.empty(1, np.uint8)
    for t in range(length):
        if t == window_ends[window]:
            window, low, range_ = window + 1, np.zeros(1, np.uint64), np.full(1, FULL_RANGE, np.uint64)
        name, table = symbols[window : window + 1], cumulative[None].astype(np.uint32)
        assert decode_step(table, low, range_, name, np.uint64(32), out) == 0
        assert out[0] == text[t]


def test_codes_with_lengths_are_injective_and_symbols_alone_are_not() -> None:
    cumulative = [0, 1, 8, 30_008, 65_536]
    pieces = [(lo, hi - lo) for lo, hi in itertools.pairwise(cumulative)]
    strings = [s for n in range(1, 8) for s in itertools.product(range(4), repeat=n)]
    codes = [encoded([pieces[byte] for byte in string]) for string in strings]
    with_lengths = {(tuple(symbols), tuple(ends)) for symbols, ends in codes}
    assert len(with_lengths) == len(strings)
    assert len({tuple(symbols) for symbols, _ in codes}) < len(strings)


@pytest.mark.parametrize("likely_share", [0.02, 0.3, 0.9, 0.99])
def test_windows_and_lengths_together_hold_the_information_of_the_text(likely_share: float) -> None:
    """Drawn from its own model, a text cannot be told by fewer bits than its entropy: symbols and lengths tell it."""
    cumulative = sharp_table(65, round(65536 * likely_share))
    rng = np.random.default_rng(1)
    text = np.searchsorted(cumulative, rng.integers(0, 65536, 100_000), "right") - 1
    first, last = cumulative[text], cumulative[text + 1] - 1
    cost_bits = -np.log2((last - first + 1) / 65536)
    symbols, window_ends, _ = encode_windows(first.astype(np.uint16), last.astype(np.uint16), np.array([text.size]))
    shares = np.unique_counts(np.diff(window_ends, prepend=0)).counts / symbols.size
    length_bits = -(shares * np.log2(shares)).sum()
    assert symbols.size * (16 + length_bits) >= 0.995 * cost_bits.sum()
    assert symbols.size <= 1.02 * ideal_windows((last - first + 1).tolist()) + 1


def test_constriction_agrees_about_the_cost_of_the_same_intervals() -> None:
    """A range coder has no window ends: it is the floor that windows stand on."""
    constriction = pytest.importorskip("constriction")
    rng = np.random.default_rng(0)
    weights = rng.random((4000, 256)) ** 40
    frequencies = np.floor(weights / weights.sum(1, keepdims=True) * 65280).astype(np.int64) + 1
    frequencies[np.arange(4000), frequencies.argmax(1)] += 65536 - frequencies.sum(1)
    cumulative = np.concatenate((np.zeros((4000, 1), np.int64), frequencies.cumsum(1)), 1)
    drawn = rng.integers(0, 65536, 4000)
    text = (cumulative <= drawn[:, None]).sum(1) - 1
    rows = np.arange(4000)
    first, last = cumulative[rows, text], cumulative[rows, text + 1] - 1
    encoder = constriction.stream.queue.RangeEncoder()
    family = constriction.stream.model.Categorical(perfect=False)
    encoder.encode(text.astype(np.int32), family, (frequencies / 65536).astype(np.float32))
    their_bits = 32 * encoder.get_compressed().size
    cost_bits = -np.log2((last - first + 1) / 65536).sum()
    assert their_bits == pytest.approx(cost_bits, rel=0.005)
    symbols, _, _ = encode_windows(first.astype(np.uint16), last.astype(np.uint16), np.array([4000]))
    ideal = ideal_windows((last - first + 1).tolist())
    assert their_bits * 0.98 < 16 * symbols.size <= 1.02 * 16 * ideal


def test_golden_text() -> None:
    """Fixed integer intervals, so the same on every machine. Other symbols are another code format."""
    cumulative = integer_table(GOLDEN_TEXT)
    text = np.frombuffer(GOLDEN_TEXT, np.uint8).astype(np.int64)
    first, last = cumulative[text].astype(np.uint16), (cumulative[text + 1] - 1).astype(np.uint16)
    ends = np.array([*range(7, text.size, 7), text.size])
    names = ("symbols", "window_ends", "symbol_ends")
    found = {name: array.tolist() for name, array in zip(names, encode_windows(first, last, ends), strict=True)}
    assert found == json.loads(GOLDEN.read_bytes())
