"""What of a run is done already: a look at each unit's files on this machine, two listings in a store.

    done/ listed ──► records that are there, read at once ──┐
    shards listed, with size and version ───────────────────┴──► commits whose shards are as they were written

A record that is another run's, or whose shard is not as it was written, is removed: the shard may be overwritten next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from pipeline.corpus.units import WorkUnit
from pipeline.job.compress_unit import Commit, finished_commit
from pipeline.job.job import WORK_DIRECTORY, Job, commit_name
from pipeline.storage import files
from schemas import stores
from schemas.stores import StoredObject

READERS = 16
"""Commit records that are read at a time."""


def finished_commits(job: Job, units: Sequence[WorkUnit]) -> list[Commit | None]:
    """The commit record of every unit, None for one that is to be done."""
    if not job.is_in_store:
        return [finished_commit(job, unit) for unit in units]
    found = files.list_stored(job.output)
    names = [name for name in files.list_files(job.path(WORK_DIRECTORY, "done")) if name.endswith(".json")]
    paths = [job.path(WORK_DIRECTORY, "done", name) for name in names]
    with ThreadPoolExecutor(READERS) as pool:
        records = list(pool.map(lambda path: Commit.from_bytes(files.read_bytes(path), path), paths))
    identity = job.encoding_identity
    ours = {
        name: commit
        for name, commit in zip(names, records, strict=True)
        if commit.identity == identity and holds_shard(found, commit, job)
    }
    stores.remove(path for name, path in zip(names, paths, strict=True) if name not in ours)
    commits = [ours.get(commit_name(unit.index)) for unit in units]
    for unit, commit in zip(units, commits, strict=True):
        if commit:
            commit.check(job, unit, job.commit_path(unit.index))
    return commits


def holds_shard(found: Mapping[str, StoredObject], commit: Commit, job: Job) -> bool:
    """Whether a store's listing of OUTPUT has the shard of a commit record as it was written."""
    stored = found.get(commit.shard.name)
    if stored is None or stored.size_bytes != commit.shard.file_bytes:
        return False
    # Only Amazon promises that a listing names an object by the ETag that its upload got.
    return stored.version == commit.version or not job.output.startswith("s3://")
