"""A plan as lines for a terminal: every figure beside what it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pipeline.compressors.tokenizer.compressor import SENTENCEPIECE
from pipeline.planning.plan import (
    GPU_FLOPS,
    POLL_SECONDS,
    SHARD_READS,
    SHARD_WRITES,
    Estimate,
    flop_per_byte,
    model_rate,
)
from pipeline.planning.rates import GPU, MODEL, Measured
from pipeline.planning.settings import PlanSettings
from schemas.stores import BLOCK_BYTES, PART_BYTES

HOUR_SECONDS = 3600
MIN_ROUNDED = 100_000
UNITS = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def describe(plan: Estimate, base: Measured, settings: PlanSettings) -> list[str]:
    """The plan as aligned columns: what, how much, and the assumption."""
    rows = [*_size_rows(plan, base), *_work_rows(plan, base, settings), *_store_rows(plan)]
    return [
        f"a run over {_amount(plan.corpus_bytes)}B of text, scaled from {base.directory} "
        f"({_amount(base.raw_bytes)}B of text, {base.workers} workers)",
        "",
        *(f"{what:<23} {value:>10}   {assumption}" for what, value, assumption in rows),
    ]


def _size_rows(plan: Estimate, base: Measured) -> Iterator[tuple[str, str, str]]:
    totals = base.manifest.totals
    bytes_each = base.raw_bytes / totals.written
    yield "documents", _amount(plan.documents), f"{bytes_each:,.0f} bytes each, as there"
    yield "shards", f"{plan.shards:,}", f"one per {plan.unit_bytes:,} bytes of input (--unit-bytes), stored plain"
    for name, count in plan.symbols.items():
        ratio = base.raw_bytes / max(1, totals.symbols[name])
        yield f"symbols, {name}", _amount(count), f"{ratio:.3f} bytes per symbol, as there"
    compression = base.manifest.settings.get("compression", "zstd")
    per_byte = base.file_bytes / base.raw_bytes
    columns = ", ".join(("raw", *base.manifest.compressors))
    yield "storage", _amount(plan.storage_bytes) + "B", f"{per_byte:.3f} per raw byte: {columns}; {compression}"


def _work_rows(plan: Estimate, base: Measured, settings: PlanSettings) -> Iterator[tuple[str, str, str]]:
    for stage, seconds in plan.stage_seconds.items():
        rate = plan.corpus_bytes / max(seconds, 1e-9) / 1e6
        origin = "given" if stage in settings.rates else f"measured with {base.workers} workers"
        assumption = f"{rate:,.1f} MB/s of one worker, {origin}"
        if stage == SENTENCEPIECE and base.neural is not None and stage not in settings.rates:
            exponent = base.neural.growth.segments.exponent
            assumption = f"on new words, taken to grow as segments do, B^{exponent:.3f}, if one table held them all"
        yield f"worker-hours, {stage}", _hours(seconds), assumption
    if base.neural is not None:
        yield from _model_rows(plan, base, settings)
    yield "worker-hours, all", _hours(plan.worker_seconds), "as fast as here; no failures, no waiting for the store"
    overlap = "the GPUs read while workers do the rest" if plan.gpus else "shared equally"
    yield "hours", _hours(plan.seconds), f"{plan.workers} workers, {overlap}; {base.startup_seconds:.1f} s to start"
    if base.prepare_seconds:
        made = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in base.prepare_seconds.items())
        yield "hours, before", _hours(sum(base.prepare_seconds.values())), f"once, from a sample: {made}, as there"


def _model_rows(plan: Estimate, base: Measured, settings: PlanSettings) -> Iterator[tuple[str, str, str]]:
    neural = base.neural
    assert neural is not None
    growth = neural.growth
    full = (
        f"a cache is full after {_amount(plan.cycle_bytes)}B" if plan.cycle_bytes < math.inf else "no cache gets full"
    )
    yield (
        "bytes model reads",
        _amount(plan.model_bytes) + "B",
        f"{plan.model_bytes / plan.corpus_bytes:.2%}: distinct segments hold {growth.segment_bytes.scale:.3g} B^"
        f"{growth.segment_bytes.exponent:.3f} bytes (fitted up to {_amount(growth.fit_bytes)}B), "
        f"{growth.prefixes_per_byte:.2f} prefixes per byte of them",
    )
    yield (
        "caches",
        f"{plan.processes:,}",
        f"one per process, {_amount(neural.room_segments)} segments of {neural.entry_bytes:.0f} bytes; the codebook "
        f"holds those of {_amount(neural.known_bytes)}B; {full}",
    )
    if not plan.model_seconds:
        return
    lm = settings.lm or neural.lm
    rate = f"{model_rate(base, settings) / 1e6:,.4g} MB/s"
    if plan.gpus:
        origin = "given" if GPU in settings.rates else f"{GPU_FLOPS / 1e12:.0f} TFLOP/s, not measured here"
        flop = f"{flop_per_byte(base, settings) / 1e6:.1f} MFLOP per byte"
        yield "GPU-hours", _hours(plan.model_seconds), f"{rate} of one GPU: {flop} (LM {lm}), {origin}"
    else:
        origin = "given" if MODEL in settings.rates else "measured when the codebook was built"
        if settings.lm and MODEL not in settings.rates:
            origin += f" by LM {neural.lm}, scaled by its work"
        yield "worker-hours, model", _hours(plan.model_seconds), f"{rate} of one worker, {origin} (LM {lm})"


def _store_rows(plan: Estimate) -> Iterator[tuple[str, str, str]]:
    yield (
        "requests, read",
        _amount(plan.store_reads),
        f"{BLOCK_BYTES >> 20} MiB each of input stored as it is, {SHARD_READS} looks per shard, a listing every "
        f"{POLL_SECONDS} s",
    )
    yield (
        "requests, write",
        _amount(plan.store_writes),
        f"{PART_BYTES >> 20} MiB each, {SHARD_WRITES} more per shard (begin and end of upload, commit record, rejects)",
    )


def _hours(seconds: float) -> str:
    if seconds >= HOUR_SECONDS:
        return f"{seconds / HOUR_SECONDS:,.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 600 else f"{seconds:.1f} s"


def _amount(value: float) -> str:
    """Three digits, or all of a small number; a unit is to follow."""
    if value < MIN_ROUNDED:
        return f"{value:,.0f} "
    unit, letter = next((unit, letter) for unit, letter in UNITS if value >= unit)
    return f"{value / unit:.4g} {letter}"
