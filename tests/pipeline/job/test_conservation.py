"""Whole runs over servers and files that fail: the dataset is whole, or the run says in one line what it lacks."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.__main__ import main
from schemas import patience
from schemas.manifest import read_manifest
from schemas.patience import Patience
from tests.pipeline.corpora import jsonl
from tests.pipeline.web_server import Fault, Site, serve

FILES = {f"{name}.jsonl": jsonl(*({"text": f"{name} {i}"} for i in range(20))) for name in "abc"}


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE", Patience(waits_s=(0.0, 0.0), longest_wait_s=0.0, timeout_s=1.0))


def gzip_run(output: Path, *inputs: str | Path, options: tuple[str, ...] = ()) -> int:
    names = ["--input", *map(str, inputs)]
    return main(["preprocess", *names, "--output", str(output), "--compressors", "gzip", "--workers", "1", *options])


def every(number: int, fault: Fault) -> Callable[[int, str], Fault | None]:
    return lambda request, path: fault if request % number == 0 else None


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(cut_after=200), Fault(refuse=True)])
@pytest.mark.parametrize("lengths", [True, False])
def test_shards_do_not_depend_on_the_weather(tmp_path: Path, lengths: bool, fault: Fault) -> None:
    outputs = [tmp_path / "calm", tmp_path / "storm"]
    for output, how in zip(outputs, (None, fault), strict=True):
        site = Site(files=FILES, lengths=lengths)
        if how:
            site.fault = every(2, how)
        with serve(site) as base:
            assert gzip_run(output, *(f"{base}/{name}" for name in FILES)) == 0
        assert read_manifest(output).totals.written == 60
    calm, storm = (sorted(path for path in output.glob("shard-*")) for output in outputs)
    assert [path.read_bytes() for path in calm] == [path.read_bytes() for path in storm]


def test_a_server_that_is_down_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    site = Site(files=FILES)
    with serve(site) as base:
        site.fault = lambda number, path: Fault(status=503) if path == "b.jsonl" and number > 2 else None
        inputs = [f"{base}/{name}" for name in FILES]
        assert gzip_run(output, *inputs) == 1
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
        assert f"{base}/b.jsonl failed 3 times" in line
        assert not (output / "manifest.json").exists()
        site.fault = lambda number, path: None
        assert gzip_run(output, *inputs) == 0
    assert read_manifest(output).totals.written == 60


def test_a_file_that_cannot_be_read_counts_with_its_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "good.jsonl").write_bytes(jsonl(*({"text": "x"} for _ in range(1000))))
    # One reject among 1,001 documents, and nine tenths of the bytes.
    (corpus / "bad.jsonl.gz").write_bytes(b"no gzip file, but long" * 6000)
    assert gzip_run(tmp_path / "out", corpus) == 1
    message = capsys.readouterr().err
    assert "1 of 1001 documents were rejected (unreadable 1), 132,000 of 146,000 bytes of input could not be read" in (
        message
    )
    assert gzip_run(tmp_path / "out", corpus, options=("--max-reject-fraction", "0.95")) == 0
    (reject,) = [json.loads(line) for path in (tmp_path / "out/rejects").iterdir() for line in path.open()]
    assert (reject["source"], reject["reason"], reject["lost_bytes"]) == ("bad.jsonl.gz", "unreadable", 132_000)


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    corpus, output = tmp_path / "corpus", tmp_path / "out"
    (corpus / ".cache").mkdir(parents=True)
    (corpus / "a.jsonl").write_bytes(FILES["a.jsonl"])
    (corpus / "README.md").write_text("about it")
    os.symlink("a.jsonl", corpus / "b.jsonl")
    assert gzip_run(output, corpus) == 0
    rows = [json.loads(line) for line in (output / "not_read.jsonl").open()]
    assert rows == [
        {"path": f"{corpus}/.cache", "reason": "a directory that is not looked into", "size_bytes": None},
        {"path": f"{corpus}/README.md", "reason": "no records, beside files that hold some", "size_bytes": 8},
        {
            "path": f"{corpus}/b.jsonl",
            "reason": f"the same file as {corpus}/a.jsonl",
            "size_bytes": len(FILES["a.jsonl"]),
        },
    ]


@pytest.mark.parametrize("data", [b"", b"\n \n\t\r\n", b"\xef\xbb\xbf"])
def test_an_input_without_documents_is_no_dataset(
    data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.jsonl").write_bytes(data)
    assert gzip_run(tmp_path / "out", tmp_path / "empty.jsonl") == 2
    assert f"error: {tmp_path}/empty.jsonl holds no document" in capsys.readouterr().err
    assert not (tmp_path / "out/manifest.json").exists()


def test_what_to_do_next_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jsonl").write_bytes(FILES["a.jsonl"])
    output = tmp_path / "it's a dataset; $HOME"
    assert gzip_run(output, tmp_path / "a.jsonl") == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    (words,) = [shlex.split(line) for line in lines if line.startswith("python -m pipeline verify")]
    assert words == ["python", "-m", "pipeline", "verify", str(output)]


@pytest.mark.parametrize(
    "words", [["--text-field", "t\udce9"], ["--input", "caf\udce9.jsonl"], ["--output", "caf\udce9"]]
)
def test_arguments_that_are_not_utf8_are_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["preprocess", *words])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the argument ")
    assert "\\xe9" in line
    assert "is not UTF-8" in line
