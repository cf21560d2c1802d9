"""The run: plan, prepare the models, compress every unit, publish; and find out what of it is already there.

PreprocessSettings ── Corpus ──► units ── ensure, for each artifact ──► plan_job ──► Job
    Job, units ── graph.run ──► commit records ── publish ──► dataset
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path

from kernels.compiled import uncached
from pipeline.compressors.neural.device import check_device
from pipeline.compressors.registry import COMPRESSORS_DIRECTORY
from pipeline.corpus.corpus import Corpus, log_not_read
from pipeline.corpus.source_files import NotRead
from pipeline.corpus.units import WorkUnit
from pipeline.job.artifacts.artifact import ensure
from pipeline.job.artifacts.needed import artifacts_of
from pipeline.job.artifacts.taken import with_models_taken
from pipeline.job.finished import finished_commits
from pipeline.job.job import WORK_DIRECTORY, Job, identity, plan_job
from pipeline.job.kept_checkpoints import kept_checkpoints
from pipeline.job.learned_table import parts_to_make
from pipeline.job.plan_file import PLAN_NAME, write_plan
from pipeline.job.publish import REFUSED_NAME, add_to_report, publish
from pipeline.job.settings import LM_SIZES, LOCAL_RUNNER, SETTINGS_NAME, PreprocessSettings
from pipeline.storage import files, lock
from pipeline.timing import Clock
from schemas import stores
from schemas.config import to_json
from schemas.errors import ArtifactError, DatasetError, InputError, SettingsError, TooManyRejects
from schemas.files import canonical_json, json_line
from schemas.manifest import MANIFEST_NAME, Manifest
from schemas.store_clients import check_credentials

logger = logging.getLogger(__name__)

NOT_READ_NAME = "not_read.jsonl"
"""What of the inputs is no part of the corpus, and why: a row of path, reason and size_bytes for each name."""
MAX_SHARDS = 99_999
"""Shard names have five digits."""


def preprocess(settings: PreprocessSettings) -> bool:
    """Bring the output directory to a finished dataset; False if it was one already."""
    begin = time.monotonic()
    if uncached:
        logger.warning(
            "warning: compiled loops cannot be kept anywhere here, so each process compiles them anew, for ten seconds "
            "and more; set NUMBA_CACHE_DIR to a directory that can be written"
        )
    settings = with_models_taken(settings)
    if settings.learn_once and settings.models.neural.context != "segment":
        raise SettingsError("--learn-once codes segments, of which --context document has none; leave one out")
    if settings.runner != LOCAL_RUNNER or settings.beam_options:
        from pipeline.job import runners

        runners.check(settings)
    if not files.is_local(settings.output):
        stores.check_url(settings.output)
        check_credentials(settings.output)
    corpus = Corpus(settings.corpus.inputs)
    units = corpus.units(shards=settings.shards, unit_bytes=settings.unit_bytes)
    if len(units) > MAX_SHARDS:
        raise SettingsError(f"{len(units)} shards are more than {MAX_SHARDS}; give fewer --shards or more --unit-bytes")
    _refuse_output_in_input(settings, units)
    files.make_directory(settings.output)
    with lock.hold(settings.output), files.explain_no_room(settings.output):
        if files.exists(files.join(settings.output, MANIFEST_NAME)):
            check_same_run(settings, units)
            files.remove(files.join(settings.output, WORK_DIRECTORY))
            return False
        _tell_not_read(settings.output, corpus.not_read)
        clock = Clock()
        _prepare(settings, corpus, clock)
        job = plan_job(settings, units)
        files.write_bytes(job.path(SETTINGS_NAME), canonical_json(to_json(job.settings)))
        prepared = time.monotonic()
        _compress(job, units, settings)
        measured = {
            "prepare_seconds": {stage: round(value, 3) for stage, value in clock.seconds.items()},
            "shards_wall_seconds": round(time.monotonic() - prepared, 3),
            "wall_seconds": round(time.monotonic() - begin, 3),
            "workers": settings.workers,
        }
        add_to_report(job, measured)
        files.remove(job.path(WORK_DIRECTORY))
    return True


def _tell_not_read(output: str, not_read: Sequence[NotRead]) -> None:
    """Name every file and directory of the inputs that is not read, in the log by kinds and in a file one by one."""
    path = files.join(output, NOT_READ_NAME)
    if not not_read:
        files.remove(path)
        return
    log_not_read(not_read)
    files.write_bytes(path, "".join(json_line(asdict(name)) for name in not_read).encode())


def _prepare(settings: PreprocessSettings, corpus: Corpus, clock: Clock) -> None:
    """Make what the run's compressors are loaded from, as far as it is not there."""
    if "neural" in settings.compressors:
        check_device(settings.device)
    directory = files.join(settings.output, COMPRESSORS_DIRECTORY)
    files.make_directory(directory)
    copy = files.LocalCopy(directory)
    with copy.named_by_origin(ArtifactError), _kept_training(settings, copy.directory):
        for artifact in artifacts_of(settings, settings.compressors, copy.directory, corpus):
            ensure(artifact, clock)
            copy.upload()


def _kept_training(settings: PreprocessSettings, directory: str) -> AbstractContextManager[None]:
    """What keeps the byte LM's checkpoints where the output is, if that is a store; directory: its copy here."""
    lm = settings.models.lm
    trains = "neural" in settings.compressors and lm in LM_SIZES and not settings.compressors_of
    if files.is_local(settings.output) or not trains:
        return nullcontext()
    kept = files.join(settings.output, WORK_DIRECTORY, f"lm-{lm}.tar")
    return kept_checkpoints(kept, Path(directory, f"lm-{lm}"))


def _compress(job: Job, units: list[WorkUnit], settings: PreprocessSettings) -> None:
    """Run the graph over the units that are not done, and publish. `settings` has Beam's options too."""
    job.make_work_directories()
    files.remove(job.path(WORK_DIRECTORY, REFUSED_NAME))
    commits = finished_commits(job, units)
    if all(commits):
        publish([commit for commit in commits if commit], job)
    else:
        from pipeline.job import graph, runners
        from pipeline.job.progress import shown_progress

        logger.info("%d units, %d of them done before", len(units), sum(commit is not None for commit in commits))
        beam_options = runners.pipeline_options(settings)
        plan = write_plan(job.path(WORK_DIRECTORY, PLAN_NAME), units)
        parts = parts_to_make(job, units)
        with shown_progress(job, units, parts):
            graph.run(job, plan, beam_options, parts=parts)
    _raise_if_refused(job)
    if not files.exists(job.path(MANIFEST_NAME)):
        raise DatasetError(
            f"the job has ended, but {job.output} has no {MANIFEST_NAME}; look at the runner's log, "
            "then run the same command again: finished units are kept"
        )


def _raise_if_refused(job: Job) -> None:
    path = job.path(WORK_DIRECTORY, REFUSED_NAME)
    if files.exists(path):
        refused = json.loads(files.read_bytes(path))
        if not refused["read"]:
            names = ", ".join(job.settings.corpus.inputs)
            raise InputError(f"{names} holds no document: its files are empty; give another --input")
        reasons = ", ".join(f"{reason} {count}" for reason, count in refused["rejected_by_reason"].items())
        what = f"{refused['rejected']} of {refused['read']} documents were rejected ({reasons})"
        if refused["lost_bytes"]:
            what += f", {refused['lost_bytes']:,} of {refused['stored_bytes']:,} bytes of input could not be read"
        raise TooManyRejects(
            f"{what}, more than --max-reject-fraction {job.settings.max_reject_fraction:g}; "
            f"look at {refused['example']}, then fix the input or raise the limit: finished units are kept"
        )


def check_same_run(settings: PreprocessSettings, units: list[WorkUnit]) -> None:
    """Refuse an output directory that holds the dataset of another run."""
    path = files.join(settings.output, MANIFEST_NAME)
    manifest = Manifest.from_bytes(files.read_bytes(path), path)
    common = [name for name in settings.compressors if name in manifest.compressors]
    for artifact in artifacts_of(settings, common, files.join(settings.output, COMPRESSORS_DIRECTORY)):
        artifact.check()
    if manifest.settings.get("identity") != identity(settings, units):
        raise DatasetError(
            f"{settings.output} holds the finished dataset of another run (other input, settings or models); "
            "choose another --output, or remove that directory"
        )


def _refuse_output_in_input(settings: PreprocessSettings, units: list[WorkUnit]) -> None:
    """A later run would read what this one writes."""
    is_local = files.is_local(settings.output)
    output = os.path.join(os.path.abspath(settings.output) if is_local else settings.output, "")
    for path in settings.corpus.inputs:
        is_directory = os.path.isdir(path) if is_local else not files.is_local(path)
        if is_directory and output.startswith(os.path.join(os.path.abspath(path) if is_local else path, "")):
            raise SettingsError(f"--output {settings.output} lies in the input {path}; choose a place outside")
    for unit in units:
        for piece in unit.pieces:
            if piece.path.startswith(output):
                raise SettingsError(f"input {piece.path} lies in --output {settings.output}; choose another --output")
