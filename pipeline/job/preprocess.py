"""The run: plan, prepare the models, compress every unit, publish; and find out what of it is already there."""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import asdict
from typing import Any

from pipeline.compressors.registry import COMPRESSORS_DIRECTORY, check_device, load_compressors
from pipeline.corpus.units import WorkUnit, plan_units
from pipeline.job.artifacts import Workshop, artifacts_digest, check_request, check_tokenizer
from pipeline.job.compress_unit import WORK_DIRECTORY, UnitJob, finished_commit
from pipeline.job.publish import REFUSED_NAME, Publication, add_to_report, manifest_settings, publish, versions
from pipeline.job.settings import LOCAL_RUNNER, PreprocessSettings
from pipeline.storage import credentials, files, lock
from schemas.errors import DatasetError, SettingsError, TooManyRejects
from schemas.files import canonical_json, sha256_hex
from schemas.manifest import MANIFEST_NAME, Manifest
from schemas.shards import FORMAT_VERSION

logger = logging.getLogger(__name__)

MAX_SHARDS = 99_999
"""Shard names have five digits."""


def preprocess(settings: PreprocessSettings) -> bool:
    """Bring the output directory to a finished dataset; False if it was one already."""
    begin = time.monotonic()
    if settings.runner != LOCAL_RUNNER or settings.beam_options:
        from pipeline.job import runners

        runners.check(settings)
    credentials.check(settings.output, settings.beam_options)
    units = plan_units(settings.corpus.inputs, shards=settings.shards, unit_bytes=settings.unit_bytes)
    if len(units) > MAX_SHARDS:
        raise SettingsError(f"{len(units)} shards are more than {MAX_SHARDS}; give fewer --shards or more --unit-bytes")
    _refuse_output_in_input(settings, units)
    files.make_directory(settings.output)
    with lock.hold(settings.output), files.explain_no_room(settings.output):
        if files.exists(files.join(settings.output, MANIFEST_NAME)):
            check_same_run(settings, units)
            files.remove(files.join(settings.output, WORK_DIRECTORY))
            return False
        if "neural" in settings.compressors:
            check_device(settings.device)
        directory = _compressors_directory(settings)
        files.make_directory(directory)
        workshop = Workshop(settings, files.local_copy(directory))
        workshop.prepare()
        files.upload(workshop.directory, directory)
        prepared = time.monotonic()
        _compress(settings, units)
        add_to_report(
            settings.output,
            {
                "prepare_seconds": {stage: round(value, 3) for stage, value in workshop.seconds.items()},
                "shards_wall_seconds": round(time.monotonic() - prepared, 3),
                "wall_seconds": round(time.monotonic() - begin, 3),
                "workers": settings.workers,
            },
        )
        files.remove(files.join(settings.output, WORK_DIRECTORY))
    return True


def _compress(settings: PreprocessSettings, units: list[WorkUnit]) -> None:
    """Run the graph over the units that are not done, and publish."""
    for name in ("done", "staged"):
        files.make_directory(files.join(settings.output, WORK_DIRECTORY, name))
    files.remove(files.join(settings.output, WORK_DIRECTORY, REFUSED_NAME))
    # Workers stand in other directories than this process.
    output = os.path.abspath(settings.output) if files.is_local(settings.output) else settings.output
    job = UnitJob(
        output=output,
        identity=identity(settings, units),
        compressors=settings.compressors,
        read=settings.corpus.read,
        compression=settings.compression,
        entropy=settings.entropy,
    )
    loading = {**_loading(settings), "directory": files.join(output, COMPRESSORS_DIRECTORY)}
    described = {}
    for name, compressor in load_compressors(**loading).items():
        dtype = compressor.symbol_dtype.name
        described[name] = {**compressor.settings(), "alphabet_size": compressor.alphabet_size, "symbol_dtype": dtype}
    publication = Publication(
        output=output,
        max_reject_fraction=settings.max_reject_fraction,
        compressors=manifest_settings(described),
        settings=manifest_settings({**_content_settings(settings), "identity": job.identity}),
        versions=versions(settings.device),
    )
    commits = [finished_commit(job, unit) for unit in units]
    if all(commits):
        publish([commit for commit in commits if commit], publication)
    else:
        from pipeline.job import graph, runners
        from pipeline.job.progress import progress_bar

        logger.info("%d units, %d of them done before", len(units), sum(commit is not None for commit in commits))
        beam_options = runners.pipeline_options(settings)
        with progress_bar(settings.output, units):
            graph.run(units, job, loading, publication, beam_options)
    _raise_if_refused(settings)
    if not files.exists(files.join(settings.output, MANIFEST_NAME)):
        raise DatasetError(
            f"the job has ended, but {settings.output} has no {MANIFEST_NAME}; look at the runner's log, "
            "then give the same command again: finished units are kept"
        )


def _raise_if_refused(settings: PreprocessSettings) -> None:
    path = files.join(settings.output, WORK_DIRECTORY, REFUSED_NAME)
    if files.exists(path):
        refused = json.loads(files.read_bytes(path))
        reasons = ", ".join(f"{reason} {count}" for reason, count in refused["rejected_by_reason"].items())
        raise TooManyRejects(
            f"{refused['rejected']} of {refused['read']} documents were set aside ({reasons}), more than "
            f"--max-reject-fraction {settings.max_reject_fraction:g}; look at {refused['example']}, "
            "then mend the input or raise the limit: finished units are kept"
        )


def identity(settings: PreprocessSettings, units: list[WorkUnit]) -> str:
    """A name for the run's result: equal runs have equal shards."""
    pieces = [[(p.source, p.format, p.start, p.end, p.size_bytes) for p in unit.pieces] for unit in units]
    artifacts = artifacts_digest(_compressors_directory(settings))
    parts = {"format": FORMAT_VERSION, "units": pieces, "settings": _content_settings(settings), "artifacts": artifacts}
    return sha256_hex(canonical_json(manifest_settings(parts)))


def _content_settings(settings: PreprocessSettings) -> dict[str, Any]:
    """The settings that the shards' bytes depend on."""
    return {
        "compressors": settings.compressors,
        "read": asdict(settings.corpus.read),
        "compression": settings.compression,
        "entropy": settings.entropy,
        "token_width_bytes": settings.models.token_width_bytes,
        "token_code": settings.models.token_code,
        "other_device": settings.allow_other_device,
    }


def check_same_run(settings: PreprocessSettings, units: list[WorkUnit]) -> None:
    """Refuse an output directory that holds the dataset of another run."""
    path = files.join(settings.output, MANIFEST_NAME)
    manifest = Manifest.from_bytes(files.read_bytes(path), path)
    common = set(settings.compressors) & set(manifest.compressors)
    if "neural" in common:
        check_request(files.local_copy(files.join(_compressors_directory(settings), "neural")), settings.models)
    if common & {"tokenizer", "token_bytes"}:
        check_tokenizer(files.join(_compressors_directory(settings), "tokenizer"), settings.models)
    if manifest.settings.get("identity") != identity(settings, units):
        raise DatasetError(
            f"{settings.output} holds the finished dataset of another run (other input, settings or models); "
            "choose another --output, or remove that directory"
        )


def _compressors_directory(settings: PreprocessSettings) -> str:
    return files.join(settings.output, COMPRESSORS_DIRECTORY)


def _loading(settings: PreprocessSettings) -> dict[str, Any]:
    """Arguments of `load_compressors`, for the launcher and the workers."""
    return {
        "directory": _compressors_directory(settings),
        "names": settings.compressors,
        "device": settings.device,
        "allow_other_device": settings.allow_other_device,
        "token_width_bytes": settings.models.token_width_bytes,
        "token_code": settings.models.token_code,
    }


def _refuse_output_in_input(settings: PreprocessSettings, units: list[WorkUnit]) -> None:
    """A later run would read what this one writes."""
    if not files.is_local(settings.output):
        return
    output = os.path.join(os.path.abspath(settings.output), "")
    for path in settings.corpus.inputs:
        if os.path.isdir(path) and output.startswith(os.path.join(os.path.abspath(path), "")):
            raise SettingsError(f"--output {settings.output} lies in the input {path}; choose a place outside")
    for unit in units:
        for piece in unit.pieces:
            if piece.path.startswith(output):
                raise SettingsError(f"input {piece.path} lies in --output {settings.output}; choose another --output")
