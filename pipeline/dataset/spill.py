"""Record batches put aside until their turn comes: in memory while they are few, else in an unnamed temporary file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import IO

import pyarrow as pa

MEMORY_BYTES = 96 << 20
"""What a shard of the default size takes, with three compressors; larger ones go to the disk."""


class Spill:
    """A queue of batches of one schema. The file has no name, so nothing of it outlives the process."""

    def __init__(
        self, schema: pa.Schema, directory: str | os.PathLike[str] | None = None, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        self._schema, self._directory, self._memory_bytes = schema, directory, memory_bytes
        self._held: list[pa.RecordBatch] = []
        self._held_bytes = 0
        self._file: IO[bytes] | None = None
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None

    def append(self, batch: pa.RecordBatch) -> None:
        """Put a batch behind the others."""
        if self._writer is not None:
            self._writer.write_batch(batch)
            return
        self._held.append(batch)
        self._held_bytes += batch.nbytes
        if self._held_bytes > self._memory_bytes:
            self._file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 - close() ends it
            self._writer = pa.ipc.new_stream(self._file, self._schema)
            for held in self._held:
                self._writer.write_batch(held)
            self._held.clear()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All batches, first to last; each is let go of when the next one is asked for. Nothing is appended after."""
        if self._writer is None or self._file is None:
            self._held.reverse()
            while self._held:
                yield self._held.pop()
            return
        self._writer.close()
        self._file.seek(0)
        with pa.ipc.open_stream(self._file) as reader:
            yield from reader

    def close(self) -> None:
        """Give memory and file back."""
        self._held.clear()
        if self._file is not None:
            self._file.close()
