"""Tiny corpora for tests, on disk or in a file system of Beam's that lives in memory."""

from __future__ import annotations

import io
import json
import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystem import FileMetadata, FileSystem

from pipeline.corpus.corpus import Corpus
from pipeline.corpus.source_files import FORMATS, Piece
from pipeline.corpus.units import WorkUnit

WORDS = ["def f(x):\n    return x\n", "import os\r\n", "naïve ☕ 🚀", "a\0b", "\t", '"quoted\\"', "x" * 300]


def plan_units(inputs: Sequence[str], *, shards: int | None, unit_bytes: int) -> list[WorkUnit]:
    """The units of a corpus that is needed for nothing else."""
    return Corpus(inputs).units(shards=shards, unit_bytes=unit_bytes)


def jsonl(*records: Any) -> bytes:
    """One JSON object a line."""
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def texts(count: int) -> list[str]:
    """`count` distinct documents."""
    return [f"{i}: {WORDS[i % len(WORDS)]}" for i in range(count)]


def table(count: int) -> pa.Table:
    """The documents of `texts(count)` with an id and a language."""
    languages = pa.array([("Python", "C")[i % 2] for i in range(count)]).dictionary_encode()
    return pa.table({"id": pa.array(range(count)), "content": texts(count), "language": languages})


def write_parquet(path: Path, rows: pa.Table, row_group_rows: int) -> None:
    """Parquet with row groups of `row_group_rows`, several pages in each, and page checksums."""
    pq.write_table(rows, path, row_group_size=row_group_rows, data_page_size=512, write_page_checksum=True)


def write_arrow(path: Path, rows: pa.Table, batch_rows: int, *, stream: bool = False, codec: str | None = None) -> None:
    """An Arrow IPC file or stream with record batches of `batch_rows`."""
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    options = pa.ipc.IpcWriteOptions(compression=codec, unify_dictionaries=True)
    with make(str(path), rows.schema, options=options) as writer:
        writer.write_table(rows, max_chunksize=batch_rows)


def whole(path: Path, kind: str, source: str = "") -> Piece:
    """All of a file as one piece."""
    assert kind in FORMATS
    size_bytes = path.stat().st_size if path.exists() else 0
    end = size_bytes if kind == "jsonl" else None
    return Piece(path=str(path), source=source or path.name, format=kind, start=0, end=end, size_bytes=size_bytes)


class MemoryFileSystem(FileSystem):
    """mem://bucket/name: objects without directories, listed as GCS and S3 list theirs. Beam finds it by its scheme."""

    objects: ClassVar[dict[str, bytes]] = {}

    @classmethod
    def scheme(cls) -> str:
        return "mem"

    def has_dirs(self) -> bool:
        return False

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        for path, data in self.objects.items():
            if path.startswith(dir_or_prefix):
                yield FileMetadata(path, len(data))

    def exists(self, path: str) -> bool:
        return path in self.objects

    def metadata(self, path: str) -> FileMetadata:
        return FileMetadata(path, len(self.objects[path]))

    def open(self, path: str, mime_type: str = "", compression_type: str = "auto") -> io.BytesIO:
        assert compression_type == "uncompressed"
        return io.BytesIO(self.objects[path])

    def join(self, basepath: str, *paths: str) -> str:
        return posixpath.join(basepath, *paths)

    def _unused(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    split = mkdirs = create = copy = rename = size = last_updated = checksum = delete = _unused
