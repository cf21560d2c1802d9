"""A small model of a preprocessing run: what it takes in hours, storage and requests, and on which assumptions.

    finished dataset ── measured() ──► rates, ratios, growth ── estimate(settings) ──► Estimate ── describe() ──► lines

Everything but the work of byte LM and SentencePiece is in proportion to the corpus. They see what a codebook lacks, and
that grows like a vocabulary, as growth.py measures it on segments; words are taken to grow as these do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from kernels.byte_lm_config import PRESETS
from pipeline.compressors.tokenizer.compressor import SENTENCEPIECE
from pipeline.planning.rates import GPU, MODEL, Measured
from pipeline.planning.settings import (
    MAX_SHARDS_PLANNED,
    MIN_UNIT_BYTES,
    WORKERS_PER_GPU,
    WORKERS_PER_PROCESS,
    PlanSettings,
)
from schemas.errors import SettingsError
from schemas.stores import BLOCK_BYTES, PART_BYTES

GPU_FLOPS = 395e12
"""Assumed: half of what an H200 does in bf16 matrix products (about 790 TFLOP/s); not measured."""
POLL_SECONDS = 10
SHARD_READS, SHARD_WRITES = 2, 4
"""Requests for a shard beside its bytes: looks for its input and for its commit record; begin and end of an upload in
parts, commit record, rejects."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What the run takes."""

    corpus_bytes: float
    workers: int
    processes: int
    gpus: int
    unit_bytes: int
    documents: float
    shards: int
    symbols: dict[str, float]
    segments: dict[str, float]
    storage_bytes: float
    """Shards, with the compression that the dataset has."""
    model_bytes: float
    """Prefixes that the byte LM reads, one byte each."""
    cycle_bytes: float
    """Text after which a process's cache is full; infinite if it never is."""
    stage_seconds: dict[str, float]
    """Of one worker."""
    model_seconds: float
    """Of one worker, or of one GPU if there are any."""
    seconds: float
    """From the start of the runner to the manifest."""
    store_reads: float
    store_writes: float

    @property
    def worker_seconds(self) -> float:
        """Of all workers together."""
        return sum(self.stage_seconds.values()) + (0 if self.gpus else self.model_seconds)


def estimate(base: Measured, settings: PlanSettings) -> Estimate:
    """Scale a measured run to another corpus; SettingsError where a rate that is needed was never measured."""
    scale = settings.corpus_bytes / base.raw_bytes
    workers = settings.workers or (WORKERS_PER_GPU * settings.gpus if settings.gpus else base.workers)
    processes = settings.processes or settings.gpus or -(-workers // WORKERS_PER_PROCESS)
    unit_bytes = settings.unit_bytes or _unit_bytes(settings.corpus_bytes)
    shards = max(1, round(settings.corpus_bytes / unit_bytes))
    model_bytes, cycle_bytes = 0.0, math.inf
    if base.neural is not None:
        model_bytes, cycle_bytes = base.neural.growth.prefixes_read(
            settings.corpus_bytes,
            known_bytes=base.neural.known_bytes,
            processes=processes,
            room_segments=base.neural.room_segments,
        )
    stage_seconds = {stage: _stage_seconds(base, settings, stage, scale) for stage in base.stage_seconds}
    model_seconds = model_bytes / model_rate(base, settings) if model_bytes else 0.0
    busy_seconds = sum(stage_seconds.values()) / workers
    model_share = model_seconds / (settings.gpus or workers)
    seconds = max(busy_seconds, model_share) if settings.gpus else busy_seconds + model_share
    seconds += base.startup_seconds
    storage_bytes = base.file_bytes * scale
    reads = shards * SHARD_READS + settings.corpus_bytes / BLOCK_BYTES + seconds / POLL_SECONDS
    writes = shards * SHARD_WRITES + storage_bytes / PART_BYTES
    return Estimate(
        corpus_bytes=settings.corpus_bytes,
        workers=workers,
        processes=processes,
        gpus=settings.gpus,
        unit_bytes=unit_bytes,
        documents=base.manifest.totals.written * scale,
        shards=shards,
        symbols={name: count * scale for name, count in base.manifest.totals.symbols.items()},
        segments={name: base.segments(name) * scale for name in base.manifest.compressors},
        storage_bytes=storage_bytes,
        model_bytes=model_bytes,
        cycle_bytes=cycle_bytes,
        stage_seconds=stage_seconds,
        model_seconds=model_seconds,
        seconds=seconds,
        store_reads=reads,
        store_writes=writes,
    )


def flop_per_byte(base: Measured, settings: PlanSettings) -> float:
    """Matrix products of the planned byte LM for one prefix."""
    assert base.neural is not None
    return PRESETS[settings.lm].matmul_flop_per_byte if settings.lm else base.neural.flop_per_byte


def model_rate(base: Measured, settings: PlanSettings) -> float:
    """Prefixes per second of the byte LM: of one GPU if there are any, else of one worker."""
    assert base.neural is not None
    flop = flop_per_byte(base, settings)
    if settings.gpus:
        return settings.rates.get(GPU, GPU_FLOPS / flop)
    rate = settings.rates.get(MODEL, base.prefixes_per_second * base.neural.flop_per_byte / flop)
    if math.isnan(rate):
        raise SettingsError(
            f"{base.directory} found its codebook made, so the byte LM's rate was not measured; "
            "give --rate model=MB_PER_SECOND"
        )
    return rate


def _stage_seconds(base: Measured, settings: PlanSettings, stage: str, scale: float) -> float:
    if stage in settings.rates:
        return settings.corpus_bytes / settings.rates[stage]
    if stage == SENTENCEPIECE and base.neural is not None:
        scale **= base.neural.growth.segments.exponent
    return base.stage_seconds[stage] * scale


def _unit_bytes(corpus_bytes: float) -> int:
    unit_bytes = MIN_UNIT_BYTES
    while corpus_bytes / unit_bytes > MAX_SHARDS_PLANNED:
        unit_bytes *= 2
    return unit_bytes
