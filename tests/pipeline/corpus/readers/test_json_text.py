"""JSON files that are one list: every object is a document, wherever blocks end, and what breaks is named."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.corpus.read import read_documents
from pipeline.corpus.readers.json_text import begins_list, list_items
from pipeline.corpus.records import Record
from pipeline.corpus.settings import ReadSettings
from schemas.rejects import Reject
from tests.pipeline.corpora import jsonl, plan_units, texts
from tests.pipeline.corpus.reading import bad, good, only_reject

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def blocks(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


@given(st.lists(JSON, max_size=8), st.integers(1, 40), st.sampled_from([None, 0, 2]), st.booleans())
def test_every_value_comes_wherever_blocks_end(values: list[Any], size: int, indent: int | None, ascii_only: bool):
    data = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    items = list(list_items(blocks(data, size), 1 << 20))
    assert [item.value for item in items] == values
    assert all(item.broken is None for item in items)
    for item in items:
        written = item.text.encode("utf-8", "surrogateescape")
        assert data[item.position : item.position + len(written)] == written


@given(st.lists(JSON, min_size=1, max_size=6), st.integers(1, 40), st.data())
def test_a_list_that_is_cut_off_gives_what_came_before(values: list[Any], size: int, data: st.DataObject) -> None:
    whole = json.dumps(values).encode()
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    *items, last = list_items(blocks(cut, size), 1 << 20)
    assert last.broken is not None
    assert [item.value for item in items] == values[: len(items)]


def read(*paths: Path, shards: int = 1, settings: ReadSettings | None = None) -> list[Record | Reject]:
    units = plan_units([str(path) for path in paths], shards=shards, unit_bytes=1)
    return [item for unit in units for item in read_documents(unit.pieces, settings or ReadSettings())]


@pytest.mark.parametrize("shards", [1, 3, 50])
@pytest.mark.parametrize("name", ["a.json", "a.json.gz", "a.json.bz2"])
@pytest.mark.parametrize("indent", [None, 1])
def test_a_file_that_is_a_list_gives_its_documents(tmp_path: Path, name: str, indent: int | None, shards: int) -> None:
    data = b"\xef\xbb\xbf" + json.dumps([{"text": text, "n": [1]} for text in texts(40)], indent=indent).encode()
    pack = {"json": bytes, "gz": gzip.compress, "bz2": bz2.compress}[name.rpartition(".")[2]]
    (tmp_path / name).write_bytes(pack(data))
    assert good(read(tmp_path / name, shards=shards)) == texts(40)


def test_lines_in_a_json_file_stay_lines(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"[1, 2]\n" + jsonl(*({"text": text} for text in texts(40))))
    for shards in (1, 4):
        items = read(tmp_path / "a.json", shards=shards)
        assert good(items) == texts(40)
        only_reject(items, "bad_json")


def test_values_that_are_no_documents_spoil_no_others(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'[{"text": "a"}, 7, {"body": 1}, {"text": "\xff"}, {"text": ""}, [{}], {"text": "b"}]')
    items = read(path)
    assert good(items) == ["a", "b"]
    assert [reject.reason for reject in bad(items)] == [
        "bad_json",
        "no_text_field",
        "invalid_utf8",
        "empty",
        "bad_json",
    ]
    assert [reject.position for reject in bad(items)] == [16, 19, 32, 47, 61]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'[{"text": "a"}', "ends inside its list"),
        (b'[{"text": "a"}, ', "ends inside its list"),
        (b'[{"text": "a"}] {"text": "b"}', "behind the end of the list"),
        (b'[{"text": "a"} {"text": "b"}]', "needs ']'"),
        (b'[{"text": "a"}, {"text": ]', "in a list: Expecting value"),
    ],
)
def test_a_broken_list_is_one_reject_with_what_is_lost(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    items = read(path)
    assert good(items) == ["a"]
    assert words in only_reject(items, "truncated").detail


def test_a_value_that_never_ends_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'[{"text": "a"}, {"text": "' + b"x" * (6 << 20))
    items = read(path, settings=ReadSettings(max_document_bytes=1000))
    assert good(items) == ["a"]
    reject = only_reject(items, "truncated")
    assert "no value ends within 1050576 characters; raise --max-document-bytes" in reject.detail
    assert (reject.lost_bytes or 0) > 3 << 20


def test_what_begins_a_list() -> None:
    lists = [b"[{", b" [\n {", b"[]", b"\xef\xbb\xbf[{"]
    assert all(map(begins_list, lists))
    assert not any(map(begins_list, [b"", b"[", b"[1]", b"[[", b"{}", b"\xff[{"]))
