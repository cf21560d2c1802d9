"""Train and evaluate every job, a process each, and keep its figures: OUT/JOB/result.json, written last.

The same command again runs only what has no result yet; a job that was killed goes on from its last checkpoint. After
`minutes` the jobs that run stop at a checkpoint and no other one begins, so a study can be done in slices.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from functools import partial

import torch

from schemas.errors import ArtifactError, refusing
from schemas.files import canonical_json, replace_file, sha256_hex
from schemas.json_files import parse_json, typed
from schemas.machine import usable_cpus
from schemas.manifest import MANIFEST_NAME
from trainer.data.dataset import Dataset
from trainer.reproduction.arms import Job
from trainer.reproduction.documents import raw_per_comp
from trainer.reproduction.evaluate import measured
from trainer.reproduction.results import Result, read_result
from trainer.training.loop import train
from trainer.training.parallel import init_distributed

RESULT_NAME = "result.json"
SPENT_NAME = "cpu_seconds.json"
"""In a job's directory while it is not done: what its slices have taken."""


def reproduce(
    jobs: Sequence[Job],
    *,
    data: str,
    out: str,
    processes: int,
    formats: str = "",
    minutes: float = 0,
    bf16: bool | None = None,
) -> Iterator[Result]:
    """The results of the jobs, which are trained now, as they come; what OUT has already, `known_results` reads.

    data: a dataset of short pieces; arms that cut text otherwise read those beside it. minutes: after which jobs stop,
    unfinished; 0 is never. formats, bf16: as in `run_job`.
    """
    deadline = time.monotonic() + 60 * minutes if minutes else None
    context = multiprocessing.get_context("spawn")
    threads = max(1, usable_cpus() // processes)
    started = (threads, deadline)
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_quiet, initargs=started) as pool:
        run_one = partial(run_job, data=data, out=out, formats=formats, bf16=bf16, deadline=deadline)
        running = [pool.submit(run_one, job) for job in jobs]
        try:
            for done in as_completed(running):
                result = done.result()
                if result is not None:
                    yield result
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def default_processes() -> int:
    """Jobs at a time: one on a GPU, else one per core."""
    return 1 if torch.cuda.is_available() else usable_cpus()


def known_results(jobs: Sequence[Job], data: str, out: str, *, wanted: bool) -> dict[str, Result]:
    """The results that jobs have left in OUT, by name; ArtifactError where one has other documents or settings.

    wanted: whether all of the jobs are, as in `of_jobs`.
    """
    remedy = f"remove {out}, or choose another --out"
    found = {}
    for job in jobs:
        path = os.path.join(out, job.name, RESULT_NAME)
        if os.path.exists(path):
            found[job.name] = _of_job(read_result(path), job, data, path, remedy, wanted=wanted)
    return found


def of_jobs(
    results: Sequence[Result], jobs: Sequence[Job], data: str, path: str, *, wanted: Sequence[Job]
) -> dict[str, Result]:
    """Those of the results that are of these jobs, by name; ArtifactError where one has other documents or settings.

    A job that is not wanted keeps its result unchecked where its dataset is not here: a study of some arms needs no
    dataset of the others.
    """
    known, names = {result.name: result for result in results}, {job.name for job in wanted}
    remedy = "take the corpus that it was made from, or another --results"
    return {
        job.name: _of_job(known[job.name], job, data, path, remedy, wanted=job.name in names)
        for job in jobs
        if job.name in known
    }


def _of_job(result: Result, job: Job, data: str, path: str, remedy: str, *, wanted: bool) -> Result:
    """A result that a file holds for a job; ArtifactError where it is of other documents or settings."""
    is_checked = wanted or os.path.exists(os.path.join(job.arm.dataset(data), MANIFEST_NAME))
    if is_checked and result.identity != identity(job, data):
        raise ArtifactError(f"{path} holds {job.name} of other documents or settings; {remedy}")
    return result


def identity(job: Job, data: str) -> str:
    """sha256, as hex, of all that decides a job's result but for chance: the documents, the recipes, the settings.

    The byte LM's weights do not count, nor codes that follow from them: each machine trains its own, by one recipe.
    """
    manifest = Dataset(job.arm.dataset(data), compressor=None).manifest
    compressor = manifest.compressors[job.arm.compressor] if job.arm.compressor else {}
    own = [
        manifest.totals.written,
        manifest.totals.raw_bytes,
        compressor.get("alphabet_size"),
        compressor.get("settings"),
        job.settings("", "").content(),
        job.scale.scored_bytes,
        job.scale.translated_documents,
        job.scale.translated_bytes,
    ]
    return sha256_hex(canonical_json(own))


def _quiet(threads: int, deadline: float | None) -> None:
    """Set up a worker process that ends with the process that started it, or a killed run would go on training."""
    logging.getLogger().setLevel(logging.WARNING)
    torch.set_num_threads(threads)
    # Training listens to it; what comes after is short and is finished.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(), deadline), daemon=True).start()


def _end_with(parent: int, deadline: float | None) -> None:
    """End this process with its parent; from the deadline on ask training for a checkpoint and an end."""
    while os.getppid() == parent:
        if deadline is not None and time.monotonic() > deadline:
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
    os._exit(1)


def has_bf16() -> bool:
    """Whether this machine multiplies bfloat16 in its own instructions, which is then much faster than fp32."""
    return torch.cuda.is_available() or bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def run_job(
    job: Job, data: str, out: str, *, formats: str = "", bf16: bool | None = None, deadline: float | None = None
) -> Result | None:
    """Train one arm and evaluate it; its directory is its run. None where it has to wait for another run.

    formats: a dataset of reformatted texts for `Result.format_bits`; empty: not measured.
    bf16: products of training in bfloat16, weights and all else in fp32; None: where the machine has instructions for
    it. deadline: of `time.monotonic`, after which nothing is begun.
    """
    if deadline is not None and time.monotonic() > deadline:
        return None
    run = os.path.join(out, job.name)
    settings = job.settings(data, run)
    begin = time.process_time() - _spent_seconds(run)
    bf16 = has_bf16() if bf16 is None else bf16
    with init_distributed("cpu" if not torch.cuda.is_available() else "cuda") as dist:
        done = train(settings, replace(dist, compute_dtype=torch.bfloat16 if bf16 else torch.float32))
        device = dist.device
    if done < settings.steps:
        replace_file(os.path.join(run, SPENT_NAME), canonical_json(time.process_time() - begin))
        return None
    figures = measured(job, run, data=data, formats=formats, device=str(device))
    result = Result(
        arm=job.arm.name,
        size=job.size,
        budget=job.budget,
        density=job.density,
        seed=job.seed,
        symbols=settings.steps * settings.batch_symbols,
        raw_per_comp=raw_per_comp(job, data),
        arithmetic="bfloat16" if bf16 else "float32",
        cpu_seconds=round(time.process_time() - begin, 1),
        identity=identity(job, data),
        **figures,
    )
    replace_file(os.path.join(run, RESULT_NAME), canonical_json(asdict(result)))
    return result


def _spent_seconds(run: str) -> float:
    """CPU seconds of the earlier slices of a run; those of a slice that was killed are not known."""
    path = os.path.join(run, SPENT_NAME)
    if not os.path.exists(path):
        return 0.0
    with refusing(path, ArtifactError, "remove it"), open(path, "rb") as file:
        spent = typed(float, parse_json(file.read()), SPENT_NAME)
        if not 0 <= spent < 1e9:
            raise ValueError(f"{spent} CPU seconds")
        return spent
