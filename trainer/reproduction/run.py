"""Train and evaluate every job, a process each, and keep its figures: OUT/JOB/result.json, written last.

The same command again runs only what has no result yet; a job that was killed goes on from its last checkpoint.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from typing import Any

import torch

from schemas.errors import ArtifactError, DatasetError, refusing
from schemas.files import canonical_json, replace_file, sha256_hex
from schemas.json_files import parse_json, record
from schemas.vocabulary import BOS, COMP_OPEN, RAW_OPEN
from trainer.data.dataset import Dataset, HeldOut
from trainer.evaluation.translation import Pair, Translation, bits_per_symbol, held_out_pairs, translate
from trainer.reproduction.arms import Job, StudyScale
from trainer.training.load_model import load_model
from trainer.training.loop import train
from trainer.training.parallel import init_distributed

RESULT_NAME = "result.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """The figures of one job on the held-out documents."""

    arm: str
    size: str
    seed: int
    body_parameters: int
    symbols: int
    """Symbols that the model was trained on."""
    raw_bits_per_byte: float | None
    """Bits per byte of raw bytes; None for an arm that never saw any."""
    comp_bits_per_byte: float | None
    """Bits of the same documents encoded as comp, over their raw bytes; None without a compressor."""
    translation: dict[str, Any] | None
    """The fields of `Translation`; None for arms that are no proxies."""
    train_seconds: float
    identity: str
    """Digest of the dataset and of the settings: a result counts for no others."""
    format_bits: dict[str, float] | None = None
    """Bits per byte behind a context in each format; beside the result, see `reproduction.formats`."""

    @property
    def name(self) -> str:
        """Name of the job that gave this result."""
        return f"{self.arm}-{self.size}-{self.seed}"


def reproduce(jobs: Sequence[Job], *, data: str, out: str, processes: int) -> Iterator[Result]:
    """The results of all jobs, first those that exist already, then as they come. `data`: a dataset of short pieces."""
    missing = []
    for job in jobs:
        if is_done(job, out):
            yield known_result(job, data, out)
        else:
            missing.append(job)
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // processes)
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_quiet, initargs=(threads,)) as pool:
        running = [pool.submit(run_job, job, data, out) for job in missing]
        try:
            for done in as_completed(running):
                yield done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def is_done(job: Job, out: str) -> bool:
    """Whether the job has left a result."""
    return os.path.exists(os.path.join(out, job.name, RESULT_NAME))


def known_result(job: Job, data: str, out: str) -> Result:
    """The result of a job that is done; ArtifactError where it is of another dataset or other settings."""
    path = os.path.join(out, job.name, RESULT_NAME)
    result = read_result(path)
    if result.identity != identity(job, data):
        raise ArtifactError(
            f"{path} belongs to another dataset or other settings; remove {out}, or choose another --out"
        )
    return result


def identity(job: Job, data: str) -> str:
    """sha256, as hex, of all that decides a job's result: the dataset and the settings."""
    manifest = Dataset(data, compressor=None).manifest
    settings = job.settings("", "")
    own = [manifest.to_bytes().hex(), settings.content(), job.scale.scored_bytes, job.scale.translated_documents]
    return sha256_hex(canonical_json(own))


def _quiet(threads: int) -> None:
    """Set up a worker process that ends with the process that started it, or a killed run would go on training."""
    logging.getLogger().setLevel(logging.WARNING)
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def run_job(job: Job, data: str, out: str) -> Result:
    """Train one arm and evaluate it; its directory is its run."""
    run = os.path.join(out, job.name)
    settings = job.settings(data, run)
    begin = time.perf_counter()
    with init_distributed("cpu" if not torch.cuda.is_available() else "cuda") as dist:
        train(settings, dist)
        device = dist.device
    seconds = time.perf_counter() - begin
    model, _ = load_model(run, device=str(device))
    raw_bits = comp_bits = translation = None
    pairs = scored_pairs(job, data)
    raw_bytes = sum(len(pair.raw) for pair in pairs)
    if job.arm.reads_raw:
        raw_bits = bits_per_symbol(model, [((BOS, RAW_OPEN), pair.raw) for pair in pairs])
    if job.arm.compressor:
        comp_bits = bits_per_symbol(model, [((BOS, COMP_OPEN), pair.comp) for pair in pairs])
        comp_bits *= sum(len(pair.comp) for pair in pairs) / raw_bytes
    if job.arm.is_proxy:
        translation = asdict(translate(model, pairs[: job.scale.translated_documents]))
    result = Result(
        arm=job.arm.name,
        size=job.size,
        seed=job.seed,
        body_parameters=model.config.body_parameters,
        symbols=settings.steps * settings.batch_symbols,
        raw_bits_per_byte=raw_bits,
        comp_bits_per_byte=comp_bits,
        translation=translation,
        train_seconds=round(seconds, 1),
        identity=identity(job, data),
    )
    replace_file(os.path.join(run, RESULT_NAME), canonical_json(asdict(result)))
    return result


def scored_pairs(job: Job, data: str) -> list[Pair]:
    """Held-out documents in the order of their hashes, the same ones for every arm, up to `scored_bytes` bytes."""
    settings = job.settings(data, "")
    compressor = job.arm.compressor or job.scale.compressors[0]
    dataset = Dataset(data, compressor=compressor, held_out=HeldOut(share=settings.held_out_share))
    # No limit on comp, which differs by compressor: the documents must not.
    every = [
        pair
        for pair in held_out_pairs(dataset, positions=sys.maxsize)
        if pair is not None and len(pair.raw) <= settings.sequence_length
    ]
    chosen: list[Pair] = []
    held_bytes = 0
    for pair in sorted(every, key=lambda pair: pair.key):
        if held_bytes >= job.scale.scored_bytes:
            break
        chosen.append(pair)
        held_bytes += len(pair.raw)
    if len(chosen) < 2:
        raise DatasetError(f"{data} holds out {len(chosen)} short documents; preprocess it with --split-bytes")
    return chosen


def read_result(path: str) -> Result:
    """Read a result from its file; ArtifactError where the file is damaged."""
    with refusing(path, ArtifactError, "remove it and run again"), open(path, "rb") as file:
        result = record(Result, parse_json(file.read()), whole=False)
        if result.translation is not None:
            record(Translation, result.translation)
        if result.format_bits is not None:
            raise ValueError("formats are beside it, not in it")
        return result


def raw_per_comp(data: str, scale: StudyScale) -> float:
    """Raw bytes per symbol of the first compressor of the scale; DatasetError where the dataset lacks one of them."""
    for compressor in scale.compressors:
        Dataset(data, compressor=compressor)
    totals = Dataset(data, compressor=None).manifest.totals
    return totals.raw_bytes / max(1, totals.symbols[scale.compressors[0]])
