"""One unit of the corpus to one shard: a pure function of the unit's files and the compressors.

    pieces ── read_documents ──► batches ──► every compressor ──► ShardWriter ──► staged/unit-00003.<attempt>.arrow
                   └► rejects ──────────────────────────────────────────────────► staged/… .rejects.jsonl

and last done/unit-00003.json, the commit record. Without it, nothing of the unit counts. In a store, where a file is
there whole or not at all, shard and rejects have their final names at once.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from pipeline.compressors.base import Compressor, SupportsScores, compress_in_order, encode
from pipeline.corpus.read import read_documents
from pipeline.corpus.records import Record
from pipeline.corpus.settings import ReadSettings
from pipeline.corpus.units import WorkUnit
from pipeline.dataset.shard_writer import ShardWriter
from pipeline.job.job import Job
from pipeline.storage import files
from pipeline.timing import Clock
from schemas.batches import Documents, Encoding
from schemas.errors import DatasetError, refusing
from schemas.files import canonical_json
from schemas.json_files import Count, parse_json, record, said
from schemas.manifest import ShardEntry
from schemas.patience import patiently
from schemas.rejects import Reject
from schemas.shards import shard_name, shard_schema

BATCH_BYTES = 8 << 20
"""Text that is compressed at once: enough to fill the model's reads, small beside a worker's memory."""


_REMEDY = "remove that file: its unit is then made again"


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """What a unit has become: its commit record."""

    identity: str
    """`Job.encoding_identity`."""
    unit: Count
    read: Count
    """Documents read, kept or not."""
    shard: ShardEntry
    """The manifest's entry."""
    staged: str
    """Name of the staged shard, see `Job.staged_path`; empty where it has its final name."""
    staged_rejects: str
    """Name of the staged rejects, empty where there are none or they have their final name."""
    version: str = ""
    """Of the shard in a store, as the store names it."""
    stored_bytes: Count = 0
    """Of the unit's input; a file of unknown size counts `unit_bytes`."""
    lost_bytes: Count = 0
    """Of these, what could not be read."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Stage to its seconds, for the report only."""

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return canonical_json(asdict(self))

    @classmethod
    def from_bytes(cls, data: bytes, origin: str = "a commit record") -> Commit:
        """The inverse of `to_bytes`; DatasetError, which names `origin`, where it is damaged."""
        with refusing(origin, DatasetError, _REMEDY):
            commit = record(cls, parse_json(data), whole=False)
            for name in (commit.staged, commit.staged_rejects):
                if os.path.basename(name) != name:
                    raise ValueError(f"{said(name)} is no name of a file")
            if commit.read != commit.shard.rows + sum(commit.shard.rejects.values()):
                raise ValueError(f"read {commit.read} is not what was written and rejected")
            return commit

    def check(self, job: Job, unit: WorkUnit, origin: str) -> None:
        """DatasetError, which names `origin`, where this is not what the unit can have become in this run."""
        of_unit = (self.unit, self.shard.name) == (unit.index, shard_name(unit.index, unit.total))
        if not of_unit or not self.shard.symbols.keys() == self.shard.segments.keys() == job.compressors.keys():
            raise DatasetError(f"{origin} is that of another unit; {_REMEDY}")

    def shard_path(self, job: Job) -> str:
        """Where the shard is before publication."""
        return job.staged_path(self.staged) if self.staged else job.path(self.shard.name)

    def rejects_path(self, job: Job) -> str:
        """Where its rejects are before publication; "" where there are none."""
        if not self.shard.rejects:
            return ""
        return job.staged_path(self.staged_rejects) if self.staged_rejects else job.rejects_path(self.shard.name)


def finished_commit(job: Job, unit: WorkUnit) -> Commit | None:
    """The unit's commit record, if an earlier attempt of the same run has left it and its files.

    In a store one request asks for the record alone; that it has its shard, `finished.finished_commits` has seen to.
    """
    path = job.commit_path(unit.index)
    try:
        commit = Commit.from_bytes(files.read_bytes(path), path)
    except FileNotFoundError:
        return None
    if commit.identity != job.encoding_identity:
        return None
    commit.check(job, unit, path)
    paths = (commit.shard_path(job), job.path(commit.shard.name))
    is_there = job.is_in_store or any(map(os.path.exists, paths))
    return commit if is_there else None


def batches_of(unit: WorkUnit, settings: ReadSettings, rejects: list[Reject]) -> Iterator[list[Record]]:
    """The documents of a unit in runs of about BATCH_BYTES; what is rejected goes to the list."""
    batch: list[Record] = []
    size_bytes = 0
    for item in read_documents(unit.pieces, settings):
        if isinstance(item, Reject):
            rejects.append(item)
            continue
        batch.append(item)
        size_bytes += len(item.text)
        if size_bytes >= BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


class UnitCompressor:
    """Compresses units with compressors that are already loaded. Safe to share between threads."""

    def __init__(self, job: Job, compressors: Mapping[str, Compressor]) -> None:
        self.job, self.compressors = job, compressors
        layouts = {name: compressor.layout for name, compressor in compressors.items()}
        self.schema = shard_schema(layouts, job.settings.write_entropy)
        scored = (compressor for compressor in compressors.values() if isinstance(compressor, SupportsScores))
        self._scored = next(scored) if job.settings.write_entropy else None

    def process(self, unit: WorkUnit) -> Commit:
        """Compress a unit, or find that it is done.

        SettingsError where the disk is full, UnreachableError where a server or store fails again and again.
        """
        return patiently(lambda: self._process(unit), f"unit {unit.index} of {unit.total}")

    def _process(self, unit: WorkUnit) -> Commit:
        done = finished_commit(self.job, unit)
        if done is not None:
            return done
        with files.explain_no_room(self.job.output):
            attempt = f"unit-{unit.index:05d}.{os.getpid()}-{time.monotonic_ns()}"
            commit = self.compress(unit, attempt)
            self._commit(commit, attempt)
        return commit

    def _commit(self, commit: Commit, attempt: str) -> None:
        """Put the commit record in its place."""
        path = self.job.commit_path(commit.unit)
        if self.job.is_in_store:
            files.write_bytes(path, commit.to_bytes())
            return
        # Another attempt may commit the same unit at this moment, so the record has a name of its own until then.
        staged = self.job.staged_path(f"{attempt}.json")
        with files.create(staged) as created:
            created.file.write(commit.to_bytes())
        files.rename(staged, path)

    def compress(self, unit: WorkUnit, attempt: str) -> Commit:
        """Read and compress a unit into staged files, whose names begin with `attempt`, or into the store."""
        clock = Clock()
        rejects: list[Reject] = []
        read = 0
        name = shard_name(unit.index, unit.total)
        staged = "" if self.job.is_in_store else f"{attempt}.arrow"
        path = self.job.staged_path(staged) if staged else self.job.path(name)
        compression = self.job.settings.compression
        with files.create(path) as created, ShardWriter(created.file, self.schema, compression) as writer:
            for batch in clock.each("read", batches_of(unit, self.job.settings.corpus.read, rejects)):
                read += len(batch)
                self._write_batch(writer, batch, clock)
            with clock.stage("write"):
                summary = writer.close()
        read += len(rejects)
        assert read == summary.rows + len(rejects), (read, summary.rows, len(rejects))
        reasons = dict(sorted(Counter(reject.reason for reject in rejects).items()))
        entry = ShardEntry(name=name, rejects=reasons, **asdict(summary))
        return Commit(
            identity=self.job.encoding_identity,
            unit=unit.index,
            read=read,
            shard=entry,
            staged=staged,
            staged_rejects=self._write_rejects(name, attempt, rejects),
            version=created.version,
            stored_bytes=sum(self._bytes(piece.size_bytes) for piece in unit.pieces),
            lost_bytes=sum(self._bytes(reject.lost_bytes) for reject in rejects),
            seconds=clock.seconds,
        )

    def _bytes(self, size_bytes: int | None) -> int:
        """A number of stored bytes; an unknown one counts as the plan has counted it."""
        return self.job.settings.unit_bytes if size_bytes is None else size_bytes

    def _write_rejects(self, name: str, attempt: str, rejects: Sequence[Reject]) -> str:
        """Write rejects as JSON lines; the name of the staged file, empty where there is none."""
        if not rejects:
            return ""
        staged = "" if self.job.is_in_store else f"{attempt}.rejects.jsonl"
        path = self.job.staged_path(staged) if staged else self.job.rejects_path(name)
        files.write_bytes(path, "".join(reject.to_line() for reject in rejects).encode())
        return staged

    def _write_batch(self, writer: ShardWriter, batch: list[Record], clock: Clock) -> None:
        documents = Documents.from_bytes([record.text for record in batch])
        encodings: dict[str, Encoding] = {}
        for name in compress_in_order(self.compressors):
            with clock.stage(name):
                encodings[name] = encode(self.compressors[name], documents, encodings)
        entropy: np.ndarray | None = None
        if self._scored is not None:
            with clock.stage("entropy"):
                entropy = self._scored.scores(documents)
        with clock.stage("write"):
            writer.write(
                [record.doc_id for record in batch],
                [record.source for record in batch],
                [record.language for record in batch],
                documents,
                encodings,
                entropy,
            )
