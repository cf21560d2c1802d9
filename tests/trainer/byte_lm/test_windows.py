"""The windows of a step: from seed and step alone, and each inside one document."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from schemas.batches import Documents
from trainer.byte_lm.settings import ByteLMTraining
from trainer.byte_lm.windows import IGNORE, windows

TEXTS = [b"ab" * 40, b"x", b"hello world, hello"]
DOCUMENTS = Documents.from_bytes(TEXTS)
TRAINING = ByteLMTraining.for_size("tiny", rows=8, window_bytes=12)


def test_windows_are_a_function_of_seed_and_step_and_stay_in_their_document() -> None:
    first = windows(DOCUMENTS, TRAINING, 3)
    again = windows(DOCUMENTS, TRAINING, 3)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[1], windows(DOCUMENTS, TRAINING, 4)[1])
    assert not np.array_equal(first[1], windows(DOCUMENTS, replace(TRAINING, seed=1), 3)[1])
    for step in range(30):
        inputs, labels = windows(DOCUMENTS, TRAINING, step)
        for row, label in zip(inputs, labels, strict=True):
            text = bytes(label[label != IGNORE].astype(np.uint8))
            assert any(text in document for document in TEXTS)
            assert row[0] == 256
            assert row[1 : len(text)].tolist() == list(text[:-1])
