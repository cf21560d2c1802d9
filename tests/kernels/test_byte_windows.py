"""Whole documents in windows: what a byte gets is what one window around it gives, whatever else is read."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.boundary_score import DocumentEntropy
from kernels.byte_lm_config import START
from kernels.byte_windows import ROWS, scored_logits, sliding_windows
from kernels.intervals import entropies_bits
from schemas.batches import Documents
from tests.kernels.exact_models import micro_exact
from tests.kernels.micro_lm import CONFIG, micro_lm

MODEL = micro_lm()
STRIDE = CONFIG.attention_bytes


def slow_entropies(text: bytes) -> list[float]:
    """The definition: byte t from the window that begins one stride before t's own stride, or at the head."""
    found = []
    for t in range(len(text)):
        begin = max(0, t // STRIDE - 1) * STRIDE
        window = torch.tensor([[START, *text[begin:t]]])
        with torch.inference_mode():
            found.append(float(entropies_bits(MODEL(window)[0, -1:])[0]))
    return found


@pytest.mark.parametrize("length", [0, 1, STRIDE, 2 * STRIDE, 2 * STRIDE + 1, 5 * STRIDE + 3])
def test_a_byte_is_scored_in_the_window_of_the_definition(length: int) -> None:
    text = bytes((7 * t * t + t) % 251 for t in range(length))
    found = DocumentEntropy(MODEL).scores(np.frombuffer(text, np.uint8), np.array([0, length]))
    assert found.tolist() == pytest.approx(slow_entropies(text), abs=2 / 1024)


@settings(max_examples=15)
@given(st.lists(st.integers(0, 5 * STRIDE), max_size=2 * ROWS // 5), st.randoms(use_true_random=False))
def test_order_and_company_change_no_bit(lengths: list[int], random) -> None:
    texts = [bytes((i + 3 * t) % 256 for t in range(length)) for i, length in enumerate(lengths)]
    order = list(range(len(texts)))
    random.shuffle(order)

    def by_document(chosen: list[int]) -> dict[int, list[float]]:
        documents = Documents.from_bytes([texts[i] for i in chosen])
        bits = DocumentEntropy(MODEL).scores(documents.raw, documents.offsets)
        return {i: bits[documents.offsets[k] : documents.offsets[k + 1]].tolist() for k, i in enumerate(chosen)}

    whole = by_document(list(range(len(texts))))
    assert by_document(order) == whole
    for i in order[:3]:
        assert by_document([i])[i] == whole[i]


@pytest.mark.parametrize("lengths", [[], [0], [0, 3, 0], [STRIDE * 150], [1] * (ROWS + 1)])
def test_every_byte_is_scored_once(lengths: list[int]) -> None:
    documents = Documents.from_bytes([b"x" * length for length in lengths])
    batches = list(scored_logits(MODEL, documents.raw, documents.offsets))
    places = np.concatenate([places for _, places in batches]) if batches else np.empty(0, np.int64)
    assert sorted(places.tolist()) == list(range(documents.raw.size))
    assert all(logits.shape == (places.size, 256) for logits, places in batches)


def test_an_exact_model_reads_hardly_more_than_the_windows() -> None:
    """Short documents and the last batch are not padded to the longest window; no bit depends on that."""
    model = micro_exact()
    texts = [bytes((i + 3 * t) % 256 for t in range(7 * i % (3 * STRIDE))) for i in range(200)]
    documents = Documents.from_bytes(texts)
    score, read = DocumentEntropy(model), []

    def forward(inputs: torch.Tensor) -> torch.Tensor:
        read.append(inputs.numel())
        return type(model).forward(model, inputs)

    with mock.patch.object(model, "forward", forward):
        whole = score.scores(documents.raw, documents.offsets)
    needed = int(sliding_windows(documents.offsets, STRIDE)[:, 1].sum())
    assert needed <= sum(read) < 1.25 * needed < len(read) * ROWS * 2 * STRIDE
    for i in (0, 1, 9, 100, 199):
        alone = score.scores(np.frombuffer(texts[i], np.uint8), np.array([0, len(texts[i])]))
        assert whole[documents.offsets[i] : documents.offsets[i + 1]].tolist() == alone.tolist()
