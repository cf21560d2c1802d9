"""Full disks, shards that are damaged after the run, units that are run twice: what happens, and what comes after."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pipeline.compressors.base import Compressor, Loading
from pipeline.compressors.registry import load_compressors
from pipeline.corpus.settings import CorpusSettings
from pipeline.corpus.units import WorkUnit
from pipeline.job.compress_unit import Commit, UnitCompressor
from pipeline.job.job import Job
from pipeline.job.publish import publish
from pipeline.job.settings import ModelSettings, PreprocessSettings
from schemas.manifest import read_manifest
from tests.pipeline.corpora import plan_units
from tests.pipeline.runs import content
from tests.soak.damage import damaged_shard, missing_shard, truncated_shard
from tests.soak.disk import full_disk
from tests.soak.laws import BrokenLawError, Case, check_finished, law
from tests.soak.runs import UNITS, Subject, make_models, make_subject, write_corpus

Fault = Callable[[random.Random, Subject, Path], str]


def faults(scratch: Path, *, count: int, seed: int, limit_seconds: float) -> Iterator[Case]:
    """Faults, the kinds taking turns."""
    limit = time.monotonic() + limit_seconds
    models = make_models(scratch / "models")
    options = ["--compressors", "gzip,tokenizer", "--tokenizer", models.tokenizer, "--workers", "1"]
    subject = make_subject("faults", write_corpus(scratch / "corpus"), scratch, options)
    kinds: tuple[Fault, ...] = (full_disk, damaged_shard, truncated_shard, missing_shard, unit_twice)
    for number in range(count):
        if time.monotonic() > limit:
            break
        kind = kinds[number % len(kinds)]
        place = scratch / f"fault-{number}"
        place.mkdir()
        try:
            yield Case(f"fault {number}: {kind(random.Random(f'{seed}:{number}'), subject, place)}", True, 1)
            shutil.rmtree(place)
        except (BrokenLawError, AssertionError) as error:
            yield Case(f"FAILED fault {number}, {kind.__name__} ({place}): {error}", False, 1)


def unit_twice(rng: random.Random, subject: Subject, place: Path) -> str:
    """Two attempts at every unit, one after the other or at once, and a publication that is run again."""
    output, finished = place / "out", place.parent / f"undisturbed-{subject.name}"
    manifest = read_manifest(finished)
    corpus = subject.arguments[subject.arguments.index("--input") + 1]
    settings = PreprocessSettings(
        corpus=CorpusSettings(inputs=(corpus,)),
        output=str(output),
        compressors=tuple(manifest.compressors),
        models=ModelSettings(tokenizer="given"),
        max_reject_fraction=0.5,
    )
    job = Job(
        settings=settings,
        output=str(output),
        identity=manifest.settings["identity"],
        compressors=manifest.compressors,
        versions=manifest.versions,
    )
    job.make_work_directories()
    compressors = load_compressors(settings.compressors, Loading(directory=str(finished / "compressors")))
    at_once = rng.random() < 0.5
    units = plan_units([corpus], shards=UNITS, unit_bytes=1)
    commits = [rng.choice(_attempts(job, compressors, unit, at_once=at_once)) for unit in units]
    for _ in range(2):
        publish(rng.sample(commits, len(commits)), job)
    shutil.rmtree(output / "_work")
    check_finished(output)
    law(content(output) == subject.final, "units that were run twice give other bytes")
    return f"{len(units)} units {'twice at once' if at_once else 'twice in a row'}, published twice: the same bytes"


def _attempts(job: Job, compressors: Mapping[str, Compressor], unit: WorkUnit, *, at_once: bool) -> list[Commit]:
    """The commits of two attempts, neither of which knows of the other."""
    commits: list[Commit] = []

    def attempt() -> None:
        commits.append(UnitCompressor(job, compressors).process(unit))

    threads = [threading.Thread(target=attempt) for _ in range(2)]
    for thread in threads:
        thread.start()
        if not at_once:
            thread.join()
            Path(job.commit_path(unit.index)).unlink()
    for thread in threads:
        thread.join()
    law(len(commits) == 2, f"an attempt at unit {unit.index} failed")
    return commits
