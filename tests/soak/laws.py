"""What must hold for an output directory after anything that may happen to a run."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.errors import DatasetError
from schemas.manifest import Manifest, read_manifest
from tests.pipeline.runs import content

VISIBLE = re.compile(
    r"\.lock|(manifest|report|settings)\.json|not_read\.jsonl|shard-\d{5}-of-\d{5}\.arrow|rejects/shard-[^/]*\.jsonl"
)
TEMPORARY = re.compile(r"\.(tmp|part)\w*$")


class BrokenLawError(AssertionError):
    """A law does not hold; the message says which and where."""


@dataclass(frozen=True, slots=True)
class Case:
    """What came of one disaster."""

    line: str
    holds: bool
    """All laws."""
    amount: int
    """Of kills, items or faults that it counts for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """All that a finished dataset holds, read from its files."""

    manifest: Manifest
    rows: dict[str, list[tuple[str, bytes]]]
    """(doc_id, text) per source, in the dataset's order."""
    rejects: dict[str, list[dict[str, Any]]]
    """Per source."""


def law(holds: bool, words: str) -> None:
    """BrokenLawError with these words unless it holds."""
    if not holds:
        raise BrokenLawError(words)


def check_finished(output: Path) -> Found:
    """Documents in = written + rejected, nothing twice, nothing temporary to be seen; what was found."""
    manifest = read_manifest(output)
    rows: dict[str, list[tuple[str, bytes]]] = {}
    for shard in manifest.shards:
        table = pa.ipc.open_file(str(output / shard.name)).read_all()
        columns = (table[name].to_pylist() for name in ("source", "doc_id", "raw"))
        for source, doc_id, raw in zip(*columns, strict=True):
            rows.setdefault(source, []).append((doc_id, raw))
    rejects: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((output / "rejects").glob("*")):
        for line in path.read_text("utf-8").split("\n")[:-1]:
            reject = json.loads(line)
            rejects.setdefault(reject["source"], []).append(reject)
    totals = manifest.totals
    written, rejected = sum(map(len, rows.values())), sum(map(len, rejects.values()))
    law(totals.read == totals.written + totals.rejected, f"read {totals.read} is not {totals}")
    law(totals.written == written, f"{totals.written} written in the manifest, {written} in the shards")
    law(totals.rejected == rejected, f"{totals.rejected} rejected in the manifest, {rejected} in rejects/")
    doubled = [name for name, count in Counter(i for own in rows.values() for i, _ in own).items() if count > 1]
    law(not doubled, f"document {doubled[:1]} was written twice")
    twice = Counter(json.dumps(reject, sort_keys=True) for own in rejects.values() for reject in own)
    law(not twice or max(twice.values()) == 1, f"{twice.most_common(1)} was rejected twice")
    check_visible(output)
    return Found(manifest=manifest, rows=rows, rejects=rejects)


def check_visible(output: Path) -> None:
    """Only what a dataset consists of can be seen, and nothing temporary among its artifacts."""
    names = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    artifacts = {name for name in names if name.startswith("compressors/")}
    others = sorted(name for name in names - artifacts if not VISIBLE.fullmatch(name))
    left = sorted(name for name in artifacts if TEMPORARY.search(name))
    law(not others, f"{others} were left in the dataset")
    law(not left, f"{left} were left among the artifacts")


def check_unfinished(output: Path, final: dict[str, bytes]) -> str:
    """After a kill: readers refuse the directory or find it complete, and what has a final name is whole; in words."""
    done = len(list((output / "_work/done").glob("unit-*.json")))
    shards = sorted(output.glob("shard-*"))
    for path in shards:
        law(path.read_bytes() == final[path.name], f"{path.name} is visible and not the final one")
    try:
        read_manifest(output)
    except DatasetError as error:
        law("not a finished dataset" in str(error), f"a reader says: {error}")
        return f"{done} units committed, {len(shards)} shards named"
    law(content(output) == final, "the manifest is there and the dataset differs")
    return "the manifest was written"
