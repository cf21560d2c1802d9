"""Reading: every item gives one Record or one Reject, however the corpus is cut."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import tracemalloc
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.corpus.discover import plan_units
from pipeline.corpus.read import ReadSettings, Record, read_documents
from pipeline.corpus.readers.arrow import record_batch_bytes
from pipeline.corpus.readers.compressed import ZSTD_LONGEST_WINDOW_BYTES
from pipeline.corpus.readers.lines import split_lines
from pipeline.corpus.readers.parquet import row_group_bytes
from pipeline.corpus.units import SourceFile, cut_units
from schemas.errors import SettingsError
from schemas.rejects import EXCERPT_BYTES, REASONS, Reject
from tests.pipeline.corpora import jsonl, table, texts, whole, write_arrow, write_parquet

DEFAULTS = ReadSettings()
SMALL = ReadSettings(max_document_bytes=1000)


def read(path: Path, kind: str, settings: ReadSettings = DEFAULTS) -> list[Record | Reject]:
    return list(read_documents([whole(path, kind)], settings))


def read_bytes(tmp_path: Path, data: bytes, settings: ReadSettings = DEFAULTS, kind: str = "jsonl") -> Any:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(data)
    return read(path, kind, settings)


def good(items: Iterable[Record | Reject]) -> list[str]:
    return [item.text.decode() for item in items if isinstance(item, Record)]


def bad(items: Iterable[Record | Reject]) -> list[Reject]:
    return [item for item in items if isinstance(item, Reject)]


def only_reject(items: Iterable[Record | Reject], reason: str) -> Reject:
    (reject,) = bad(items)
    assert reject.reason == reason, reject
    assert "\n" not in reject.detail
    assert reject.detail
    return reject


@pytest.mark.parametrize("count", [0, 1, 2, 5000])
@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet", "arrow"])
def test_every_format_gives_the_documents_back(tmp_path: Path, count: int, kind: str) -> None:
    rows = table(count)
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        write_parquet(path, rows, 700)
    elif kind == "arrow":
        write_arrow(path, rows, 700, codec="zstd")
    else:
        data = jsonl(*rows.to_pylist())
        pack: dict[str, Callable[[bytes], bytes]] = {"jsonl.gz": gzip.compress, "jsonl.zst": zstandard.compress}
        path.write_bytes(pack.get(kind, bytes)(data))
    items = read(path, kind, ReadSettings(id_field="id"))
    assert good(items) == texts(count)
    records = [item for item in items if isinstance(item, Record)]
    assert [record.doc_id for record in records] == [str(i) for i in range(count)]
    assert [record.language for record in records] == [("Python", "C")[i % 2] for i in range(count)]
    assert {record.source for record in records} <= {path.name}


def test_ids_are_hashes_of_source_and_position(tmp_path: Path) -> None:
    items = read_bytes(tmp_path, b'{"text": "a"}\n\r\n{"text": "b"}\r\n')
    expected = [hashlib.sha256(f"a.jsonl:{position}".encode()).hexdigest()[:16] for position in (0, 16)]
    assert [item.doc_id for item in items] == expected


def test_records_may_bring_source_and_language(tmp_path: Path) -> None:
    lines = jsonl(
        {"text": "a", "path": "x/y.rs"}, {"text": "b", "path": 3}, {"text": "c", "path": "z.c", "language": "C++"}
    )
    items = read_bytes(tmp_path, lines, ReadSettings(source_field="path"))
    assert [(item.source, item.language) for item in items] == [("x/y.rs", "Rust"), ("a.jsonl", ""), ("z.c", "C++")]


def test_names_that_are_no_strings_count_as_missing(tmp_path: Path) -> None:
    lines = jsonl(
        {"text": "a", "id": "\ud800", "language": "\ud800"}, {"text": "b", "id": None}, {"text": "c", "id": True}
    )
    items = read_bytes(tmp_path, lines, ReadSettings(id_field="id"))
    assert [len(item.doc_id) for item in items] == [16, 16, 16]
    assert [item.language for item in items] == ["", "", ""]


def test_the_first_text_field_counts(tmp_path: Path) -> None:
    lines = jsonl({"content": "b", "text": "a"}, {"content": "c"}, {"code": "d"})
    assert good(read_bytes(tmp_path, lines)) == ["a", "c"]
    assert good(read_bytes(tmp_path, lines, ReadSettings(text_fields=("code",)))) == ["d"]


def test_source_files_are_kept_byte_for_byte(tmp_path: Path) -> None:
    data = "\ufeff# naïve\r\n\0".encode()
    path = tmp_path / "a.py"
    path.write_bytes(data)
    (item,) = read(path, "text")
    assert isinstance(item, Record)
    assert (item.text, item.language) == (data, "Python")


def test_byte_order_marks_and_blank_lines_are_no_documents(tmp_path: Path) -> None:
    mark = b"\xef\xbb\xbf"
    assert good(read_bytes(tmp_path, mark + b'{"text": "a"}\n \t\r\n\n{"text": "b"}')) == ["a", "b"]
    assert read_bytes(tmp_path, mark + b"\n\n") == []


def test_pairs_of_surrogates_are_one_character(tmp_path: Path) -> None:
    assert good(read_bytes(tmp_path, rb'{"text": "\ud83d\ude00"}')) == ["😀"]


LINES = {
    b"{": "bad_json",
    b"[1, 2]": "bad_json",
    b"7": "bad_json",
    b"{'text': 1}": "bad_json",
    b'{"text": "a"} {"text": "b"}': "bad_json",
    b"[" * 100_000: "bad_json",
    b'{"text": "a", "n": ' + b"9" * 5000 + b"}": "bad_json",
    b'{"body": "a"}': "no_text_field",
    b"{}": "no_text_field",
    rb'{"\ud800\n": 1}': "no_text_field",
    b'{"text": null}': "text_not_string",
    b'{"text": ["a"]}': "text_not_string",
    b'{"text": 1.5}': "text_not_string",
    b'{"text": "\xff"}': "invalid_utf8",
    b'{"text": "\xed\xa0\x80"}': "invalid_utf8",
    rb'{"text": "\ud800"}': "invalid_utf8",
    '{"text": "a"}'.encode("utf-16"): "invalid_utf8",
    b'{"text": ""}': "empty",
    b'{"text": "' + b"a" * 1001 + b'"}': "too_long",
    b'{"text": "' + b"a" * (SMALL.max_line_bytes - 12) + b'"}': "too_long",
    b"x" * (SMALL.max_line_bytes + 1): "too_long",
}


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line[:16]!r}_{len(line)}")
def test_a_bad_line_gives_one_reject_and_spoils_no_other(tmp_path: Path, line: bytes) -> None:
    before, after = jsonl({"text": "a"}), jsonl({"text": "b"})
    line = line.replace(b"\n", b"")
    items = read_bytes(tmp_path, before + line + b"\n" + after, SMALL)
    assert good(items) == ["a", "b"]
    reject = only_reject(items, LINES.get(line, "invalid_utf8"))
    assert (reject.source, reject.position) == ("a.jsonl", len(before))
    assert reject.excerpt == line[:EXCERPT_BYTES].decode(errors="backslashreplace")
    json.dumps([reject.detail, reject.excerpt], ensure_ascii=False).encode()
    assert good(read_bytes(tmp_path, before + line, SMALL)) == ["a"], "as the last line, without a newline"


def test_details_tell_what_to_do(tmp_path: Path) -> None:
    (reject,) = read_bytes(tmp_path, b'{"body": 1, "url": 2}')
    assert reject.detail == "no field text or content; the record has body, url"
    (reject,) = read_bytes(tmp_path, b"[{}]")
    assert "each line must be one object (jq -c '.[]')" in reject.detail
    (reject,) = read_bytes(tmp_path, jsonl({"text": "x" * 1001}), SMALL)
    assert reject.detail == "1001 bytes, the limit is 1000"


def test_duplicate_ids(tmp_path: Path) -> None:
    lines = jsonl({"text": "a", "id": 7}, {"text": "b", "id": "7"}, {"text": "c", "id": "8"}, {"text": "", "id": "9"})
    (tmp_path / "a.jsonl").write_bytes(lines + jsonl({"text": "d", "id": "9"}))
    pieces = [whole(tmp_path / "a.jsonl", "jsonl"), whole(tmp_path / "a.jsonl", "jsonl", "again")]
    items = list(read_documents(pieces, ReadSettings(id_field="id")))
    assert good(items) == ["a", "c", "d"]
    again = ["duplicate_id"] * 3 + ["empty", "duplicate_id"]
    assert [reject.reason for reject in bad(items)] == ["duplicate_id", "empty", *again]


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "empty"), (b"caf\xe9", "invalid_utf8"), (b"x" * 1001, "too_long"), (b"\xed\xa0\x80", "invalid_utf8")],
)
def test_bad_source_files(tmp_path: Path, data: bytes, reason: str) -> None:
    only_reject(read_bytes(tmp_path, data, SMALL, kind="text"), reason)


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet", "arrow", "text"])
def test_a_missing_file_and_a_directory_are_unreadable(tmp_path: Path, kind: str) -> None:
    only_reject(read(tmp_path / "missing", kind), "unreadable")
    (tmp_path / "directory").mkdir()
    only_reject(read(tmp_path / "directory", kind), "unreadable")


@pytest.mark.parametrize("kind", ["jsonl.gz", "jsonl.zst", "parquet", "arrow"])
def test_a_file_that_is_not_what_its_suffix_says_is_unreadable(tmp_path: Path, kind: str) -> None:
    only_reject(read_bytes(tmp_path, jsonl({"text": "plain text"}) * 99, kind=kind), "unreadable")


@pytest.mark.parametrize("kind", ["jsonl.gz", "jsonl.zst", "parquet", "arrow"])
def test_a_file_of_no_bytes(tmp_path: Path, kind: str) -> None:
    (reject,) = read_bytes(tmp_path, b"", kind=kind)
    assert reject.reason in ("truncated", "unreadable")


def frames(data: bytes, kind: str, parts: int = 3) -> bytes:
    """`data` compressed in several members or frames, with padding that both formats allow."""
    step = -(-len(data) // parts)
    chunks = [data[i : i + step] for i in range(0, len(data), step)]
    if kind == "jsonl.gz":
        return b"\0\0".join(map(gzip.compress, chunks)) + b"\0" * 600
    skippable = b"\x53\x2a\x4d\x18\x03\0\0\0abc"
    return skippable.join(zstandard.ZstdCompressor(write_checksum=True).compress(chunk) for chunk in chunks)


DOCUMENTS = [random.Random(i).randbytes(40).hex() for i in range(3000)]
STREAM = jsonl(*({"text": text} for text in DOCUMENTS))


@pytest.mark.parametrize("kind", ["jsonl.gz", "jsonl.zst"])
def test_many_members_and_frames_are_one_stream(tmp_path: Path, kind: str) -> None:
    assert good(read_bytes(tmp_path, frames(STREAM, kind), kind=kind)) == DOCUMENTS


@pytest.mark.parametrize("kind", ["jsonl.gz", "jsonl.zst"])
@pytest.mark.parametrize("share", [0.0001, 0.2, 0.5, 0.9, 0.9999])
def test_a_cut_file_gives_all_lines_before_the_cut(tmp_path: Path, kind: str, share: float) -> None:
    data = frames(STREAM, kind).rstrip(b"\0")
    cut = data[: max(int(len(data) * share), 3)]
    items = read_bytes(tmp_path, cut, kind=kind)
    reject = only_reject(items, "truncated")
    texts_before = good(items)
    assert texts_before == DOCUMENTS[: len(texts_before)]
    assert len(texts_before) >= (share - 0.35) * len(DOCUMENTS)
    assert reject.position == len(jsonl(*({"text": text} for text in texts_before)))
    assert isinstance(items[-1], Reject)


def test_gzip_is_read_to_the_last_byte_before_the_cut(tmp_path: Path) -> None:
    data = gzip.compress(STREAM)
    for cut in (len(data) // 3, len(data) // 2, len(data) - 9):
        readable = zlib.decompressobj(wbits=31).decompress(data[:cut])
        assert len(good(read_bytes(tmp_path, data[:cut], kind="jsonl.gz"))) == readable.count(b"\n")


@pytest.mark.parametrize("kind", ["jsonl.gz", "jsonl.zst"])
def test_a_flipped_bit_never_raises_and_gives_one_truncated(tmp_path: Path, kind: str) -> None:
    data = frames(STREAM[:60_000].rpartition(b"\n")[0] + b"\n", kind, parts=2)
    for position in range(30, len(data.rstrip(b"\0")) - 9, len(data) // 25):
        flipped = bytearray(data)
        flipped[position] ^= 0x10
        items = read_bytes(tmp_path, bytes(flipped), kind=kind)
        assert [reject.reason for reject in bad(items) if reject.reason != "bad_json"].count("truncated") <= 1
        assert bad(items), position


def test_a_wrong_checksum_keeps_the_lines(tmp_path: Path) -> None:
    for kind, data in (("jsonl.gz", gzip.compress(STREAM)), ("jsonl.zst", frames(STREAM, "jsonl.zst", parts=1))):
        position = len(data) - (8 if kind == "jsonl.gz" else 1)
        flipped = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        items = read_bytes(tmp_path, flipped, kind=kind)
        assert good(items) == DOCUMENTS
        only_reject(items, "truncated")


def test_garbage_after_the_last_member(tmp_path: Path) -> None:
    for kind in ("jsonl.gz", "jsonl.zst"):
        items = read_bytes(tmp_path, frames(STREAM, kind) + b"garbage", kind=kind)
        assert good(items) == DOCUMENTS
        only_reject(items, "truncated")


def test_too_long_a_zstd_window_tells_the_remedy(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    items = read_bytes(tmp_path, compressor.compress(STREAM) + compressor.flush(), kind="jsonl.zst")
    reject = only_reject(items, "unreadable")
    assert str(ZSTD_LONGEST_WINDOW_BYTES) in reject.detail
    assert "--long=27" in reject.detail


@pytest.mark.parametrize("kind", ["jsonl.gz", "jsonl.zst"])
def test_a_bomb_is_cut_off_in_bounded_memory(tmp_path: Path, kind: str) -> None:
    size_bytes = 60 << 20
    zeros = b"\0" * size_bytes
    data = gzip.compress(zeros, 9) if kind == "jsonl.gz" else zstandard.compress(zeros)
    path = tmp_path / "bomb"
    path.write_bytes(data)
    del zeros
    tracemalloc.start()
    items = read(path, kind, SMALL)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 12 << 20
    reject = only_reject(items, "truncated")
    assert "expands more than 1000-fold" in reject.detail
    unlimited = ReadSettings(max_document_bytes=1000, max_expansion=10**9)
    assert f"a line of {size_bytes} bytes" in only_reject(read(path, kind, unlimited), "too_long").detail


def test_a_line_far_longer_than_the_limit_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(jsonl({"text": "a"}))
        for _ in range(40):
            file.write(b"x" * (1 << 20))
        file.write(b"\n" + jsonl({"text": "b"}))
    tracemalloc.start()
    items = read(path, "jsonl", SMALL)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert good(items) == ["a", "b"]
    assert only_reject(items, "too_long").position == 14
    assert peak_bytes < 12 << 20


@given(data=st.lists(st.sampled_from([b"\n", b"a", b"bb", b"x" * 9])).map(b"".join), draw=st.data())
def test_lines_equal_a_plain_split(data: bytes, draw: st.DataObject) -> None:
    start = draw.draw(st.integers(0, len(data)))
    end = draw.draw(st.none() | st.integers(start, len(data)))
    step = draw.draw(st.integers(1, 12))
    limit_bytes = draw.draw(st.integers(0, 20))
    expected, position = [], 0
    for line in data.split(b"\n"):
        if start <= position < (len(data) if end is None else end):
            expected.append((position, line if len(line) <= limit_bytes else line[:EXCERPT_BYTES], len(line)))
        position += len(line) + 1
    blocks = [data[i : i + step] for i in range(max(start - 1, 0), len(data), step)]
    lines = split_lines(blocks, start=start, end=end, limit_bytes=limit_bytes)
    assert [line[:3] for line in lines] == expected


LINE = st.sampled_from(
    [
        b"",
        b"\r",
        b" ",
        b'{"text": "a"}',
        b'{"text": "\xc3\xa9"}\r',
        b"{",
        b'{"text": ""}',
        b'{"text": "' + b"x" * 60 + b'"}',
    ]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.lists(LINE, max_size=8), min_size=1, max_size=4),
    final=st.sampled_from([b"", b"\n"]),
    unit_bytes=st.integers(1, 200),
)
def test_however_jsonl_is_cut_the_records_are_the_same(
    tmp_path: Path, lines: list[list[bytes]], final: bytes, unit_bytes: int
) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    for i, file_lines in enumerate(lines):
        (tmp_path / f"{i}.jsonl").write_bytes(b"\n".join(file_lines) + final)
    (one,) = plan_units([str(tmp_path)], shards=1, unit_bytes=1)
    expected = list(read_documents(one.pieces, DEFAULTS))
    documents = sum(bool(line.strip()) for file_lines in lines for line in file_lines)
    assert len(expected) == documents
    units = plan_units([str(tmp_path)], shards=None, unit_bytes=unit_bytes)
    assert [item for unit in units for item in read_documents(unit.pieces, DEFAULTS)] == expected
    ids = [item.doc_id for item in expected if isinstance(item, Record)]
    assert len(set(ids)) == len(ids)


def test_lines_that_span_blocks(tmp_path: Path) -> None:
    sizes = [10, 3 << 20, 1 << 20, (1 << 20) - 13, 5, 2 << 20]
    data = jsonl(*({"text": "x" * size} for size in sizes))
    (tmp_path / "a.jsonl").write_bytes(data)
    file = SourceFile(path=str(tmp_path / "a.jsonl"), source="a.jsonl", format="jsonl", size_bytes=len(data))
    for shards in (1, 2, 7, 30):
        units = cut_units([file], shards=shards, unit_bytes=1)
        assert [len(text) for unit in units for text in good(read_documents(unit.pieces, DEFAULTS))] == sizes


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


def test_every_reason_is_tested_with_a_real_file() -> None:
    seen = set(LINES.values()) | {"duplicate_id", "truncated", "unreadable"}
    assert seen == set(REASONS)


@pytest.mark.parametrize(
    "values", [{"text_fields": ()}, {"max_document_bytes": 0}, {"max_document_bytes": 1 << 32}, {"max_expansion": 0}]
)
def test_impossible_settings_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(values))):
        ReadSettings(**values)
