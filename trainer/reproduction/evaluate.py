"""The figures of a trained job: bits on held-out documents, translation, what other formatting costs."""

from __future__ import annotations

import os
from typing import Any

from schemas.vocabulary import BOS, COMP_OPEN, RAW_OPEN
from trainer.evaluation.translation import Pair, bits_per_symbol, translate
from trainer.model.evabyte import EvaByte
from trainer.reproduction.arms import Job
from trainer.reproduction.documents import JudgedDocuments
from trainer.reproduction.formats import job_format_bits
from trainer.reproduction.results import TranslationPoint
from trainer.training.checkpoint import checkpoints
from trainer.training.load_model import load_model


def measured(job: Job, run: str, *, data: str, formats: str, device: str) -> dict[str, Any]:
    """The fields of a `Result` that are read off the model; run: the job's directory, with its checkpoints.

    formats: a dataset of reformatted texts; empty: not measured.
    """
    model, _ = load_model(run, device=device)
    documents = JudgedDocuments(job, data)
    pairs = documents.scored()
    short = documents.short() if job.arm.is_proxy else []
    watched = bool(job.arm.watched_checkpoints)
    return {
        "body_parameters": model.config.body_parameters,
        "raw_bits_per_byte": _raw_bits(model, pairs) if job.arm.reads_raw else None,
        "comp_bits_per_byte": _comp_bits(model, pairs) if job.arm.compressor else None,
        "translation": translate(model, short) if short else None,
        "translation_curve": _curve(run, short, device) if watched else None,
        "format_bits": job_format_bits(job, model, data=data, formats=formats) if formats and not watched else None,
    }


def _raw_bits(model: EvaByte, pairs: list[Pair]) -> float:
    return bits_per_symbol(model, [((BOS, RAW_OPEN), pair.raw) for pair in pairs])


def _comp_bits(model: EvaByte, pairs: list[Pair]) -> float:
    """Bits of comp over the raw bytes that it encodes."""
    bits = bits_per_symbol(model, [((BOS, COMP_OPEN), pair.comp) for pair in pairs])
    return bits * sum(len(pair.comp) for pair in pairs) / sum(len(pair.raw) for pair in pairs)


def _curve(run: str, short: list[Pair], device: str) -> list[TranslationPoint]:
    points = []
    for path in checkpoints(run):
        model, _ = load_model(path, device=device)
        found = translate(model, short)
        step = int(os.path.basename(path).rpartition("-")[2])
        points.append(
            TranslationPoint(step=step, raw_exact=found.raw_exact, saved_bits_per_byte=found.saved_bits_per_byte)
        )
    return points
