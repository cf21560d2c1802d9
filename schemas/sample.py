"""The sample of a corpus that models are made from: one Arrow file between pipeline and trainer.

Columns: doc_id string, raw large_binary, held_out bool. Rows are sorted by the hash that chose them; held-out rows
never enter training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schemas.batches import Documents
from schemas.errors import ArtifactError, one_line
from schemas.files import atomic_path

SAMPLE_SCHEMA = pa.schema([("doc_id", pa.string()), ("raw", pa.large_binary()), ("held_out", pa.bool_())])


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Documents drawn by hash, in hash order."""

    train: Documents
    held_out: Documents


def write_sample(path: str, rows: list[tuple[str, bytes, bool]]) -> None:
    """Write (doc_id, text, held_out) rows, whole or not at all."""
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], []]
    table = pa.table(columns, schema=SAMPLE_SCHEMA)
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        atomic_path(path) as temporary,
        pa.OSFile(temporary, "wb") as file,
        pa.ipc.new_file(file, SAMPLE_SCHEMA, options=options) as writer,
    ):
        writer.write_table(table)


def read_sample(path: str) -> Sample:
    """Read a sample; ArtifactError where it is missing or no sample."""
    try:
        with pa.memory_map(path) as file:
            table = pa.ipc.open_file(file).read_all()
            table.validate(full=True)
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(
            f"no sample at {path} ({one_line(error)}); make one with `python -m pipeline sample`"
        ) from error
    if not table.schema.equals(SAMPLE_SCHEMA) or any(column.null_count for column in table.columns):
        raise ArtifactError(
            f"{path} is no sample: its columns are {table.schema.names}, or hold nulls; "
            "make one with `python -m pipeline sample`"
        )
    held_out = np.array(table["held_out"].to_pylist(), bool)
    raw = table["raw"].to_pylist()
    return Sample(
        train=Documents.from_bytes([text for text, out in zip(raw, held_out, strict=True) if not out]),
        held_out=Documents.from_bytes([text for text, out in zip(raw, held_out, strict=True) if out]),
    )
