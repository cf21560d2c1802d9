"""Steps of a model at 16,384 positions: rate, MFU, memory beside the estimate, recompilations, waits of the host."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch._dynamo.utils import counters

from tests.gpu_check.clock import matrix_rate, wait
from tests.gpu_check.run import Figure
from tests.gpu_check.scale import Scale
from trainer.data.loader import PackedBatch
from trainer.model.config import EvaByteConfig
from trainer.model.evabyte import initialise, meta_model
from trainer.model.memory import Load, estimate_memory
from trainer.training.device import bound_recompilation
from trainer.training.metrics import mean_visible_keys, peak_flop_per_second
from trainer.training.optim import make_optimizers
from trainer.training.parallel import Distributed
from trainer.training.settings import TrainSettings
from trainer.training.sizes import sized_config
from trainer.training.step import TrainStep

MICRO_BATCHES = 2
MEAN_DOCUMENT = 4_000
"""Symbols."""


def step(scale: Scale, scratch: Path, size: str, kept: str = "") -> Iterator[Figure]:
    """One row a micro-batch, two of them a step, other documents in each. kept: blocks are not recomputed."""
    device = scale.device
    size = scale.body or size
    config = sized_config(size, vocabulary=scale.vocabulary, raw_heads=1)
    settings = TrainSettings.for_size(
        size,
        sequence_length=scale.positions,
        micro_batch_size=1,
        batch_symbols=MICRO_BATCHES * scale.positions,
        recompute=not kept,
    )
    steps = _steps(config, settings, device)
    begin = time.perf_counter()
    _take(steps, _batch(settings, scale.vocabulary, 0), device)
    yield "first step with compilation, s", time.perf_counter() - begin
    before = _compilations()
    batches = [_batch(settings, scale.vocabulary, number) for number in range(1, scale.steps + 1)]
    seconds = [_take(steps, batch, device) for batch in batches]
    symbols_per_second = settings.batch_symbols / statistics.median(seconds)
    yield "symbols per second", symbols_per_second
    yield from _efficiency(scale, config, batches, symbols_per_second)
    yield "compilations after the first step", _compilations() - before
    yield "graph breaks", sum(counters["graph_break"].values())
    if device == "cuda":
        load = Load(
            symbols=scale.positions, sharding="ddp", world_size=1, micro_batches=MICRO_BATCHES, recompute=not kept
        )
        predicted, seen = estimate_memory(config, load).total_bytes, torch.cuda.max_memory_allocated()
        yield "memory predicted, GB", predicted / 1e9
        yield "memory seen, GB", seen / 1e9
        yield "waits of the host in a step", _waits(steps, batches[0])


def _steps(config: EvaByteConfig, settings: TrainSettings, device: str) -> TrainStep:
    """As `trainer.training.loop.train` makes them on one GPU."""
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    dist = Distributed(rank=0, size=1, device=torch.device(device), compute_dtype=dtype)
    model = meta_model(config)
    if settings.recompute:
        model.recompute_blocks()
    if device == "cuda":
        bound_recompilation()
        model.compile_blocks()
    model.to_empty(device=device)
    initialise(model, seed=0)
    return TrainStep(settings, config, dist, model, *make_optimizers(model, settings))


def _batch(settings: TrainSettings, vocabulary: int, number: int) -> PackedBatch:
    """Random ids in documents of random lengths."""
    rng = np.random.default_rng(number)
    shape = (settings.global_batch_size, settings.sequence_length)
    documents = (rng.random(shape) < 1 / min(MEAN_DOCUMENT, shape[1] // 4)).cumsum(1).astype(np.int32)
    return PackedBatch(
        step=number,
        ids=rng.integers(64, vocabulary, shape, dtype=np.int32),
        documents=documents,
        spans=np.ones(shape, np.uint8),
        next_ids=rng.integers(64, 320, (shape[0], 2), dtype=np.int32),
        pieces=np.zeros((shape[0], 5), np.int64),
    )


def _take(steps: TrainStep, batch: PackedBatch, device: str) -> float:
    """Seconds of a step."""
    begin = time.perf_counter()
    assert steps.take(batch)
    wait(device)
    return time.perf_counter() - begin


def _efficiency(scale: Scale, config: EvaByteConfig, batches: list[PackedBatch], rate: float) -> Iterator[Figure]:
    """Model FLOP, recomputation not counted, over what the maker says, and over what a product reached just now."""
    keys = [mean_visible_keys(each.documents, window=config.attention_window, chunk=config.chunk) for each in batches]
    flop = rate * config.flop_per_symbol(scale.positions, keys=statistics.mean(keys))
    peak = peak_flop_per_second(torch.device(scale.device))
    if peak is not None:
        yield "MFU", flop / peak
    yield "share of a bf16 product's rate", flop / matrix_rate(scale.device, scale.matrix, torch.bfloat16)


def _compilations() -> int:
    return counters["stats"]["unique_graphs"]


def _waits(steps: TrainStep, batch: PackedBatch) -> int:
    """How often a step waits for the device, when nobody reads what it measured."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            steps.take(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(each.message) for each in caught)
