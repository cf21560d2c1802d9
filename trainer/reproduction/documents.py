"""What a study is judged on: held-out documents, the same for every arm, and the datasets that the arms read."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from schemas.errors import DatasetError
from trainer.data.dataset import Dataset, HeldOut
from trainer.evaluation.translation import Pair, held_out_pairs
from trainer.reproduction.arms import Job, StudyScale, compressors, jobs


class JudgedDocuments:
    """Held-out documents, the same ones for every arm that reads texts of one corpus; read once."""

    def __init__(self, job: Job, data: str) -> None:
        """data: the study's dataset; an arm that cuts text otherwise has its documents from the one beside it."""
        self._scale, self._data = job.scale, data
        self._pairs = _held_out_pairs(job, data, max(job.scale.row_symbols, job.scale.translated_bytes))

    def scored(self) -> list[Pair]:
        """Those of at most a row's symbols in bytes, in the order of their hashes, up to `scored_bytes` bytes."""
        chosen: list[Pair] = []
        held_bytes = 0
        for pair in self._up_to(self._scale.row_symbols):
            if held_bytes >= self._scale.scored_bytes:
                break
            chosen.append(pair)
            held_bytes += len(pair.raw)
        return self._enough(chosen)

    def short(self) -> list[Pair]:
        """The first ones, in the order of their hashes, that are short enough to be translated."""
        return self._enough(self._up_to(self._scale.translated_bytes)[: self._scale.translated_documents])

    def _up_to(self, longest_bytes: int) -> list[Pair]:
        return [pair for pair in self._pairs if len(pair.raw) <= longest_bytes]

    def _enough(self, pairs: list[Pair]) -> list[Pair]:
        if len(pairs) < 2:
            raise DatasetError(f"{self._data} holds out {len(pairs)} short documents; preprocess it with --split-bytes")
        return pairs


def _held_out_pairs(job: Job, data: str, longest_bytes: int) -> list[Pair]:
    """Held-out documents of at most so many bytes, in the order of their hashes.

    No limit on comp, which differs by compressor: the documents must not.
    """
    settings = job.settings(data, "")
    compressor = job.arm.compressor or _first_compressor(job.scale)
    dataset = Dataset(
        settings.data,
        compressor=compressor,
        literals=settings.literals,
        held_out=HeldOut(share=settings.held_out_share),
    )
    pairs = [
        pair
        for pair in held_out_pairs(dataset, positions=sys.maxsize)
        if pair is not None and len(pair.raw) <= longest_bytes
    ]
    return sorted(pairs, key=lambda pair: pair.key)


def _first_compressor(scale: StudyScale) -> str:
    """A compressor of the first dataset, for arms that need none, which choose their documents alike."""
    return next(compressor for boundaries, compressor in compressors(jobs(scale)) if not boundaries)


def raw_per_comp(job: Job, data: str) -> float | None:
    """Raw bytes per symbol of the job's compressor over its dataset; None where it has none."""
    if job.arm.compressor is None:
        return None
    totals = Dataset(job.arm.dataset(data), compressor=None).manifest.totals
    return totals.raw_bytes / max(1, totals.symbols[job.arm.compressor])


def check_datasets(wanted: Sequence[Job], data: str) -> None:
    """DatasetError where a dataset that some jobs read is missing or lacks a compressor, or has other texts.

    Arms that are watched have texts of their own.
    """
    texts = set()
    for boundaries, compressor in compressors([job for job in wanted if not job.arm.watched_checkpoints]):
        location = f"{data}-{boundaries}" if boundaries else data
        totals = Dataset(location, compressor=compressor).manifest.totals
        texts.add((totals.written, totals.raw_bytes))
        if len(texts) > 1:
            raise DatasetError(f"{location} holds other documents than {data}; preprocess both from one --input")
