"""Whole documents through the byte LM in overlapping windows of one shape, each byte scored once.

With A = `attention_bytes`: windows are 2 A long and move on by A; of every window but a document's first only the
second half counts. So a byte is scored with at least A bytes before it, or with all of its document, and what it gets
depends on its own document alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from kernels.byte_lm_config import START
from kernels.byte_model import ByteModel

ROWS = 64


def sliding_windows(offsets: np.ndarray, stride_bytes: int) -> np.ndarray:
    """int64 [windows, 3]: start, length ≤ 2 stride, and how many leading bytes do not count, over all documents.

    offsets: int64 [documents + 1]. Every byte counts in exactly one window.
    """
    lengths = np.diff(offsets)
    per_document = np.where(lengths > 0, np.maximum(-(-(lengths - stride_bytes) // stride_bytes), 1), 0)
    document = np.repeat(np.arange(lengths.size), per_document)
    number = np.arange(document.size) - np.repeat(np.cumsum(per_document) - per_document, per_document)
    begin = number * stride_bytes
    length = np.minimum(lengths[document] - begin, 2 * stride_bytes)
    return np.stack((offsets[document] + begin, length, np.where(number > 0, stride_bytes, 0)), 1)


@torch.inference_mode()
def scored_logits(model: ByteModel, raw: np.ndarray, offsets: np.ndarray) -> Iterator[tuple[Tensor, np.ndarray]]:
    """Logits [n, 256] and the places int64 [n] in `raw` of the bytes that they predict, batch by batch.

    A batch-invariant model reads windows of like lengths together and hardly any padding, any other one shape only.
    """
    stride = model.config.attention_bytes
    device = model.device
    table = sliding_windows(offsets, stride)
    if model.batch_invariant:
        table = table[np.argsort(table[:, 1], kind="stable")]
    for begin in range(0, len(table), ROWS):
        start, length, skip = (column[:, None] for column in table[begin : begin + ROWS].T)
        rows, width = (len(start), int(length.max())) if model.batch_invariant else (ROWS, 2 * stride)
        columns = np.arange(width)
        inside = columns < length
        at = np.where(inside, start + columns, 0)
        inputs = np.full((rows, width), START, np.int64)
        inputs[: len(at), 1:] = np.where(inside, raw[at], 0)[:, :-1]
        counts = inside & (columns >= skip)
        logits = model.forward(torch.from_numpy(inputs).to(device))[: len(at)]
        yield logits[torch.from_numpy(counts).to(device)], at[counts]
