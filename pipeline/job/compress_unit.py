"""One unit of the corpus to one staged shard: a pure function of the unit's files and the compressors.

    pieces ── read_documents ──► windows ──► every compressor ──► ShardWriter ──► staged/unit-00003.<attempt>.arrow
                   └► rejects ──────────────────────────────────────────────────► staged/… .rejects.jsonl

and last done/unit-00003.json, the commit record. Without it, nothing of the unit counts.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from pipeline.compressors.base import Compressor
from pipeline.corpus.read import read_documents
from pipeline.corpus.records import Record
from pipeline.corpus.settings import ReadSettings
from pipeline.corpus.units import WorkUnit
from pipeline.dataset.shard_writer import ShardWriter
from pipeline.storage import files
from pipeline.timing import Clock
from schemas.batches import Documents
from schemas.files import canonical_json
from schemas.manifest import ShardEntry
from schemas.rejects import Reject
from schemas.shards import compressor_type, shard_name, shard_schema

WINDOW_BYTES = 8 << 20
"""Text compressed at once: enough to fill the model's reads, small beside a worker's memory."""
WORK_DIRECTORY = "_work"
REJECTS_DIRECTORY = "rejects"


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitJob:
    """What every unit of a run has in common; travels to the workers."""

    output: str
    identity: str
    """Digest of everything that the shards depend on."""
    compressors: tuple[str, ...]
    read: ReadSettings
    compression: Literal["zstd", "none"]
    entropy: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """The commit record of a unit."""

    identity: str
    unit: int
    read: int
    """Documents read, kept or not."""
    shard: dict[str, Any]
    """A `schemas.manifest.ShardEntry`."""
    staged: str
    """File name; see `staged_path`."""
    staged_rejects: str
    """Empty where there are none."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Per stage; for the report only."""

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return canonical_json(asdict(self))

    @classmethod
    def from_bytes(cls, data: bytes) -> Commit:
        """The inverse of `to_bytes`."""
        return cls(**json.loads(data))


def commit_path(output: str, unit: int) -> str:
    """Where the commit record of a unit stands."""
    return files.join(output, WORK_DIRECTORY, "done", f"unit-{unit:05d}.json")


def staged_path(output: str, name: str) -> str:
    """Where a staged file stands until it gets its final name."""
    return files.join(output, WORK_DIRECTORY, "staged", name)


def finished_commit(job: UnitJob, unit: WorkUnit) -> Commit | None:
    """The unit's commit record, if an earlier attempt of the same run has left it and its files."""
    path = commit_path(job.output, unit.index)
    if not files.exists(path):
        return None
    commit = Commit.from_bytes(files.read_bytes(path))
    final = files.join(job.output, commit.shard["name"])
    staged = staged_path(job.output, commit.staged)
    if commit.identity != job.identity or not (files.exists(staged) or files.exists(final)):
        return None
    return commit


class UnitCompressor:
    """Compresses units with compressors that are already loaded. Safe to share between threads."""

    def __init__(self, job: UnitJob, compressors: Mapping[str, Compressor]) -> None:
        self.job, self.compressors = job, compressors
        types = {name: compressor_type(c.symbol_dtype, name == "neural") for name, c in compressors.items()}
        self.schema = shard_schema(types, job.entropy)

    def process(self, unit: WorkUnit) -> Commit:
        """Compress a unit, or find that it is done. SettingsError where the disk is full."""
        done = finished_commit(self.job, unit)
        if done is not None:
            return done
        with files.explain_no_room(self.job.output):
            attempt = f"unit-{unit.index:05d}.{os.getpid()}-{time.monotonic_ns()}"
            commit = self._write(unit, f"{attempt}.arrow")
            # Another attempt may commit the same unit at this moment, so the record has a name of its own until then.
            staged = staged_path(self.job.output, f"{attempt}.json")
            with files.create(staged) as file:
                file.write(commit.to_bytes())
            files.rename(staged, commit_path(self.job.output, unit.index))
        return commit

    def _write(self, unit: WorkUnit, staged: str) -> Commit:
        clock = Clock()
        rejects: list[Reject] = []
        read = 0
        path = staged_path(self.job.output, staged)
        with files.create(path) as file, ShardWriter(file, self.schema, self.job.compression) as writer:
            for window in clock.each("read", self._windows(unit, rejects)):
                read += len(window)
                self._write_window(writer, window, clock)
            with clock.stage("write"):
                summary = writer.close()
        read += len(rejects)
        assert read == summary.rows + len(rejects), (read, summary.rows, len(rejects))
        staged_rejects = ""
        if rejects:
            staged_rejects = staged.removesuffix(".arrow") + ".rejects.jsonl"
            lines = [json.dumps(asdict(reject), sort_keys=True, ensure_ascii=False) + "\n" for reject in rejects]
            files.write_bytes(staged_path(self.job.output, staged_rejects), "".join(lines).encode())
        reasons = dict(sorted(Counter(reject.reason for reject in rejects).items()))
        entry = ShardEntry(name=shard_name(unit.index, unit.total), rejects=reasons, **asdict(summary))
        return Commit(
            identity=self.job.identity,
            unit=unit.index,
            read=read,
            shard=asdict(entry),
            staged=staged,
            staged_rejects=staged_rejects,
            seconds=clock.seconds,
        )

    def _windows(self, unit: WorkUnit, rejects: list[Reject]) -> Iterator[list[Record]]:
        """Runs of documents of about WINDOW_BYTES; rejects go to their list."""
        window: list[Record] = []
        size = 0
        for item in read_documents(unit.pieces, self.job.read):
            if isinstance(item, Reject):
                rejects.append(item)
                continue
            window.append(item)
            size += len(item.text)
            if size >= WINDOW_BYTES:
                yield window
                window, size = [], 0
        if window:
            yield window

    def _write_window(self, writer: ShardWriter, window: list[Record], clock: Clock) -> None:
        documents = Documents.from_bytes([record.text for record in window])
        encodings = {}
        for name, compressor in self.compressors.items():
            with clock.stage(name):
                encodings[name] = compressor.compress(documents)
        entropy: np.ndarray | None = None
        if self.job.entropy:
            with clock.stage("entropy"):
                entropy = self.compressors["neural"].entropies(documents)  # type: ignore[attr-defined]
        with clock.stage("write"):
            writer.write(
                [record.doc_id for record in window],
                [record.source for record in window],
                [record.language for record in window],
                documents,
                encodings,
                entropy,
            )
