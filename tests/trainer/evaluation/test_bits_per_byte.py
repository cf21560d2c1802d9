"""Bits per byte: every byte once, the sentinel at every window's head, no dependence on batches or order."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from schemas.batches import Documents
from schemas.errors import SettingsError
from schemas.vocabulary import BOS, RAW_BASE, RAW_OPEN
from tests.trainer.models import small_model
from trainer.evaluation.bits_per_byte import Scored, byte_windows, score

TEXTS = [b"a", b"def f(x):\n    return x\n", b"x" * 61, bytes(range(97, 123)) * 3]


def last(texts: list[bytes], **options: int) -> Scored:
    """The sums over all texts, given one at a time."""
    found = list(
        score(small_model(), (Documents.from_bytes([text]) for text in texts), **{"sequence_length": 16, **options})
    )
    return found[-1]


@given(st.integers(0, 300), st.integers(1, 40), st.data())
def test_every_byte_counts_exactly_once(length: int, room: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, room))
    windows = byte_windows(length, room, stride)
    assert [at for _, end, first in windows for at in range(first, end)] == list(range(length))
    for begin, end, first in windows:
        assert begin <= first < end <= begin + room
        assert begin == 0 or first - begin >= room - stride


def test_a_short_document_costs_what_the_model_says() -> None:
    model, text = small_model(), b"abcabd"
    ids = torch.tensor([[BOS, RAW_OPEN, *(RAW_BASE + byte for byte in text)]])
    with torch.inference_mode():
        log_p = torch.log_softmax(model.logits(ids)[0, :, 0].float(), -1)
    nats = -sum(float(log_p[1 + j, RAW_BASE + byte]) for j, byte in enumerate(text))
    assert last([text]).bits_per_byte == pytest.approx(nats / math.log(2) / len(text), abs=1e-5)


def test_batch_size_and_order_change_nothing() -> None:
    whole = last(TEXTS, rows=8)
    assert whole.raw_bytes == sum(map(len, TEXTS))
    for other in (last(TEXTS, rows=1), last(TEXTS, rows=3), last(TEXTS[::-1], rows=8)):
        assert (other.documents, other.raw_bytes) == (whole.documents, whole.raw_bytes)
        assert other.nats == pytest.approx(whole.nats, rel=1e-6)


def test_a_stride_that_would_leave_bytes_out_is_refused() -> None:
    with pytest.raises(SettingsError, match="cannot move on by 15 bytes; give 1 to 14"):
        last(TEXTS, stride=15)
