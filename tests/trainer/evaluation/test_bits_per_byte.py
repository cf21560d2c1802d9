"""Bits per byte: every byte once, the sentinel at every window's head, no dependence on batches or order."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from schemas.batches import Documents
from schemas.errors import SettingsError
from schemas.vocabulary import BOS, COMP_BASE, COMP_OPEN, RAW_BASE, RAW_OPEN
from tests.trainer.datasets import COMPRESSOR, make_texts, write_dataset
from tests.trainer.models import small_model
from trainer.data.dataset import Dataset, HeldOut
from trainer.evaluation.bits_per_byte import COMP_HEAD, Scored, SymbolTexts, byte_windows, held_out_symbols, score

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


def test_without_sentinels_a_window_begins_with_bos_alone() -> None:
    model, text = small_model(), b"abcabd"
    (scored,) = score(model, [Documents.from_bytes([text])], sequence_length=16, head=(BOS,))
    ids = torch.tensor([[BOS, *(RAW_BASE + byte for byte in text)]])
    with torch.inference_mode():
        log_p = torch.log_softmax(model.logits(ids)[0, :, 0].float(), -1)
    assert scored.nats == pytest.approx(-sum(float(log_p[j, RAW_BASE + b]) for j, b in enumerate(text)), abs=1e-4)


def test_symbols_cost_what_the_model_says_and_are_divided_by_raw_bytes() -> None:
    """Of one document in one window, and of three in several: each symbol once."""
    model = small_model(vocabulary=COMP_BASE + 256)
    symbols = np.array([3, 0, 250, 17, 3], np.uint16)
    (scored,) = score(
        model, [SymbolTexts(symbols=symbols, offsets=np.array([0, 5]), raw_bytes=20)], sequence_length=8, head=COMP_HEAD
    )
    ids = torch.tensor([[BOS, COMP_OPEN, *(COMP_BASE + int(symbol) for symbol in symbols)]])
    with torch.inference_mode():
        log_p = torch.log_softmax(model.logits(ids)[0, :, 0].float(), -1)
    nats = -sum(float(log_p[1 + j, COMP_BASE + int(symbol)]) for j, symbol in enumerate(symbols))
    assert scored.bits_per_byte == pytest.approx(nats / math.log(2) / 20, abs=1e-5)
    assert (scored.documents, scored.raw_bytes) == (1, 20)


def test_held_out_symbols_are_those_of_the_held_out_documents(tmp_path: Path) -> None:
    texts = make_texts([40, 1, 30])
    dataset = Dataset(str(write_dataset(tmp_path / "data", texts)), compressor=COMPRESSOR, held_out=HeldOut(share=0.4))
    batches = list(held_out_symbols(dataset))
    held_out = [text for text in texts if dataset.held_out.holds(text.doc_id)]
    assert 5 < len(held_out) < 70
    found = [batch.symbols[slice(*batch.offsets[i : i + 2])].tolist() for batch in batches for i in range(len(batch))]
    assert found == [text.symbols for text in held_out]
    assert sum(batch.raw_bytes for batch in batches) == sum(len(text.raw) for text in held_out)


def test_batch_size_and_order_change_nothing() -> None:
    whole = last(TEXTS, rows=8)
    assert whole.raw_bytes == sum(map(len, TEXTS))
    for other in (last(TEXTS, rows=1), last(TEXTS, rows=3), last(TEXTS[::-1], rows=8)):
        assert (other.documents, other.raw_bytes) == (whole.documents, whole.raw_bytes)
        assert other.nats == pytest.approx(whole.nats, rel=1e-6)


def test_a_stride_that_would_leave_bytes_out_is_refused() -> None:
    with pytest.raises(SettingsError, match="cannot move on by 15 bytes; give 1 to 14"):
        last(TEXTS, stride=15)
    with pytest.raises(SettingsError, match="leave no room; give a longer context"):
        last(TEXTS, sequence_length=2)
