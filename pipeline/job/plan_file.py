"""The plan of a run as a file: what every unit reads, so that only the units' numbers travel through the engine.

    launcher   units ── write_plan ──► OUTPUT/_work/plan.arrow, PlanFile: path, digest, number of units
    worker     PlanFile ── open_plan, once a process ──► Plan ── unit(number) ──► WorkUnit

A corpus of a million files makes a job description of tens of megabytes where an engine takes ten; the file has a
tenth of that. A row is a unit; a record batch is UNITS_PER_BATCH of them, so a unit is read without the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa

from pipeline.corpus.source_files import Piece
from pipeline.corpus.units import WorkUnit
from pipeline.storage import files
from schemas.errors import DatasetError, one_line
from schemas.files import sha256_hex

PLAN_NAME = "plan.arrow"
UNITS_PER_BATCH = 16
_PIECE = pa.struct(
    [
        ("path", pa.string()),
        ("source", pa.string()),
        ("format", pa.string()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("size_bytes", pa.int64()),
        ("file_bytes", pa.int64()),
    ]
)
PLAN_SCHEMA = pa.schema([("pieces", pa.list_(_PIECE))])


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanFile:
    """Where a plan lies, and which one it is. It travels to the workers."""

    path: str
    sha256: str
    units: int


def write_plan(path: str, units: Sequence[WorkUnit]) -> PlanFile:
    """Write the plan of `units`, numbered from 0 in their order, whole or not at all."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(sink, PLAN_SCHEMA, options=options) as writer:
        for batch in _batches(units):
            writer.write_batch(batch)
    data = sink.getvalue().to_pybytes()
    files.write_bytes(path, data)
    return PlanFile(path=path, sha256=sha256_hex(data), units=len(units))


def _batches(units: Sequence[WorkUnit]) -> Iterator[pa.RecordBatch]:
    rest = iter(units)
    while some := list(islice(rest, UNITS_PER_BATCH)):
        rows = [[piece.to_dict() for piece in unit.pieces] for unit in some]
        yield pa.record_batch([pa.array(rows, PLAN_SCHEMA.field("pieces").type)], schema=PLAN_SCHEMA)


class Plan:
    """A plan that was read. Threads may share it."""

    def __init__(self, reader: pa.ipc.RecordBatchFileReader, units: int) -> None:
        self._reader, self._units = reader, units

    def unit(self, index: int) -> WorkUnit:
        """Unit `index`."""
        assert 0 <= index < self._units, (index, self._units)
        batch = self._reader.get_batch(index // UNITS_PER_BATCH)
        rows: list[list[dict[str, Any]]] = batch.column(0).slice(index % UNITS_PER_BATCH, 1).to_pylist()
        return WorkUnit(index=index, total=self._units, pieces=tuple(map(Piece.from_dict, rows[0])))


def open_plan(plan: PlanFile) -> Plan:
    """Read a plan; DatasetError where it is not the one that was written, as after another launch of the same run."""
    try:
        data = files.read_bytes(plan.path)
    except FileNotFoundError as error:
        raise DatasetError(f"{plan.path} is gone ({one_line(error)}); run the command again") from error
    # Equal bytes are those that write_plan made, so nothing else of them is looked at.
    if sha256_hex(data) != plan.sha256:
        raise DatasetError(f"{plan.path} is the plan of another launch; run the command again")
    return Plan(pa.ipc.open_file(pa.BufferReader(data)), plan.units)
