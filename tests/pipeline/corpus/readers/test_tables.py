"""Parquet and Arrow: all kinds of columns, however they are cut, and damage that spoils nothing beside it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.corpus.read import read_documents
from pipeline.corpus.readers.arrow import record_batch_bytes
from pipeline.corpus.readers.parquet import row_group_bytes
from pipeline.corpus.settings import ReadSettings
from tests.pipeline.corpora import plan_units, table, write_arrow, write_parquet
from tests.pipeline.corpus.reading import DEFAULTS, DOCUMENTS, SMALL, bad, good, only_reject, read, read_bytes


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
@pytest.mark.parametrize("shards", [1, 2, 5, 10, 99])
def test_however_tables_are_cut_the_records_are_the_same(tmp_path: Path, kind: str, shards: int) -> None:
    path = tmp_path / f"a.{kind}"
    write_parquet(path, table(95), 10) if kind == "parquet" else write_arrow(path, table(95), 10)
    units = plan_units([str(path)], shards=shards, unit_bytes=1)
    assert len(units) == min(shards, 10)
    assert [item for unit in units for item in read_documents(unit.pieces, DEFAULTS)] == read(path, kind)


TYPES = [pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.string_view(), pa.binary_view()]


TYPES += [pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.binary())]


@pytest.mark.parametrize("kind", ["parquet", "arrow", "stream"])
@pytest.mark.parametrize("column_type", TYPES, ids=str)
def test_all_kinds_of_string_columns(tmp_path: Path, kind: str, column_type: pa.DataType) -> None:
    values = ["a", "é", "", None, "b" * 20, "a"]
    plain = pa.array([value if value is None else value.encode() for value in values], pa.binary())
    if pa.types.is_dictionary(column_type):
        encoded = plain.dictionary_encode()
        indices = encoded.indices.cast(column_type.index_type)
        column = pa.DictionaryArray.from_arrays(indices, encoded.dictionary.cast(column_type.value_type))
    else:
        column = plain.cast(column_type)
    path = tmp_path / "a"
    rows = pa.table({"junk": pa.array([{"x": [1]}] * 6), "text": column})
    if kind == "parquet":
        pq.write_table(rows, path)
    else:
        write_arrow(path, rows, 4, stream=kind == "stream")
    items = read(path, "parquet" if kind == "parquet" else "arrow")
    assert good(items) == ["a", "é", "b" * 20, "a"]
    assert [(reject.reason, reject.position) for reject in bad(items)] == [("empty", 2), ("text_not_string", 3)]


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_columns_that_are_odd(tmp_path: Path, kind: str) -> None:
    times = pa.array([2**60, None], pa.timestamp("ms"))
    schema = pa.schema([("text", pa.string()), ("text", pa.int8()), ("id", times.type), ("language", pa.null())])
    rows = pa.Table.from_arrays([pa.array(["a", "b"]), pa.array([1, 2], pa.int8()), times, pa.nulls(2)], schema=schema)
    path = tmp_path / "a"
    pq.write_table(rows, path) if kind == "parquet" else write_arrow(path, rows, 2)
    assert good(read(path, kind, ReadSettings(id_field="id"))) == ["a", "b"]
    reasons = [reject.reason for reject in bad(read(path, kind, ReadSettings(text_fields=("id",))))]
    assert reasons == ["text_not_string"] * 2


def test_a_table_without_columns_has_no_documents(tmp_path: Path) -> None:
    write_arrow(tmp_path / "a", pa.table({}), 10)
    assert good(read(tmp_path / "a", "arrow")) == []


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_bad_rows(tmp_path: Path, kind: str) -> None:
    broken = pa.array([b"ok", b"caf\xe9", b"x" * 1001], pa.binary()).view(pa.string())
    tables = [pa.table({"text": broken}), pa.table({"text": [1, 2, 3]}), pa.table({"body": ["a", "b", "c"]})]
    reasons = [["invalid_utf8", "too_long"], ["text_not_string"] * 3, ["no_text_field"] * 3]
    for rows, expected in zip(tables, reasons, strict=True):
        path = tmp_path / "a"
        pq.write_table(rows, path) if kind == "parquet" else write_arrow(path, rows, 2)
        items = read(path, kind, SMALL)
        assert [reject.reason for reject in bad(items)] == expected
        assert [reject.position for reject in bad(items)] == list(range(3 - len(expected), 3))
    assert bad(items)[0].detail == "no field text or content; the record has body"


def test_a_broken_row_group_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = pa.table({"text": DOCUMENTS})
    pages = {"data_page_size": 4096, "write_batch_size": 50, "write_page_checksum": True}
    pq.write_table(rows, path, row_group_size=1000, use_dictionary=False, **pages)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 0xFF
    path.write_bytes(data)
    items = read(path, "parquet")
    reject = only_reject(items, "truncated")
    assert 1300 < reject.position < 1600
    assert reject.detail.startswith("row group 1: ")
    assert good(items) == DOCUMENTS[: reject.position] + DOCUMENTS[2000:]
    units = plan_units([str(path)], shards=3, unit_bytes=1)
    assert [item for unit in units for item in read_documents(unit.pieces, DEFAULTS)] == items


def test_a_cut_parquet_file_has_lost_its_index(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(path, table(50), 10)
    assert sum(row_group_bytes(str(path))) > 0
    path.write_bytes(path.read_bytes()[:-20])
    assert only_reject(read(path, "parquet"), "truncated").position == 0


def test_a_broken_record_batch_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    write_arrow(path, pa.table({"text": DOCUMENTS}), 1000, codec="zstd")
    sizes = record_batch_bytes(str(path))
    assert len(sizes) == 3
    data = bytearray(path.read_bytes())
    magic = data.rindex(b"\x28\xb5\x2f\xfd", 0, 8 + sizes[0] + sizes[1])
    data[magic : magic + 4] = b"\0\0\0\0"
    path.write_bytes(data)
    items = read(path, "arrow")
    reject = only_reject(items, "truncated")
    assert reject.position == 1000
    assert reject.detail.startswith("record batch 1: 1000 of 1000 rows lost")
    assert good(items) == DOCUMENTS[:1000] + DOCUMENTS[2000:]


@pytest.mark.parametrize("stream", [False, True])
def test_a_cut_arrow_file_gives_the_batches_before_the_cut(tmp_path: Path, stream: bool) -> None:
    path = tmp_path / "a.arrow"
    write_arrow(path, pa.table({"text": DOCUMENTS}), 1000, stream=stream)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 5 // 6])
    items = read(path, "arrow")
    assert good(items) == DOCUMENTS[:2000]
    assert only_reject(items, "truncated").position == 2000
    path.write_bytes(data[:20])
    assert bad(read(path, "arrow"))


@pytest.mark.parametrize("kind", ["parquet", "arrow", "stream"])
def test_flipped_bytes_in_tables_never_raise(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    write_parquet(path, table(40), 10) if kind == "parquet" else write_arrow(
        path, table(40), 10, stream=kind == "stream"
    )
    data = path.read_bytes()
    for position in range(0, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :])
        items = read(path, "parquet" if kind == "parquet" else "arrow")
        assert len(good(items)) <= 40


def test_feather_of_version_1_tells_the_remedy(tmp_path: Path) -> None:
    reject = only_reject(read_bytes(tmp_path, b"FEA1\0\0\0\0" + bytes(90) + b"FEA1", kind="arrow"), "unreadable")
    assert reject.detail == "Feather version 1; write it again as version 2, which is Arrow IPC"
