"""Splitting: pieces end to end are the document, none too long, none inside a character, held out together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.corpus.read import read_documents
from pipeline.corpus.records import Record
from pipeline.corpus.settings import ReadSettings
from pipeline.corpus.splitting import split_text
from pipeline.corpus.units import plan_units
from schemas.held_out import is_held_out, piece_id


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
