"""A finished dataset opened for reading: what its manifest says, and the rows of its shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from schemas.errors import DatasetError
from schemas.files import is_remote
from schemas.manifest import Manifest, read_manifest
from schemas.shard_files import open_shards
from schemas.shards import open_shard


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardDirectory:
    """A finished dataset on the local disk. Its length is the number of its documents."""

    directory: Path
    """Where manifest.json is."""
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
        """The shards' files, in their order. pyarrow, pandas, polars, DuckDB and `datasets` open each of them."""
        return tuple(self.directory / shard.name for shard in self.manifest.shards)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The record batches of all shards in order, one row per document, memory-mapped; all columns, or these.

        A batch holds about 4 MiB of raw bytes. DatasetError where a shard is missing, cut short or damaged, or has no
        such column.
        """
        for batch in open_shards(self.directory):
            yield batch if columns is None else batch.select(self._checked(columns, batch.schema))

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows as one table, for datasets that fit into memory; errors as `batches`."""
        schema = open_shard(self.paths[0]).schema
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in self._checked(columns, schema)], schema.metadata)
        return pa.Table.from_batches(self.batches(columns), schema=schema)

    def _checked(self, columns: Sequence[str], schema: pa.Schema) -> list[str]:
        """The columns, if a shard's schema has them all."""
        unknown = [name for name in columns if name not in schema.names]
        if unknown:
            raise DatasetError(f"{self.directory} has no column {unknown[0]!r}; its columns are {schema.names}")
        return list(columns)


def open_dataset(directory: str | Path) -> ShardDirectory:
    """Open the dataset that `python -m pipeline preprocess` finished at a local directory.

    DatasetError where it is a URL, is not finished, or contradicts itself; FormatVersionError where another version of
    this program wrote it.
    """
    if is_remote(str(directory)):
        raise DatasetError(f"{directory} is a URL and open_dataset reads local directories: copy the dataset first")
    return ShardDirectory(directory=Path(directory), manifest=read_manifest(directory))
