"""The model inside segments: forbidden bytes give their probability to the others, and every string keeps a code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.byte_lm_config import START
from kernels.byte_spans import ByteSpans, Codes
from kernels.intervals import cumulative_frequencies
from kernels.prefix_coding import PrefixCoder
from kernels.window_coder import encode_windows
from tests.kernels.micro_lm import micro_lm

MODEL = micro_lm()
FORBIDDEN = np.random.default_rng(0).random((256, 256)) < 0.4
FORBIDDEN[ord("x")] = True
TEXTS = [b"def f", b"x", b"xx", b"return", bytes(range(90, 120)), b"\x00\xff"]


def slow_interval(text: bytes, t: int) -> tuple[int, int]:
    """First and last of byte t by the whole-window pass, forbidden bytes left out of the softmax."""
    with torch.inference_mode():
        logits = MODEL(torch.tensor([[START, *text[:t]]]))[0, -1]
        if t:
            logits = torch.where(torch.from_numpy(FORBIDDEN[text[t - 1]]), -1e4, logits)
    cumulative = cumulative_frequencies(logits[None])[0].tolist()
    return cumulative[text[t]], cumulative[text[t] + 1] - 1


def test_intervals_are_those_of_the_definition() -> None:
    spans = ByteSpans.from_bytes(TEXTS)
    first, last = PrefixCoder(MODEL, forbidden=FORBIDDEN, prefixes_per_read=8).intervals(spans)
    expected = [slow_interval(text, t) for text in TEXTS for t in range(len(text))]
    # The two passes of the model may differ in their last digits, and a frequency by as much.
    assert np.abs(np.stack((first, last), 1).astype(int) - np.array(expected)).max() <= 8


def test_a_forbidden_byte_keeps_the_least_frequency_and_the_first_byte_is_free() -> None:
    strings = [bytes([a, b]) for a in (65, 97, 0) for b in range(256)]
    spans = ByteSpans.from_bytes(strings)
    first, last = PrefixCoder(MODEL, forbidden=FORBIDDEN).intervals(spans)
    widths = last[1::2].astype(int) - first[1::2] + 1
    forbidden = np.array([FORBIDDEN[text[0], text[1]] for text in strings])
    # The rest of the rounding goes to the likeliest byte, so no other forbidden byte has more than one.
    assert (widths[forbidden] == 1).all()
    assert widths.reshape(3, 256).sum(1).tolist() == [65536] * 3
    free = PrefixCoder(MODEL).intervals(spans)
    assert np.array_equal(first[::2], free[0][::2])
    assert np.array_equal(last[::2], free[1][::2])


def test_nothing_forbidden_is_the_free_coder() -> None:
    spans = ByteSpans.from_bytes(TEXTS)
    found = PrefixCoder(MODEL, forbidden=np.zeros((256, 256), bool)).intervals(spans)
    for mine, free in zip(found, PrefixCoder(MODEL).intervals(spans), strict=True):
        assert np.array_equal(mine, free)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=20) | st.just(b"xxxx"), min_size=1, max_size=8), st.sampled_from([10, 16])
)
def test_any_strings_come_back_from_the_model_alone(texts: list[bytes], window_bits: int) -> None:
    spans = ByteSpans.from_bytes(texts)
    coder = PrefixCoder(MODEL, forbidden=FORBIDDEN, prefixes_per_read=16, window_bits=window_bits)
    first, last = coder.intervals(spans)
    symbols, window_ends, symbol_ends = encode_windows(first, last, spans.ends, window_bits=window_bits)
    out, damaged = coder.decode(Codes(symbols, np.diff(window_ends, prepend=0), symbol_ends))
    assert (out.tobytes(), damaged) == (spans.data.tobytes(), 0)


@pytest.mark.parametrize("rows", [4, 512])
def test_company_changes_nothing(rows: int) -> None:
    spans = ByteSpans.from_bytes(TEXTS)
    together = np.stack(PrefixCoder(MODEL, forbidden=FORBIDDEN, prefixes_per_read=rows).intervals(spans))
    alone = [
        np.stack(
            PrefixCoder(MODEL, forbidden=FORBIDDEN, prefixes_per_read=rows).intervals(ByteSpans.from_bytes([text]))
        )
        for text in TEXTS
    ]
    assert np.array_equal(together, np.concatenate(alone, 1))
