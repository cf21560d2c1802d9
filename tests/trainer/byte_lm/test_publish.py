"""Held-out bits per byte against a slow twin that reads each byte's context anew."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from schemas.batches import Documents
from tests.kernels.micro_lm import CONFIG, micro_lm
from trainer.byte_lm.publish import held_out_bits_per_byte


def test_held_out_bits_are_the_mean_over_all_bytes() -> None:
    model, text = micro_lm(), b"some text of 24 bytes..."
    inputs = torch.tensor([[256, *text[:-1]]])
    with torch.inference_mode():
        log_p = torch.log_softmax(model(inputs)[0].double(), -1)
    expected = -sum(float(log_p[t, byte]) for t, byte in enumerate(text)) / np.log(2) / len(text)
    assert held_out_bits_per_byte(model, Documents.from_bytes([text]), 1000) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("limit", [1, 40, 100, 10**6])
def test_held_out_bits_count_each_byte_of_many_documents_once(limit: int) -> None:
    """Past the model's block too: byte t is scored after the window that begins one block before its own."""
    model, texts, block = micro_lm(), [b"abcd" * 15, b"", b"q", b"longer than two blocks " * 3], CONFIG.attention_bytes
    documents = Documents.from_bytes(texts)
    bits = []
    for text in texts:
        for t, byte in enumerate(text[: max(0, limit - len(bits))]):
            window = torch.tensor([[256, *text[max(0, t // block - 1) * block : t]]])
            with torch.inference_mode():
                bits.append(-float(torch.log_softmax(model(window)[0, -1].double(), -1)[byte]) / np.log(2))
    assert len(bits) == min(limit, documents.raw.size)
    assert held_out_bits_per_byte(model, documents, limit) == pytest.approx(np.mean(bits), rel=1e-5)
