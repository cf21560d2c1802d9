"""Splitting: pieces end to end are the document, none too long, none inside a character, held out together."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.corpus.read import read_documents
from pipeline.corpus.readers import compressed
from pipeline.corpus.records import Record
from pipeline.corpus.settings import ReadSettings
from pipeline.corpus.splitting import split_blocks, split_text
from schemas.held_out import is_held_out, piece_id
from schemas.rejects import Reject
from tests.pipeline.corpora import plan_units
from tests.pipeline.corpus.reading import good, read


@given(text=st.text(alphabet=st.sampled_from("ab\n é€😀"), max_size=200), limit_bytes=st.integers(4, 50))
def test_pieces_end_to_end_are_the_document(text: str, limit_bytes: int) -> None:
    data = text.encode()
    pieces = list(split_text(data, limit_bytes))
    assert b"".join(pieces) == data
    assert all(1 <= len(piece) <= limit_bytes for piece in pieces)
    assert "".join(piece.decode() for piece in pieces) == text


@pytest.mark.parametrize(
    ("text", "pieces"),
    [(b"", []), (b"a", [b"a"]), (b"ab\ncd\nef", [b"ab\n", b"cd\nef"]), (b"abcdefg", [b"abcde", b"fg"])],
)
def test_pieces_end_behind_a_newline_where_there_is_one(text: bytes, pieces: list[bytes]) -> None:
    assert list(split_text(text, 5)) == pieces


def test_a_long_document_becomes_named_pieces_and_a_reject_stays_one(tmp_path: Path) -> None:
    texts = ["short", "line one\nline two\nline three\n", ""]
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps({"id": f"d{i}", "text": t}) + "\n" for i, t in enumerate(texts))
    )
    units = plan_units([str(tmp_path / "a.jsonl")], shards=1, unit_bytes=1 << 20)
    items = [
        item for unit in units for item in read_documents(unit.pieces, ReadSettings(id_field="id", split_bytes=20))
    ]
    found = [(item.doc_id, item.text.decode()) for item in items if isinstance(item, Record)]
    assert found == [("d0", "short"), ("d1#piece0", "line one\nline two\n"), ("d1#piece1", "line three\n")]
    assert [item.reason for item in items if not isinstance(item, Record)] == ["empty"]


def test_pieces_are_held_out_together() -> None:
    for number in range(200):
        whole = is_held_out(f"doc{number}", 0.3)
        assert all(is_held_out(piece_id(f"doc{number}", piece), 0.3) == whole for piece in (0, 1, 12))
    numbered = [is_held_out(f"corpus#{number}", 0.3) for number in range(1000)]
    assert 200 < sum(numbered) < 400


@given(st.text(alphabet="a\né😀", max_size=200), st.integers(4, 40), st.integers(1, 60))
def test_blocks_give_the_pieces_of_the_whole(text: str, limit_bytes: int, block_bytes: int) -> None:
    data = text.encode()
    blocks = [data[i : i + block_bytes] for i in range(0, len(data), block_bytes)]
    assert list(split_blocks(blocks, limit_bytes)) == list(split_text(data, limit_bytes))


LONG = "".join(f"line {i}\n" for i in range(4000))


@pytest.mark.parametrize("kind", ["text", "jsonl"])
def test_what_is_split_may_be_longer_than_a_document(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "BLOCK_BYTES", 700)
    path = tmp_path / ("a.txt" if kind == "text" else "a.jsonl")
    path.write_bytes(LONG.encode() if kind == "text" else json.dumps({"text": LONG}).encode())
    whole_settings = ReadSettings(max_document_bytes=1000 if kind == "text" else 20_000)
    (reject,) = read(path, kind, whole_settings)
    assert isinstance(reject, Reject)
    assert "raise --max-document-bytes, or cut it by --split-bytes" in reject.detail
    pieces = read(path, kind, replace(whole_settings, split_bytes=100))
    held = read(path, kind, ReadSettings(split_bytes=100))
    assert pieces == held
    assert "".join(good(pieces)) == LONG


def test_a_long_text_that_is_not_utf8_keeps_what_came_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "BLOCK_BYTES", 700)
    path = tmp_path / "a.txt"
    path.write_bytes(LONG.encode() + b"\xff\n" + LONG.encode())
    items = read(path, "text", ReadSettings(max_document_bytes=1000, split_bytes=100))
    reject = items[-1]
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.position) == ("invalid_utf8", sum(map(len, good(items))))
    assert LONG.startswith("".join(good(items)))
    assert reject.position > len(LONG) - 101
    assert reject.lost_bytes is not None
    assert abs(reject.lost_bytes - len(LONG)) < 2000
