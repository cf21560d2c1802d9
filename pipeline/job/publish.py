"""From commit records to a dataset: final names, rejects, report, and the manifest last of all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

from pipeline.job.compress_unit import Commit
from pipeline.job.finished import holds_shard
from pipeline.job.job import REJECTS_DIRECTORY, WORK_DIRECTORY, Job
from pipeline.job.learned_table import learning_seconds
from pipeline.storage import files
from schemas.errors import DatasetError
from schemas.files import canonical_json
from schemas.manifest import MANIFEST_NAME, Manifest, ShardEntry, Totals
from schemas.shards import SHARD_PATTERN
from schemas.stores import StoredObject

REPORT_NAME = "report.json"
REFUSED_NAME = "too_many_rejects.json"


def publish(commits: Sequence[Commit], job: Job) -> None:
    """Make the dataset visible. Doing it again, after a crash at any point, ends in the same bytes.

    Where more documents were rejected than the run allows, or more bytes could not be read, or there was nothing to
    read, nothing becomes visible, and the work directory says so. SettingsError where the disk is full.
    """
    commits = sorted(commits, key=lambda commit: commit.unit)
    assert [commit.unit for commit in commits] == list(range(len(commits))), "a unit is missing or there twice"
    entries = tuple(commit.shard for commit in commits)
    totals = Totals.of(entries, read=sum(commit.read for commit in commits), compressors=job.compressors)
    with files.explain_no_room(job.output):
        stored_bytes, lost_bytes = _bytes(commits)
        most = job.settings.max_reject_fraction
        if not totals.read or totals.rejected > most * totals.read or lost_bytes > most * stored_bytes:
            _refuse(commits, totals, job)
            return
        _finalize_all(commits, entries, job)
        files.write_bytes(job.path(REPORT_NAME), canonical_json(_report(commits, job)))
        manifest = Manifest(
            shards=entries,
            compressors=job.compressors,
            totals=totals,
            settings=job.manifest_settings,
            versions=job.versions,
        )
        manifest.check_balance()
        files.write_bytes(job.path(MANIFEST_NAME), manifest.to_bytes())


def _bytes(commits: Sequence[Commit]) -> tuple[int, int]:
    """(stored bytes of the corpus, those of them that could not be read)."""
    return sum(commit.stored_bytes for commit in commits), sum(commit.lost_bytes for commit in commits)


def _refuse(commits: Sequence[Commit], totals: Totals, job: Job) -> None:
    """Write down for the launcher that there are too many rejects."""
    stored_bytes, lost_bytes = _bytes(commits)
    refused = {
        "rejected_by_reason": totals.rejected_by_reason,
        "read": totals.read,
        "rejected": totals.rejected,
        "stored_bytes": stored_bytes,
        "lost_bytes": lost_bytes,
    }
    by_loss = sorted(commits, key=lambda commit: (-commit.lost_bytes, commit.unit))
    first = next((path for path in (commit.rejects_path(job) for commit in by_loss) if path), job.staged_path(""))
    files.write_bytes(job.path(WORK_DIRECTORY, REFUSED_NAME), canonical_json({**refused, "example": first}))


def _finalize_all(commits: Sequence[Commit], entries: Sequence[ShardEntry], job: Job) -> None:
    """Give every staged shard and its rejects their final names. DatasetError where a shard in a store is another."""
    rejects = job.path(REJECTS_DIRECTORY)
    files.make_directory(rejects)
    with_rejects = {os.path.basename(job.rejects_path(entry.name)) for entry in entries if entry.rejects}
    found = _remove_others(job.output, SHARD_PATTERN, {entry.name for entry in entries})
    _remove_others(rejects, "*", with_rejects)
    for commit, entry in zip(commits, entries, strict=True):
        if not commit.staged:
            if not holds_shard(found, commit, job):
                raise DatasetError(
                    f"{job.path(entry.name)} is not the shard that was written there, or is gone: see that no other "
                    "run writes to this --output, and run the same command again"
                )
            continue
        _finalize(job.staged_path(commit.staged), job.path(entry.name))
        if commit.staged_rejects:
            _finalize(job.staged_path(commit.staged_rejects), job.rejects_path(entry.name))


def _remove_others(directory: str, pattern: str, ours: set[str]) -> Mapping[str, StoredObject]:
    """Remove what a run with other settings had put there when it was killed; what a listing of the directory says."""
    found = files.list_stored(directory)
    files.remove_all(directory, [name for name in found if fnmatch(name, pattern) and name not in ours])
    return found


def _finalize(staged: str, final: str) -> None:
    """Move a staged file to its final name; if it is gone, an earlier attempt has moved it."""
    if files.exists(staged):
        files.rename(staged, final)
    assert files.exists(final), f"{staged} and {final} are both missing"


def _report(commits: Sequence[Commit], job: Job) -> dict[str, Any]:
    """Seconds per stage over all units, and over what was learned before them; not part of the dataset's content."""
    seconds = learning_seconds(job)
    for commit in commits:
        seconds.update(commit.seconds)
    return {"stage_seconds": {stage: round(value, 3) for stage, value in sorted(seconds.items())}}


def add_to_report(job: Job, values: dict[str, Any]) -> None:
    """Add what the launcher measured to the report. What a kill leaves of it is in the work directory, not visible."""
    path, staged = job.path(REPORT_NAME), job.path(WORK_DIRECTORY, REPORT_NAME)
    report = canonical_json({**json.loads(files.read_bytes(path)), **values})
    if job.is_in_store:
        files.write_bytes(path, report)
        return
    files.write_bytes(staged, report)
    files.rename(staged, path)
