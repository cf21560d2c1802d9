"""The one screen at the end of a run."""

from __future__ import annotations

import shlex
from typing import Any

from pipeline.compressors.registry import manifest_descriptions
from pipeline.job.job import REJECTS_DIRECTORY
from pipeline.job.publish import REPORT_NAME
from pipeline.storage import files
from schemas.errors import DatasetError
from schemas.json_files import parse_object
from schemas.manifest import MANIFEST_NAME, Manifest

STAGES_IN_ORDER = (
    "collect",
    "read",
    "neural",
    "learned",
    "byte_lm",
    "tokenizer",
    "sentencepiece",
    "gzip",
    "token_bytes",
    "entropy",
    "write",
)


def summary(output: str) -> str:
    """Documents, bytes, rejects, bytes per symbol, LM quality, rates, and what to do next."""
    path = files.join(output, MANIFEST_NAME)
    manifest = Manifest.from_bytes(files.read_bytes(path), path)
    imbalance = manifest.imbalance()
    if imbalance is not None:
        raise DatasetError(f"{path} does not balance ({imbalance}): write the dataset again")
    rates = _measured(files.join(output, REPORT_NAME), manifest)
    return "\n".join([*_documents(output, manifest), "", *_compressors(manifest), "", *rates, *_next(output)])


def _measured(path: str, manifest: Manifest) -> list[str]:
    """What the report says of rates and times. It is no part of the dataset, so one that is damaged is only told."""
    if not files.exists(path):
        return []
    try:
        lines = _rates(manifest, parse_object(files.read_bytes(path)))
        "".join(lines).encode()
        return lines
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
        return [f"{path} is damaged, so rates and times are left out"]


def _documents(output: str, manifest: Manifest) -> list[str]:
    totals = manifest.totals
    file_bytes = sum(shard.file_bytes for shard in manifest.shards)
    reasons = ", ".join(f"{count} {reason}" for reason, count in totals.rejected_by_reason.items())
    rejected = f"{totals.rejected} ({reasons}), see {files.join(output, REJECTS_DIRECTORY)}" if reasons else "none"
    return [
        f"{output}: {totals.written:,} documents, {totals.raw_bytes / 1e6:.1f} MB raw, "
        f"{len(manifest.shards)} shards, {file_bytes / 1e6:.1f} MB on disk",
        f"rejected: {rejected}",
    ]


def _compressors(manifest: Manifest) -> list[str]:
    lines = ["compressor      alphabet       symbols   bytes/symbol   segments   bytes/segment"]
    for name, settings in manifest.compressors.items():
        symbols = manifest.totals.symbols[name]
        segments = sum(shard.segments[name] for shard in manifest.shards)
        raw = manifest.totals.raw_bytes
        lines.append(
            f"{name:<12} {settings['alphabet_size']:>11,} {symbols:>13,} {raw / max(1, symbols):>14.3f} "
            f"{segments:>10,} {raw / max(1, segments):>15.2f}"
        )
    described = manifest_descriptions(manifest, MANIFEST_NAME).values()
    return [*lines, *(words for words in (description.summary() for description in described) if words)]


def _rates(manifest: Manifest, report: dict[str, Any]) -> list[str]:
    if not report:
        return []
    raw = manifest.totals.raw_bytes / 1e6
    stages = report["stage_seconds"]
    rates = [f"{name} {raw / stages[name]:.1f}" for name in STAGES_IN_ORDER if stages.get(name)]
    lines = [f"MB/s of one worker, by stage: {', '.join(rates)}"]
    prepared = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in report.get("prepare_seconds", {}).items())
    if "wall_seconds" in report:
        lines.append(
            f"time: {prepared + ', ' if prepared else ''}shards {report['shards_wall_seconds']:.0f} s "
            f"({report['workers']} workers, {raw / max(report['shards_wall_seconds'], 1e-9):.1f} MB/s), "
            f"all {report['wall_seconds']:.0f} s"
        )
    return lines


def _next(output: str) -> list[str]:
    return [
        "",
        "next:",
        f"  python -m pipeline verify {shlex.quote(output)}",
        f"  python -m pipeline show {shlex.quote(output)} --view paired --head 20",
    ]
