"""From commit records to a dataset: final names, rejects, report, and the manifest last of all."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from typing import Any

from pipeline.job.compress_unit import REJECTS_DIRECTORY, WORK_DIRECTORY, Commit, staged_path
from pipeline.storage import files
from schemas.files import canonical_json
from schemas.manifest import MANIFEST_NAME, Manifest, ShardEntry, Totals
from schemas.shards import SHARD_PATTERN

REPORT_NAME = "report.json"
REFUSED_NAME = "too_many_rejects.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """What the manifest says beside the shards, and when a run is refused."""

    output: str
    max_reject_fraction: float
    compressors: dict[str, dict[str, Any]]
    settings: dict[str, Any]
    versions: dict[str, str]


def publish(commits: Sequence[Commit], publication: Publication) -> None:
    """Make the dataset visible. Doing it again, after a crash at any point, ends in the same bytes.

    SettingsError where the disk is full.
    """
    with files.explain_no_room(publication.output):
        _publish(commits, publication)


def _publish(commits: Sequence[Commit], publication: Publication) -> None:
    output = publication.output
    commits = sorted(commits, key=lambda commit: commit.unit)
    assert [commit.unit for commit in commits] == list(range(len(commits))), "a unit is missing or doubled"
    entries = [ShardEntry(**commit.shard) for commit in commits]
    totals = Totals.of(entries, read=sum(commit.read for commit in commits), compressors=publication.compressors)
    if totals.rejected > publication.max_reject_fraction * totals.read:
        refused = {"rejected_by_reason": totals.rejected_by_reason, "read": totals.read, "rejected": totals.rejected}
        first = next(commit.staged_rejects for commit in commits if commit.staged_rejects)
        refused["example"] = staged_path(output, first)
        files.write_bytes(files.join(output, WORK_DIRECTORY, REFUSED_NAME), canonical_json(refused))
        return
    rejects = files.join(output, REJECTS_DIRECTORY)
    files.make_directory(rejects)
    names = [entry.name.removesuffix(".arrow") for entry in entries]
    _remove_others(output, SHARD_PATTERN, {entry.name for entry in entries})
    _remove_others(rejects, "*", {f"{name}.jsonl" for name, c in zip(names, commits, strict=True) if c.staged_rejects})
    for commit, name in zip(commits, names, strict=True):
        _settle(staged_path(output, commit.staged), files.join(output, f"{name}.arrow"))
        if commit.staged_rejects:
            _settle(staged_path(output, commit.staged_rejects), files.join(rejects, f"{name}.jsonl"))
    files.write_bytes(files.join(output, REPORT_NAME), canonical_json(_report(commits)))
    manifest = Manifest(
        shards=tuple(entries),
        compressors=publication.compressors,
        totals=totals,
        settings=publication.settings,
        versions=publication.versions,
    )
    manifest.check_balance()
    files.write_bytes(files.join(output, MANIFEST_NAME), manifest.to_bytes())


def _remove_others(directory: str, pattern: str, ours: set[str]) -> None:
    """Remove what a run with other settings had put there when it was killed."""
    for name in files.list_files(directory):
        if fnmatch(name, pattern) and name not in ours:
            files.remove(files.join(directory, name))


def _settle(staged: str, final: str) -> None:
    """Move a staged file to its final name; if it is gone, an earlier attempt has moved it."""
    if files.exists(staged):
        files.rename(staged, final)
    assert files.exists(final), f"{staged} and {final} are both missing"


def _report(commits: Sequence[Commit]) -> dict[str, Any]:
    """Seconds per stage over all units; not part of the dataset's content."""
    seconds: Counter[str] = Counter()
    for commit in commits:
        seconds.update(commit.seconds)
    return {"stage_seconds": {stage: round(value, 3) for stage, value in sorted(seconds.items())}}


def add_to_report(output: str, values: dict[str, Any]) -> None:
    """Add what the launcher measured to the report. What a kill leaves of it is in the work directory, not visible."""
    path, staged = files.join(output, REPORT_NAME), files.join(output, WORK_DIRECTORY, REPORT_NAME)
    files.write_bytes(staged, canonical_json({**json.loads(files.read_bytes(path)), **values}))
    files.rename(staged, path)


def versions(device: str) -> dict[str, str]:
    """Versions of what the shards' bytes depend on."""
    from importlib.metadata import version

    names = ("apache-beam", "numba", "numpy", "pyarrow", "sentencepiece", "torch")
    return {"python": platform.python_version(), "device": device, **{name: version(name) for name in names}}


def manifest_settings(values: dict[str, Any]) -> dict[str, Any]:
    """Settings as JSON values with tuples as lists, so that reading them back gives equal bytes."""
    return json.loads(json.dumps(values, default=lambda value: asdict(value)))
