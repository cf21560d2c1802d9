"""Reformatted texts: halves make up the text, formats change white space only, and the command goes on to shards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.__main__ import main
from pipeline.analysis.reformat import FORMATS, halves
from pipeline.corpus.sample import HELD_OUT_SHARE
from schemas.formats import AS_IS, REST, part_id, split_part_id
from schemas.held_out import is_held_out
from tests.pipeline.corpora import jsonl
from tests.pipeline.runs import Preprocess, rows

CODE = "def f(x):\n    if x:\n        return 1\n    return 2\n"


@given(st.text(alphabet="ab \n\t"))
def test_halves_make_up_the_text(text: str) -> None:
    cut = halves(text)
    if cut is None:
        assert "\n" not in text[:-1]
        return
    context, rest = cut
    assert context + rest == text
    assert context.endswith("\n")
    assert rest
    nearest = min(abs(2 * (i + 1) - len(text)) for i, letter in enumerate(text[:-1]) if letter == "\n")
    assert abs(2 * len(context) - len(text)) == nearest


@pytest.mark.parametrize(("text", "wanted"), [("", None), ("\n", None), ("a\n", None), ("a\nb", ("a\n", "b"))])
def test_halves_of_little(text: str, wanted: tuple[str, str] | None) -> None:
    assert halves(text) == wanted


@given(st.text(alphabet="ab \n\tdef:日"))
def test_formats_change_white_space_only(text: str) -> None:
    for name, change in FORMATS.items():
        assert "".join(change(text).split()) == "".join(text.split()), name
    assert FORMATS[AS_IS](text) == text


def test_formats_of_code() -> None:
    assert FORMATS["tabs"](CODE) == "def f(x):\n\tif x:\n\t\treturn 1\n\treturn 2\n"
    assert FORMATS["deeper"](CODE) == "def f(x):\n        if x:\n                return 1\n        return 2\n"
    assert FORMATS["blank-lines"]("a\n  b\n") == "a\n\n  b\n\n"
    assert FORMATS["trailing-spaces"]("a\n  b\n") == "a  \n  b  \n"


@given(st.text(), st.sampled_from([*FORMATS, REST]))
def test_part_ids_come_apart_again(doc_id: str, part: str) -> None:
    assert split_part_id(part_id(doc_id, part)) == (doc_id, part)


def test_the_command_writes_what_preprocess_reads(
    tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    records = [{"text": f"# {i}\n{CODE}{CODE}", "id": f"doc{i}"} for i in range(200)]
    (tmp_path / "in" / "a.jsonl").write_bytes(jsonl(*records))
    options = ("--id-field", "id", "--compressors", "tokenizer", "--shards", "1")
    assert preprocess(tmp_path / "in", tmp_path / "data", *options) == 0
    out = tmp_path / "parts.jsonl"
    assert main(["reformat", str(tmp_path / "data"), "--out", str(out), "--texts", "3"]) == 0
    written = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(written) == 3 * (len(FORMATS) + 1)
    assert all(is_held_out(split_part_id(record["id"])[0], HELD_OUT_SHARE) for record in written)
    before = out.read_bytes()
    assert main(["reformat", str(tmp_path / "data"), "--out", str(out), "--texts", "3"]) == 0
    assert out.read_bytes() == before
    assert preprocess(out, tmp_path / "parts", *options) == 0
    assert sorted(rows(tmp_path / "parts")["doc_id"].to_pylist()) == sorted(record["id"] for record in written)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--texts", "0"], "--texts is 0; give at least 1"),
        (["--out", "/proc/no/place.jsonl"], "cannot write to"),
        (["--out", "."], "is a directory; give a file"),
        ([], "holds out no text of two lines"),
    ],
)
def test_wrong_arguments_are_one_line(
    tmp_path: Path, finished: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["reformat", str(finished / "out"), "--out", str(tmp_path / "parts.jsonl"), *words]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "parts.jsonl").exists()
