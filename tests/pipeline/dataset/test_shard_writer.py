"""The writer: nothing lost, bytes that depend on the documents alone, flat memory, nothing left behind."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset import shard_writer
from pipeline.dataset.shard_writer import BATCH_BYTES, ShardWriter
from pipeline.dataset.spill import Spill
from schemas.batches import Documents, Encoding
from schemas.errors import SettingsError
from schemas.files import atomic_file
from schemas.shards import open_shard, shard_schema
from tests.schemas.shard_samples import (
    CORPORA,
    SCHEMA,
    SMALL,
    WHOLE,
    Text,
    encodings_of,
    raw_of,
    read_table,
    write_shard,
    write_texts,
)

GZIP_SCHEMA = shard_schema({"gzip": WHOLE}, entropy=False)


def one_symbol_each(sizes_bytes: list[int]) -> tuple[Documents, dict[str, Encoding]]:
    """Documents of the sizes given, of which each is one segment and one symbol."""
    n = len(sizes_bytes)
    documents = Documents.from_bytes([bytes([97 + i % 26]) * size for i, size in enumerate(sizes_bytes)])
    encoding = Encoding(
        symbols=np.arange(n).astype(np.uint8),
        symbol_offsets=np.arange(n + 1),
        raw_ends=np.array(sizes_bytes, np.uint32),
        symbol_ends=np.ones(n, np.uint32),
        segment_offsets=np.arange(n + 1),
    )
    return documents, {"gzip": encoding}


def write_sizes(writer: ShardWriter, sizes_bytes: list[int]) -> None:
    names = [f"d{i}" for i in range(len(sizes_bytes))]
    writer.write(names, names, ["x"] * len(names), *one_symbol_each(sizes_bytes))


def rows_per_batch(path: Path) -> list[int]:
    reader = open_shard(path)
    return [reader.get_batch(i).num_rows for i in range(reader.num_record_batches)]


def slow_batches(sizes_bytes: list[int], limit_bytes: int, limit_rows: int) -> list[int]:
    batches: list[list[int]] = []
    for size in sizes_bytes:
        if not batches or len(batches[-1]) == limit_rows or sum(batches[-1]) + size > limit_bytes:
            batches.append([])
        batches[-1].append(size)
    return [len(batch) for batch in batches]


@pytest.mark.parametrize("compression", ["zstd", "none"])
@pytest.mark.parametrize("texts", [[], SMALL[:1], SMALL[:2], SMALL * 7])
def test_what_is_written_is_read(tmp_path: Path, texts: list[Text], compression: str):
    path = tmp_path / "shard.arrow"
    summary = write_shard(path, texts, compression)
    table = read_table(path)
    table.validate(full=True)
    assert table.schema.equals(SCHEMA, check_metadata=True)
    assert table["raw"].to_pylist() == [raw_of(text) for text in texts]
    assert table["doc_id"].to_pylist() == [f"d{i}" for i in range(len(texts))]
    assert table["source"].to_pylist() == [f"src/{i // 3}.py" for i in range(len(texts))]
    assert table["language"].to_pylist() == ["python" if i < 5 else "markdown" for i in range(len(texts))]
    for name, encoding in encodings_of(texts).items():
        rows = table[name].to_pylist()
        assert [symbol for row in rows for symbol in row["symbols"]] == encoding.symbols.tolist()
        assert summary.symbols[name] == len(encoding.symbols)
        assert summary.segments[name] == len(encoding.raw_ends)
    assert summary.rows == len(texts) and summary.raw_bytes == sum(len(raw_of(text)) for text in texts)
    assert summary.file_bytes == path.stat().st_size
    assert summary.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [entry.name for entry in tmp_path.iterdir()] == ["shard.arrow"]


@given(CORPORA, st.data())
def test_bytes_do_not_depend_on_the_grouping_of_writes(texts: list[Text], data: st.DataObject):
    texts = texts * 3
    cuts = sorted(data.draw(st.lists(st.integers(0, len(texts)), max_size=6)))
    whole, grouped = io.BytesIO(), io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_writer, "BATCH_BYTES", 24)
        patch.setattr(shard_writer, "BATCH_ROWS", 4)
        with ShardWriter(whole, SCHEMA) as writer:
            write_texts(writer, texts)
        with ShardWriter(grouped, SCHEMA) as other:
            for start, stop in zip([0, *cuts], [*cuts, len(texts)], strict=True):
                write_texts(other, texts[start:stop], start)
    assert whole.getvalue() == grouped.getvalue()
    assert writer.close() == other.close()
    reader = pa.ipc.open_file(pa.BufferReader(whole.getvalue()))
    rows = [reader.get_batch(i).num_rows for i in range(reader.num_record_batches)]
    assert rows == slow_batches([len(raw_of(text)) for text in texts], 24, 4)


@pytest.mark.parametrize(
    ("sizes_mib", "batches"),
    [
        ([4], [1]),
        ([5], [1]),
        ([1, 1, 1, 1, 1], [4, 1]),
        ([3, 2, 9, 1, 1], [1, 1, 1, 2]),
        ([9, 0, 4, 0, 0], [1, 4]),
    ],
)
def test_batches_of_about_four_mebibytes(tmp_path: Path, sizes_mib: list[int], batches: list[int]):
    sizes_bytes = [mib << 20 for mib in sizes_mib]
    assert slow_batches(sizes_bytes, BATCH_BYTES, shard_writer.BATCH_ROWS) == batches
    with atomic_file(tmp_path / "a") as file, ShardWriter(file, GZIP_SCHEMA) as writer:
        write_sizes(writer, sizes_bytes)
    assert rows_per_batch(tmp_path / "a") == batches


def test_tiny_documents_are_cut_by_rows(tmp_path: Path):
    with atomic_file(tmp_path / "a") as file, ShardWriter(file, GZIP_SCHEMA) as writer:
        write_sizes(writer, [1] * (shard_writer.BATCH_ROWS + 1))
    assert rows_per_batch(tmp_path / "a") == [shard_writer.BATCH_ROWS, 1]


def test_slices_of_a_longer_run_give_the_same_bytes(tmp_path: Path):
    """Offsets need not begin at 0."""
    documents, encodings = one_symbol_each([3, 4, 5, 6])
    tail = Documents(raw=documents.raw, offsets=documents.offsets[2:])
    gzip = encodings["gzip"]
    part = Encoding(
        symbols=gzip.symbols,
        symbol_offsets=gzip.symbol_offsets[2:],
        raw_ends=gzip.raw_ends,
        symbol_ends=gzip.symbol_ends,
        segment_offsets=gzip.segment_offsets[2:],
    )
    with atomic_file(tmp_path / "a") as file, ShardWriter(file, GZIP_SCHEMA) as writer:
        writer.write(["a", "b"], ["x"] * 2, ["y"] * 2, tail, {"gzip": part})
    assert read_table(tmp_path / "a")["raw"].to_pylist() == [b"c" * 5, b"d" * 6]
    assert writer.close().symbols == {"gzip": 2} and writer.close().raw_bytes == 11
    assert [row["symbols"] for row in read_table(tmp_path / "a")["gzip"].to_pylist()] == [[2], [3]]


def test_entropy_is_one_value_per_byte(tmp_path: Path):
    documents, encodings = one_symbol_each([2, 0, 3])
    schema = shard_schema({"gzip": WHOLE}, entropy=True)
    with atomic_file(tmp_path / "a") as file, ShardWriter(file, schema) as writer:
        writer.write(["a", "b", "c"], ["x"] * 3, ["y"] * 3, documents, encodings, np.arange(5, dtype=np.float32) / 2)
    assert read_table(tmp_path / "a")["entropy"].to_pylist() == [[0.0, 0.5], [], [1.0, 1.5, 2.0]]


class OnlyWrites:
    """A file as a remote file system gives it: write and nothing else."""

    def __init__(self, limit_bytes: int = 1 << 40) -> None:
        self.data = bytearray()
        self.peak_bytes = 0
        self.limit_bytes = limit_bytes

    def write(self, data: bytes) -> int:
        self.peak_bytes = max(self.peak_bytes, pa.total_allocated_bytes())
        if len(self.data) + len(data) > self.limit_bytes:
            raise OSError(28, "No space left on device")
        self.data += data
        return len(data)


def test_the_target_needs_no_seek(tmp_path: Path):
    sink = OnlyWrites()
    with ShardWriter(sink, SCHEMA) as writer:
        write_texts(writer, SMALL)
    write_shard(tmp_path / "a", SMALL)
    assert bytes(sink.data) == (tmp_path / "a").read_bytes()
    assert writer.close().file_bytes == len(sink.data)


def test_a_file_of_beam_is_a_target(tmp_path: Path):
    filesystems = pytest.importorskip("apache_beam.io.filesystems")
    compression = filesystems.CompressionTypes.UNCOMPRESSED
    create = filesystems.FileSystems.create
    with (
        create(str(tmp_path / "b"), "application/octet-stream", compression) as file,
        ShardWriter(file, SCHEMA) as writer,
    ):
        write_texts(writer, SMALL)
    assert writer.close() == write_shard(tmp_path / "a", SMALL)
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()


def test_memory_stays_flat(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipeline.dataset.shard_writer.Spill", partial(Spill, memory_bytes=0))
    before = pa.total_allocated_bytes()
    sink = OnlyWrites()
    with ShardWriter(sink, GZIP_SCHEMA, "none") as writer:
        for _ in range(48):
            write_sizes(writer, [1 << 20])
            assert pa.total_allocated_bytes() - before < BATCH_BYTES
    assert len(sink.data) > 48 << 20
    assert sink.peak_bytes - before < 4 * BATCH_BYTES


def test_an_exception_leaves_nothing(tmp_path: Path):
    with (
        pytest.raises(RuntimeError, match="upstream"),
        atomic_file(tmp_path / "a") as file,
        ShardWriter(file, SCHEMA, spill_dir=tmp_path) as writer,
    ):
        write_texts(writer, SMALL)
        raise RuntimeError("upstream")
    assert list(tmp_path.iterdir()) == []


def test_shards_from_memory_and_from_disk_are_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    in_memory = write_shard(tmp_path / "a", SMALL)
    monkeypatch.setattr("pipeline.dataset.shard_writer.Spill", partial(Spill, memory_bytes=0))
    assert write_shard(tmp_path / "b", SMALL) == in_memory
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()


def test_the_spill_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipeline.dataset.shard_writer.Spill", partial(Spill, memory_bytes=0))
    with ShardWriter(io.BytesIO(), SCHEMA, spill_dir=tmp_path) as writer:
        write_texts(writer, SMALL)
        assert list(tmp_path.iterdir()) == []


def test_a_failing_close_leaves_what_was_there(tmp_path: Path):
    path = tmp_path / "shard.arrow"
    path.mkdir()
    with pytest.raises(OSError), atomic_file(path) as file, ShardWriter(file, SCHEMA) as writer:
        write_texts(writer, SMALL)
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_there_stays_until_the_shard_is_whole(tmp_path: Path):
    path = tmp_path / "shard.arrow"
    path.write_bytes(b"old")
    with atomic_file(path) as file, ShardWriter(file, SCHEMA) as writer:
        write_texts(writer, SMALL)
        summary = writer.close()
        assert path.read_bytes() == b"old"
    assert path.stat().st_size == summary.file_bytes
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_an_error_and_not_a_shorter_shard():
    with pytest.raises(OSError, match="No space left"), ShardWriter(OnlyWrites(1000), SCHEMA) as writer:
        write_texts(writer, SMALL)


def test_a_second_close_says_the_same(tmp_path: Path):
    with atomic_file(tmp_path / "a") as file, ShardWriter(file, SCHEMA) as writer:
        write_texts(writer, SMALL)
        first = writer.close()
    assert writer.close() == first


def test_an_unknown_compression_is_refused():
    with pytest.raises(SettingsError, match="compression 'lz4' is not known: choose zstd or none"):
        ShardWriter(io.BytesIO(), SCHEMA, "lz4")  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def no_open_files_are_left() -> Iterator[None]:
    before = len(os.listdir("/dev/fd")) if os.path.isdir("/dev/fd") else 0
    yield
    after = len(os.listdir("/dev/fd")) if os.path.isdir("/dev/fd") else 0
    assert after <= before + 2, f"{after - before} file descriptors stayed open"
