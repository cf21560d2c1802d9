"""The byte LM's own training: bytes per second, MFU, and how long the whole of it would take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from kernels.byte_lm_config import PRESETS
from schemas.batches import Documents
from schemas.sample import Sample
from tests.gpu_check.run import Figure
from tests.gpu_check.scale import Scale
from tests.gpu_check.texts import stdlib_texts
from trainer.byte_lm.settings import SIZES, ByteLMTraining
from trainer.byte_lm.training import train_byte_lm
from trainer.training.metrics import peak_flop_per_second
from trainer.training.parallel import Distributed

LM_DIRECTORY = "byte-lm"
"""In the scratch directory; other rows read it there."""
UNTIMED_STEPS = 5


def steps(scale: Scale, scratch: Path) -> Iterator[Figure]:
    """A few steps of the size's training; the LM that they leave is as good as their number."""
    texts = stdlib_texts(scale.text_bytes)
    cut = max(1, len(texts) // 20)
    sample = Sample(train=Documents.from_bytes(texts[cut:]), held_out=Documents.from_bytes(texts[:cut]))
    timed = scale.byte_lm_steps
    count = timed + min(UNTIMED_STEPS, timed)
    training = ByteLMTraining.for_size(scale.byte_lm, steps=count, lr_warmup_steps=count, held_out_bytes=1 << 12)
    dist = Distributed(rank=0, size=1, device=torch.device(scale.device))
    seconds, bits = [], []
    begin = time.perf_counter()
    for _, loss in train_byte_lm(sample, training, out=str(scratch / LM_DIRECTORY), dist=dist):
        now = time.perf_counter()
        seconds.append(now - begin)
        bits.append(loss)
        begin = now
    yield "first step with compilation, s", seconds[0]
    rate = training.rows * training.window_bytes / statistics.median(seconds[-timed:])
    yield "bytes per second", rate
    peak = peak_flop_per_second(dist.device)
    if peak is not None:
        yield "MFU", 3 * PRESETS[training.size].matmul_flop_per_byte * rate / peak
        yield "memory seen, GB", torch.cuda.max_memory_allocated() / 1e9
    whole = replace(SIZES[training.size])
    yield f"hours of all {whole.steps:,} steps", whole.steps * whole.rows * whole.window_bytes / rate / 3600
    yield f"bits per byte, first and after {count} steps", f"{bits[0]:.3f}, {bits[-1]:.3f}"
