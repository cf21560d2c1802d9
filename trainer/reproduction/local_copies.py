"""Datasets at a URL are copied once into the study's directory, and every run reads the copies.

    --data s3://…/pieces    OUT/datasets/data, and data-level … for the arms that read those beside it
    --corpus s3://…         OUT/datasets/corpus: its manifest and what `analyze` found, no shards
    --formats s3://…        OUT/datasets/formats

A study is many runs, several at a time, over a dataset that is small: each with a cache of its own would fetch it as
often. A copy is finished when it has its manifest; the same command again fetches only what is not there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

from schemas.errors import DatasetError
from schemas.files import is_remote, replace_file
from schemas.manifest import MANIFEST_NAME, ShardEntry, read_manifest
from schemas.remote import join, read_bytes
from schemas.shard_files import check_shard, fetch_shard
from trainer.reproduction.arms import Job, compressors
from trainer.reproduction.findings import COLLISIONS_NAME, FRONTIER_NAME, STABILITY_NAME
from trainer.reproduction.settings import ReproduceSettings

ANALYSIS = "analysis"
FOLDER = "datasets"


def with_local_datasets(
    settings: ReproduceSettings, wanted: Sequence[Job], others: Sequence[Job], out: str
) -> ReproduceSettings:
    """The settings with a local directory for each dataset, those at a URL copied.

    wanted: jobs that will be trained, unless results are only gathered; others: jobs whose results may be known. Of
    datasets that nothing is trained on a manifest will do, or none.
    DatasetError where one is missing or damaged, SettingsError where there is no room for it, UnreachableError where
    its store does not answer.
    """
    folder = os.path.join(out, FOLDER)
    data, corpus, formats = settings.data, settings.corpus, settings.formats
    if is_remote(data):
        data = os.path.join(folder, "data")
        train = not settings.gather
        needed = {"", *_endings(wanted if train else ())}
        for ending in sorted(needed | _endings(others)):
            # A study of some arms needs no dataset of the others.
            with nullcontext() if ending in needed else suppress(DatasetError):
                copy_dataset(settings.data.rstrip("/") + ending, data + ending, shards=ending in needed and train)
    if is_remote(corpus):
        corpus = os.path.join(folder, "corpus")
        copy_dataset(settings.corpus, corpus, shards=False)
    if is_remote(formats):
        formats = os.path.join(folder, "formats")
        copy_dataset(settings.formats, formats)
    return replace(settings, data=data, corpus=corpus, formats=formats)


def _endings(jobs: Sequence[Job]) -> set[str]:
    """What the names of their datasets have behind the name of the first."""
    return {f"-{boundaries}" for boundaries, _ in compressors(jobs) if boundaries}


def copy_dataset(url: str, directory: str, *, shards: bool = True) -> None:
    """Bring the finished dataset at a URL to a local directory; a shard that is there already is kept.

    shards: whether these are wanted, or the manifest and the analysis alone. Errors as `with_local_datasets`.
    """
    manifest = read_manifest(url)
    os.makedirs(os.path.join(directory, ANALYSIS), exist_ok=True)
    for entry in manifest.shards if shards else ():
        path = Path(directory, entry.name)
        if not _is_there(path, entry):
            fetch_shard(join(url, entry.name), entry, path)
    for name in (STABILITY_NAME, FRONTIER_NAME, COLLISIONS_NAME):
        path = Path(directory, ANALYSIS, name)
        path.unlink(missing_ok=True)
        # Only what was analyzed has them.
        with suppress(FileNotFoundError):
            replace_file(path, read_bytes(join(url, ANALYSIS, name)))
    replace_file(os.path.join(directory, MANIFEST_NAME), manifest.to_bytes())


def _is_there(path: Path, entry: ShardEntry) -> bool:
    try:
        check_shard(path, entry)
    except DatasetError:
        return False
    return True
