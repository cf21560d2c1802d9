"""Documents: every item of the input gives one Record or one Reject."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard

from pipeline.corpus.read import read_documents
from pipeline.corpus.records import Record
from pipeline.corpus.settings import ReadSettings
from schemas.errors import SettingsError
from schemas.rejects import EXCERPT_BYTES, REASONS
from tests.pipeline.corpora import jsonl, plan_units, table, texts, write_arrow, write_parquet
from tests.pipeline.corpus.reading import SMALL, good, only_reject, read, read_bytes


@pytest.mark.parametrize("count", [0, 1, 2, 5000])
@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "jsonl.zst", "jsonl.bz2", "jsonl.xz", "parquet", "arrow"])
def test_every_format_gives_the_documents_back(tmp_path: Path, count: int, kind: str) -> None:
    rows = table(count)
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        write_parquet(path, rows, 700)
    elif kind == "arrow":
        write_arrow(path, rows, 700, codec="zstd")
    else:
        data = jsonl(*rows.to_pylist())
        pack: dict[str, Callable[[bytes], bytes]] = {
            "jsonl.gz": gzip.compress,
            "jsonl.zst": zstandard.compress,
            "jsonl.bz2": bz2.compress,
            "jsonl.xz": lzma.compress,
        }
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
    b'{"text": "a", "n": ' + b"[" * 500 + b"]" * 500 + b"}": "bad_json",
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
    assert reject.detail.startswith("a text of 1001 bytes, the limit is 1000; raise --max-document-bytes")


@pytest.mark.parametrize("shards", [1, 2, 3, 4])
def test_ids_that_repeat_are_kept_whatever_the_number_of_shards(tmp_path: Path, shards: int) -> None:
    for name in "abcd":
        (tmp_path / f"{name}.jsonl").write_bytes(jsonl(*({"text": f"{name}{i}", "id": i} for i in range(20))))
    units = plan_units([str(tmp_path)], shards=shards, unit_bytes=1)
    assert len(units) == shards
    items = [item for unit in units for item in read_documents(unit.pieces, ReadSettings(id_field="id"))]
    assert good(items) == [f"{name}{i}" for name in "abcd" for i in range(20)]
    assert [item.doc_id for item in items if isinstance(item, Record)] == [str(i) for i in range(20)] * 4


def call_deeply(frames: int, action: Callable[[], Any]) -> Any:
    return action() if frames == 0 else call_deeply(frames - 1, action)


@pytest.mark.parametrize("frames", [0, 300, 600])
@pytest.mark.parametrize(("depth", "accepted"), [(499, True), (500, False), (700, False), (100_000, False)])
def test_nesting_has_one_limit_for_every_caller(tmp_path: Path, frames: int, depth: int, accepted: bool) -> None:
    """The object itself is one level, so lists may go 499 deep in it."""
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        line = b'{"text": "a", "n": ' + opening * depth + b"1" + closing * depth + b"}"
        items = call_deeply(frames, lambda line=line: read_bytes(tmp_path, line))
        if accepted:
            assert good(items) == ["a"]
        else:
            assert only_reject(items, "bad_json").detail == "objects and lists in each other, more than 500 deep"


def test_brackets_in_strings_and_beside_each_other_are_no_nesting(tmp_path: Path) -> None:
    text = "[{" * 9000
    items = read_bytes(tmp_path, jsonl({"text": text, "n": [[]] * 9000, "m": [{"a": [1]}] * 9000}))
    assert good(items) == [text]


@pytest.mark.parametrize("digits", [600, 601, 5000, 100_000])
def test_long_integers_in_other_fields_lose_nothing(tmp_path: Path, digits: int) -> None:
    number = b"7" * digits
    before = sys.get_int_max_str_digits()
    for limit in (640, before, 0):
        sys.set_int_max_str_digits(limit)
        try:
            (item,) = read_bytes(tmp_path, b'{"text": "a", "id": -' + number + b"}", ReadSettings(id_field="id"))
        finally:
            sys.set_int_max_str_digits(before)
        assert isinstance(item, Record)
        assert item.doc_id == "-" + number.decode()


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "arrow"])
def test_null_beside_content_is_absent(tmp_path: Path, kind: str) -> None:
    rows = [{"text": None, "content": "x"}, {"text": "y", "content": None}, {"text": "z", "content": "not this"}]
    path = tmp_path / f"a.{kind}"
    if kind == "jsonl":
        path.write_bytes(jsonl(*rows, {"text": None, "content": None}))
    else:
        write = write_parquet if kind == "parquet" else write_arrow
        write(path, pa.Table.from_pylist([*rows, {"text": None, "content": None}]), 2)
    items = read(path, kind)
    assert good(items) == ["x", "y", "z"]
    assert only_reject(items, "text_not_string").detail == "the field text is null, not a string"


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "empty"), (b"caf\xe9", "invalid_utf8"), (b"x" * 1001, "too_long"), (b"\xed\xa0\x80", "invalid_utf8")],
)
def test_bad_source_files(tmp_path: Path, data: bytes, reason: str) -> None:
    only_reject(read_bytes(tmp_path, data, SMALL, kind="text"), reason)


@pytest.mark.parametrize(
    "kind", ["jsonl", "jsonl.gz", "jsonl.zst", "jsonl.bz2", "jsonl.xz", "parquet", "arrow", "text"]
)
def test_a_missing_file_and_a_directory_are_unreadable(tmp_path: Path, kind: str) -> None:
    only_reject(read(tmp_path / "missing", kind), "unreadable")
    (tmp_path / "directory").mkdir()
    only_reject(read(tmp_path / "directory", kind), "unreadable")


@pytest.mark.parametrize("kind", ["jsonl.gz", "jsonl.zst", "jsonl.bz2", "jsonl.xz", "parquet", "arrow"])
def test_a_file_that_is_not_what_its_suffix_says_is_unreadable(tmp_path: Path, kind: str) -> None:
    only_reject(read_bytes(tmp_path, jsonl({"text": "plain text"}) * 99, kind=kind), "unreadable")


@pytest.mark.parametrize("kind", ["jsonl.gz", "jsonl.zst", "jsonl.bz2", "jsonl.xz", "parquet", "arrow"])
def test_a_file_of_no_bytes(tmp_path: Path, kind: str) -> None:
    (reject,) = read_bytes(tmp_path, b"", kind=kind)
    assert reject.reason in ("truncated", "unreadable")


def test_every_reason_is_tested_with_a_real_file() -> None:
    seen = set(LINES.values()) | {"truncated", "unreadable"}
    assert seen == set(REASONS)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"text_fields": ()}, "--text-field"),
        ({"max_document_bytes": 0}, "--max-document-bytes"),
        ({"max_document_bytes": 1 << 32}, "--max-document-bytes"),
        ({"max_expansion": 0}, "max_expansion"),
    ],
)
def test_impossible_settings_are_refused_by_name(values: dict[str, Any], name: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is "):
        ReadSettings(**values)
