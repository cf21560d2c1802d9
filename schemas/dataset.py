"""A finished dataset opened for reading: what its manifest says, and the rows of its shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa

from schemas.errors import DatasetError
from schemas.files import is_remote
from schemas.manifest import Manifest, read_manifest
from schemas.shard_files import open_shards, shard_file
from schemas.shards import open_shard


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardDirectory:
    """A finished dataset, local or behind a URL. Its length is the number of its documents."""

    directory: Path | str
    """Where manifest.json is; a string where that is a URL."""
    manifest: Manifest
    """Shards with their sizes and sha256, compressors with their digests, and totals."""

    def __len__(self) -> int:
        return self.manifest.totals.written

    @property
    def compressors(self) -> tuple[str, ...]:
        """Names of the compressors whose encodings the shards hold, sorted."""
        return tuple(sorted(self.manifest.compressors))

    @property
    def paths(self) -> tuple[Path, ...]:
        """The shards' files, in their order. pyarrow, pandas, polars, DuckDB and `datasets` open each of them.

        DatasetError for a dataset behind a URL, which has no files on this machine.
        """
        if isinstance(self.directory, str):
            raise DatasetError(
                f"{self.directory} is a URL, so its shards are no files here; read its batches() or table(), "
                "or copy the dataset"
            )
        return tuple(self.directory / shard.name for shard in self.manifest.shards)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The record batches of all shards in order, one row per document, memory-mapped; all columns, or these.

        A batch holds about 4 MiB of raw bytes. Of a dataset behind a URL one shard at a time is copied to the temporary
        directory (TMPDIR). DatasetError where a shard is missing, cut short or damaged, or has no such column.
        """
        for batch in open_shards(self.directory):
            yield batch if columns is None else batch.select(self._checked(columns, batch.schema))

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows as one table, for datasets that fit into memory; errors as `batches`."""
        batches = self.batches(columns)
        first = next(batches, None)
        if first is not None:
            return pa.Table.from_batches(chain([first], batches))
        with shard_file(self.directory, self.manifest.shards[0]) as path:
            schema = open_shard(path).schema
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in self._checked(columns, schema)], schema.metadata)
        return pa.Table.from_batches([], schema=schema)

    def _checked(self, columns: Sequence[str], schema: pa.Schema) -> list[str]:
        """The columns, if a shard's schema has them all."""
        unknown = [name for name in columns if name not in schema.names]
        if unknown:
            raise DatasetError(f"{self.directory} has no column {unknown[0]!r}; its columns are {schema.names}")
        return list(columns)


def open_dataset(directory: str | Path) -> ShardDirectory:
    """Open the dataset that `python -m pipeline preprocess` finished at a directory, local, s3://, gs:// or https://.

    DatasetError where it is not finished, or contradicts itself; FormatVersionError where another version of this
    program wrote it; UnreachableError where its store does not answer.
    """
    place = str(directory) if is_remote(str(directory)) else Path(directory)
    return ShardDirectory(directory=place, manifest=read_manifest(directory))
