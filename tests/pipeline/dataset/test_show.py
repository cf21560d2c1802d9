"""What a person sees of a shard: aligned, escaped, never wider than the terminal."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset import shard_writer
from pipeline.dataset.show import escape, show
from schemas.errors import DatasetError, SettingsError
from schemas.shards import shard_name
from tests.schemas.shard_samples import SMALL, write_shard


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / shard_name(0, 1)
    write_shard(path, SMALL)
    return path


def test_pairs_are_aligned_and_escaped(shard: Path):
    assert list(show(shard, "paired", 20)) == [
        "doc_id  segment  raw         symbols",
        "d0            0  'import'    7 65535",
        "d0            1  ' os\\n'     0",
        "d2            0  'é日本'     9",
        "d2            1  '\\x00\\xff'  1",
        "d2            2  ''\\\\t'\\t'   300",
    ]


def test_windows_documents_and_encodings(shard: Path):
    assert list(show(shard, "windows", 2)) == [
        "doc_id  segment  window  raw     symbol",
        "d0            0       0  'im'         7",
        "d0            0       1  'port'   65535",
    ]
    assert list(show(shard, "raw", 1)) == [
        "doc_id  source    language  raw",
        "d0      src/0.py  python    'import os\\n'",
    ]
    assert list(show(shard, "comp", 2, compressor="tokenizer")) == [
        "doc_id  symbols    raw_ends  symbol_ends",
        "d0      7 65535 0  6 10      2 3",
        "d1",
    ]


@pytest.mark.parametrize(("head", "lines"), [(1, 2), (5, 6), (99, 6)])
def test_head_counts_rows_across_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: int, lines: int):
    monkeypatch.setattr(shard_writer, "BATCH_ROWS", 1)
    write_shard(tmp_path / "a.arrow", SMALL)
    assert len(list(show(tmp_path / "a.arrow", "paired", head))) == lines


def test_a_directory_shows_its_first_shard_and_an_empty_shard_its_header(tmp_path: Path):
    write_shard(tmp_path / shard_name(1, 2), SMALL)
    write_shard(tmp_path / shard_name(0, 2), [])
    assert list(show(tmp_path, "paired", 5)) == ["doc_id  segment  raw  symbols"]


def columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)


@pytest.mark.parametrize("width", [40, 57, 120])
@pytest.mark.parametrize("view", ["raw", "comp", "paired", "windows"])
def test_long_values_are_shortened_to_the_width(tmp_path: Path, view: str, width: int):
    long = ("日é\n\t" * 5000).encode()
    texts = [[[(long[i : i + 999], 65535) for i in range(0, len(long), 999)]], [[(b"a", 1)]]]
    write_shard(tmp_path / "a.arrow", texts)
    lines = list(show(tmp_path / "a.arrow", view, 9, width=width))
    assert all(columns(line) <= width and line.isprintable() for line in lines)
    assert any("…" in line for line in lines)


@given(st.text())
def test_escapes_are_printable_and_exact(text: str):
    shown = escape(text)
    assert shown.isprintable() and "\n" not in shown
    if text.isascii():
        assert shown.encode().decode("unicode_escape") == text


def test_a_character_cut_in_two_is_not_shown(tmp_path: Path):
    write_shard(tmp_path / "a.arrow", [[[(("x" + "\u0301" * 9000).encode(), 1)]]])
    lines = list(show(tmp_path / "a.arrow", "raw", 1, width=60))
    assert "\\x" not in lines[1]


def test_wrong_arguments_are_answered_with_a_remedy(shard: Path, tmp_path: Path):
    with pytest.raises(SettingsError, match=r"view 'all' is not known: choose one of \['raw', 'comp'"):
        show(shard, "all", 1)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="--head 0 shows nothing: give at least 1"):
        show(shard, "raw", 0)
    with pytest.raises(DatasetError, match="no compressor 'gzip' in this shard: choose one of"):
        show(shard, "comp", 1, compressor="gzip")
    with pytest.raises(DatasetError, match="'tokenizer' has no windows"):
        show(shard, "windows", 1, compressor="tokenizer")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DatasetError, match="holds no shard-.*python -m pipeline preprocess --output"):
        show(empty, "raw", 1)
    with pytest.raises(DatasetError, match="does not exist"):
        show(tmp_path / "gone.arrow", "raw", 1)


def test_a_shard_that_is_not_the_one_of_the_manifest_is_not_shown(finished: Path, tmp_path: Path):
    copy = Path(shutil.copytree(finished / "out", tmp_path / "out"))
    (first, *_) = sorted(copy.glob("shard-*"))
    assert list(show(copy, "raw", 1)) == list(show(first, "raw", 1))
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    for path in (copy, first):
        with pytest.raises(DatasetError, match=f"{first.name} is damaged: its sha256 is"):
            list(show(path, "raw", 1))
