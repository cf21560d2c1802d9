"""The files of a table that is learned before any shard: their names, and the record that makes it one.

OUTPUT/_work/learned-<identity>/   one for each run, so that nothing of another run is taken
├── segments/unit-00003            segments of a unit that the codebook lacks, see `neural.collected`
├── codes/part-00007.arrow         a part of the table, see `neural.learned`
└── table.json                     written last: the parts with their digests
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from pipeline.corpus.units import WorkUnit
from pipeline.job.job import Job
from pipeline.storage import files
from schemas.errors import ArtifactError, refusing
from schemas.files import canonical_json
from schemas.json_files import parse_json, record

PART_INPUT_BYTES = 16 << 20
"""Stored input for each part of the table, as long as there are at most MAX_PARTS."""
MAX_PARTS = 256
TABLE_NAME = "table.json"
REMEDY = "remove the directory that it is in, and run the same command again: finished units are kept"


@dataclass(frozen=True, kw_only=True, slots=True)
class PartRecord:
    """A part of the table that is there."""

    sha256: str
    seconds: dict[str, float]
    """Stage to its seconds, for the report only; of this launch, not of those that were killed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRecord:
    """The whole table, once all parts are there."""

    parts: tuple[PartRecord, ...]
    """In their order."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.parts) <= MAX_PARTS:
            raise ValueError(f"{len(self.parts)} parts")


def parts_to_make(job: Job, units: Sequence[WorkUnit]) -> int:
    """Parts of the table that a launch is to make; 0 where the run wants none, or an earlier launch has made all."""
    if not job.settings.learn_once or files.exists(job.learned_path(TABLE_NAME)):
        return 0
    for name in ("segments", "codes"):
        files.make_directory(job.learned_path(name))
    return min(MAX_PARTS, 1 + sum(unit.size_bytes for unit in units) // PART_INPUT_BYTES)


def segments_name(unit: int) -> str:
    """File name of the segments of a unit."""
    return f"unit-{unit:05d}"


def segments_path(job: Job, unit: int) -> str:
    """The segments of a unit."""
    return job.learned_path("segments", segments_name(unit))


def part_name(part: int) -> str:
    """File name of a part of the table."""
    return f"part-{part:05d}.arrow"


def part_path(job: Job, part: int) -> str:
    """A part of the table."""
    return job.learned_path("codes", part_name(part))


def finish(job: Job, parts: Iterable[PartRecord]) -> None:
    """Write down that the table is whole; parts in their order."""
    files.write_bytes(job.learned_path(TABLE_NAME), canonical_json(asdict(TableRecord(parts=tuple(parts)))))


def read_table_record(job: Job) -> TableRecord:
    """What `finish` wrote; ArtifactError where it is damaged or gone."""
    path = job.learned_path(TABLE_NAME)
    with refusing(path, ArtifactError, REMEDY):
        return record(TableRecord, parse_json(files.read_bytes(path)))


def learning_seconds(job: Job) -> Counter[str]:
    """Stage to the seconds that the table took; none for a run without one."""
    total: Counter[str] = Counter()
    if job.settings.learn_once and files.exists(job.learned_path(TABLE_NAME)):
        for part in read_table_record(job).parts:
            total.update(part.seconds)
    return total
