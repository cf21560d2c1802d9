"""Every mistake of a user's ends in one line and exit 2; the list of options is frozen."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import sentencepiece
import torch

from pipeline.__main__ import main
from pipeline.cli import parser as cli
from schemas.byte_lm_files import CONFIG_NAME
from tests.pipeline.corpora import jsonl, texts
from tests.pipeline.runs import Models, Preprocess, manifest, times, write_micro_lm

ROOT = Path(__file__).parents[3]

READ = ["--input", "--text-field", "--id-field", "--language-field", "--source-field"]
READ += ["--max-document-bytes", "--split-bytes"]
OPTIONS = {
    "preprocess": [
        "--config",
        *READ,
        *(
            "--output",
            "--compressors",
            "--lm",
            "--tokenizer",
            "--tokenizer-vocabulary",
            "--sample-bytes",
            "--theta",
            "--jump",
        ),
        *(
            "--boundary-score",
            "--score-context-bytes",
            "--context",
            "--max-segment-bytes",
            "--window-bits",
            "--token-width-bytes",
            "--token-code",
            "--compressors-of",
            "--shards",
        ),
        *("--unit-bytes", "--compression", "--write-entropy", "--learn-once", "--max-reject-fraction", "--workers"),
        "--device",
        "--runner",
    ],
    "sample": [*READ, "--sample-bytes", "--out"],
    "tokenizer": [*READ, "--sample-bytes", "--vocabulary", "--out"],
    "verify": ["dataset", "--by-model", "--device"],
    "decode": ["dataset", "--out", "--compressor"],
    "show": ["shard", "--view", "--head", "--compressor", "--width"],
    "analyze": ["dataset", "--out", "--documents", "--texts", "--seed"],
    "plan": ["--bytes", "--workers", "--gpus", "--processes", "--unit-bytes", "--lm", "--dataset", "--rate"],
    "reformat": ["dataset", "--out", "--texts"],
}
"""A new option is a promise: it goes into the README and here, or not at all."""


def commands() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    (action,) = [a for a in cli.parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(action.choices)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A file of ten documents."""
    (tmp_path / "corpus.jsonl").write_bytes(jsonl(*({"text": text} for text in texts(10))))
    return tmp_path / "corpus.jsonl"


def refused(capsys: pytest.CaptureFixture[str], status: int, *words: str, code: int = 2) -> str:
    """The one line that a refused command leaves on stderr, which holds all of `words`."""
    captured = capsys.readouterr()
    assert status == code, captured
    lines = captured.err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]
    return lines[0]


def exit_status(arguments: list[str]) -> int:
    """The exit status of main, also where the parser exits by itself."""
    try:
        return main(arguments)
    except SystemExit as stopped:
        assert isinstance(stopped.code, int)
        return stopped.code


def test_the_list_of_options_is_frozen() -> None:
    found = {
        name: [(action.option_strings or [action.dest])[-1] for action in parser._actions if action.dest != "help"]
        for name, parser in commands().items()
    }
    assert found == OPTIONS


@pytest.mark.parametrize("name", OPTIONS)
def test_help_explains_every_option_with_its_default(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status([name, "--help"]) == 0
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    for action in commands()[name]._actions:
        assert action.help, action
        says_default = "default" in action.help or action.default in (None, False, "", argparse.SUPPRESS)
        assert says_default or f"(default: {action.default})" in text, action
    for option in OPTIONS[name]:
        assert option.removeprefix("--") in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--shards", "0"], ["--shards is 0", "at least 1"]),
        (["--shards", "-3"], ["--shards is -3"]),
        (["--shards", "many"], ["--shards", "invalid int value: 'many'", "--help"]),
        (["--unit-bytes", "0"], ["--unit-bytes is 0", "at least 1"]),
        (["--unit-bytes", "1", "--compressors", "gzip"], ["shards", "99999", "--unit-bytes"]),
        (["--compressors", "neural,zip"], ["'neural,zip'", "neural, tokenizer, gzip, token_bytes"]),
        (["--compressors", ""], ["--compressors is ''"]),
        (["--compressors", "gzip,gzip"], ["each once"]),
        (["--theta", "warm"], ["theta is 'warm'", "quantile="]),
        (["--theta", "nan"], ["theta is 'nan'"]),
        (["--theta", "33"], ["theta is '33'", "bits is 0 to 32"]),
        (["--theta", "quantile=1.5"], ["quantile is 0 to 1"]),
        (["--theta", "mean=3"], ["theta is 'mean=3'", "quantile=, mean_bytes= or bytes_per_symbol="]),
        (["--jump", "warm"], ["--jump: jump is 'warm'; give bits or quantile="]),
        (["--jump", "mean_bytes=3"], ["jump is 'mean_bytes=3'"]),
        (
            ["--boundary-score", "entropy"],
            ["--boundary-score", "'entropy'", "pair_surprisal", "context_entropy", "document_entropy"],
        ),
        (["--score-context-bytes", "0"], ["--score-context-bytes is 0", "1 to 8", "--boundary-score document_entropy"]),
        (["--score-context-bytes", "9"], ["--score-context-bytes is 9", "1 to 8"]),
        (["--score-context-bytes", "9", "--compressors", "gzip"], ["--score-context-bytes is 9", "1 to 8"]),
        (["--score-context-bytes", "two"], ["'two'"]),
        (["--boundary-score", "pair_surprisal"], ["--score-context-bytes is 1", "--boundary-score context_entropy"]),
        (["--max-segment-bytes", "0"], ["--max-segment-bytes is 0"]),
        (["--window-bits", "9"], ["--window-bits is 9", "10 to 16"]),
        (["--context", "page"], ["--context", "'page'", "segment"]),
        (["--token-width-bytes", "4"], ["--token-width-bytes is 4", "2 or 3"]),
        (["--tokenizer-vocabulary", "256"], ["--tokenizer-vocabulary is 256", "300"]),
        (["--sample-bytes", "0"], ["--sample-bytes is 0"]),
        (["--max-document-bytes", "0"], ["--max-document-bytes is 0"]),
        (["--max-reject-fraction", "1.1"], ["--max-reject-fraction is 1.1", "0 to 1"]),
        (["--max-reject-fraction", "nan"], ["0 to 1"]),
        (["--workers", "0"], ["--workers is 0"]),
        (["--compression", "lz4"], ["'lz4'", "zstd"]),
        (["--write-entropy", "--compressors", "gzip"], ["--write-entropy", "neural"]),
        (["--frobnicate"], ["unknown option '--frobnicate'", "--help"]),
        (["stray.jsonl", "--shards", "1"], ["'stray.jsonl'"]),
        (["--device", "abacus"], ["'abacus'", "cpu or cuda"]),
        (["--device", "cpu:1"], ["'cpu:1'"]),
        (["--runner", "Nonsense"], ["--runner Nonsense", "FnApiRunner"]),
        (["--runner", "no.such.Runner"], ["--runner no.such.Runner"]),
        (["--input", "/nowhere/at/all"], ["/nowhere/at/all", "no file matches"]),
        (["--input", "nothing/*.jsonl"], ["nothing/*.jsonl"]),
        (["--input", "nowhere://x/y"], ["nowhere://x/y"]),
        (["--output", ""], ["--output is empty"]),
        (["--lm", ""], ["--lm is empty"]),
        (["--output", "/sys"], ["cannot write to /sys", "--output"]),
        (["--output", "/proc/nothing/out"], ["cannot write to /proc/nothing/out", "--output"]),
        (["--output", "nowhere://x/y"], ["nowhere://x/y is in no store", "s3://"]),
        (["--lm", "/nowhere"], ["no byte LM at /nowhere", "lm.json", "make lm"]),
        (["--tokenizer", "/nowhere.model"], ["no tokenizer at /nowhere.model", "SentencePiece"]),
        (["--text-field", ""], ["--text-field is ''"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("--") else "",
)
def test_wrong_arguments(
    options: list[str],
    words: list[str],
    corpus: Path,
    tmp_path: Path,
    models: Models,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if "--unit-bytes" in options and "1" in options:
        corpus.write_bytes(b" " * 100_001)
    given = ["--input", str(corpus), "--output", "out", *models.options]
    refused(capsys, exit_status(["preprocess", *given, *options]), *words)
    assert not list(tmp_path.glob("out/shard-*"))
    assert not list(tmp_path.glob("out/manifest.json"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("lm", ["given", "tiny"])
def test_cuda_without_a_gpu(
    lm: str, corpus: Path, tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--device", "cuda", "--compressors", "neural", *(["--lm", "tiny"] if lm == "tiny" else [])]
    refused(capsys, preprocess(corpus, tmp_path / "out", *options), "--device is 'cuda'", "0 CUDA devices", "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_verify_with_cuda_without_a_gpu(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, main(["verify", str(finished / "out"), "--device", "cuda"]), "0 CUDA devices")


@pytest.mark.parametrize("command", ["sample", "tokenizer"])
@pytest.mark.parametrize("size", ["0", "-5"])
def test_a_sample_without_room_is_not_blamed_on_the_input(
    command: str, size: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [command, "--input", str(corpus), "--out", str(tmp_path / "made"), "--sample-bytes", size]
    refused(capsys, exit_status(words), f"--sample-bytes is {size}; give at least 1")


@pytest.mark.parametrize(
    "arguments", [[], ["frobnicate"], ["verify"], ["verify", "x", "--frobnicate"], ["decode", "x"]]
)
def test_wrong_commands(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, exit_status(arguments), "--help")


@pytest.mark.parametrize("command", ["verify", "decode", "show"])
def test_commands_on_what_is_no_dataset(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rest = ["--out", str(tmp_path / "back")] if command == "decode" else []
    refused(capsys, main([command, str(tmp_path), *rest]), str(tmp_path), "python -m pipeline preprocess")
    refused(capsys, main([command, str(tmp_path / "nothing"), *rest]), "nothing")


def test_a_damaged_lm(corpus: Path, tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]) -> None:
    lm = Path(write_micro_lm(tmp_path / "lm"))
    (lm / "weights.safetensors").write_bytes(b"short")
    refused(capsys, preprocess(corpus, tmp_path / "out", "--lm", str(lm)), "cannot be read", str(lm), "make lm")
    (lm / CONFIG_NAME).write_bytes(b'{"config": 1}')
    refused(capsys, preprocess(corpus, tmp_path / "out", "--lm", str(lm)), "has format 1", str(lm))


def test_given_artifacts_are_looked_at_before_anything_is_made(
    corpus: Path, tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--lm", "tiny", "--tokenizer", str(tmp_path / "none.model")]
    refused(capsys, preprocess(corpus, tmp_path / "out", *options), "no tokenizer at")
    assert not list((tmp_path / "out/compressors").rglob("*.arrow"))


def test_a_tokenizer_that_does_not_round_trip(
    corpus: Path, tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts(60)),
        model_prefix=str(tmp_path / "lossy"),
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    given = str(tmp_path / "lossy.model")
    line = refused(capsys, preprocess(corpus, tmp_path / "out", "--tokenizer", given), given, "make tokenizer")
    assert " turns '" in line
    assert not list((tmp_path / "out/compressors/tokenizer").glob("*.model"))


def test_a_file_that_is_no_tokenizer(
    corpus: Path, tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    status = preprocess(corpus, tmp_path / "out", "--tokenizer", str(corpus))
    refused(capsys, status, str(corpus), "not a whole SentencePiece model")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--shards", "3"), ["another run"]),
        (("--compression", "none"), ["another run"]),
        (("--write-entropy",), ["another run"]),
        (("--compressors", "gzip"), ["another run"]),
        (("--max-document-bytes", "500"), ["max_document_bytes=67108864", "asked is max_document_bytes=500"]),
        (("--token-code", "gray"), ["another run"]),
        (("--theta", "3"), ["theta=quantile=0.6", "asked is theta=bits=3"]),
        (("--score-context-bytes", "2"), ["score_context_bytes=1"]),
        (("--boundary-score", "document_entropy", "--score-context-bytes", "2"), ["boundary_score=context_entropy"]),
        (("--max-segment-bytes", "9"), ["max_segment_bytes=32"]),
        (("--context", "document"), ["context=segment"]),
        (("--window-bits", "12"), ["window_bits=16", "asked is window_bits=12"]),
        (("--sample-bytes", "1000000"), ["sample_bytes=67108864", "asked is sample_bytes=1000000"]),
        (("--lm", "tiny"), ["lm=given", "lm=tiny"]),
        (("--tokenizer", ""), ["tokenizer=given", "tokenizer=trained"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("--") else "",
)
def test_an_output_of_another_run(
    options: tuple[str, ...],
    words: list[str],
    finished: Path,
    preprocess: Preprocess,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = times(finished / "out")
    status = preprocess(finished / "corpus", finished / "out", "--shards", "4", *options)
    refused(capsys, status, "choose another --output", *words)
    assert times(finished / "out") == before


def test_an_output_of_another_corpus(
    corpus: Path, finished: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(capsys, preprocess(corpus, finished / "out", "--shards", "4"), "another run", "choose another --output")


def test_an_output_of_other_models(
    finished: Path, tmp_path: Path, preprocess: Preprocess, models: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ("--shards", "4")
    lm = write_micro_lm(tmp_path / "lm", seed=1)
    refused(capsys, preprocess(finished / "corpus", finished / "out", *run, "--lm", lm), "another byte LM", lm)
    other = tmp_path / "other.model"
    other.write_bytes(Path(models.tokenizer).read_bytes() + b"\0")
    options = (*run, "--tokenizer", str(other))
    refused(capsys, preprocess(finished / "corpus", finished / "out", *options), "another model", str(other))


def test_a_killed_run_with_other_models(
    corpus: Path, tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    """Artifacts that stand already are held to the same rule as a whole dataset."""
    trained = ("--tokenizer", "", "--compressors", "tokenizer", "--tokenizer-vocabulary")
    assert preprocess(corpus, tmp_path / "out", *trained, "310") == 0
    (tmp_path / "out/manifest.json").unlink()
    status = preprocess(corpus, tmp_path / "out", *trained, "320")
    refused(capsys, status, "tokenizer_vocabulary=310", "asked is tokenizer_vocabulary=320")
    assert preprocess(corpus, tmp_path / "out", *trained, "310") == 0


def test_a_foreign_manifest(
    corpus: Path, dataset: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    value = manifest(dataset)
    (dataset / "manifest.json").write_text(json.dumps({**value, "format_version": 99}))
    refused(capsys, preprocess(corpus, dataset), "format version 99")
    (dataset / "manifest.json").write_text("{}")
    refused(capsys, preprocess(corpus, dataset), "manifest.json")
    (dataset / "manifest.json").write_text("not json")
    refused(capsys, preprocess(corpus, dataset), "not JSON")


def test_an_output_that_is_a_file(
    corpus: Path, tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(capsys, preprocess(corpus, corpus), "--output")
    refused(capsys, preprocess(corpus, corpus / "out"), "cannot write to", "choose another --output")
    assert corpus.stat().st_size > 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_that_may_not_be_written(
    corpus: Path, tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
    refused(capsys, preprocess(corpus, tmp_path / "out"), "cannot write to", "choose another --output")


def test_an_output_inside_the_input(
    tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "main.py").write_text("x = 1\n")
    words = ["lies in the input", "choose a place outside"]
    refused(capsys, preprocess(tmp_path, tmp_path / "data/out", "--compressors", "gzip"), *words)
    monkeypatch.chdir(tmp_path)
    refused(capsys, preprocess(Path("."), "data/out", "--compressors", "gzip"), *words)
    assert [path.name for path in tmp_path.iterdir()] == ["main.py"]


def test_a_glob_that_reaches_into_the_output(
    tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl({"text": "a"}) * 30 + b"bad\n")
    pattern = tmp_path / "**" / "*.jsonl"
    assert preprocess(pattern, tmp_path / "out", "--compressors", "gzip") == 0
    refused(capsys, preprocess(pattern, tmp_path / "out", "--compressors", "gzip"), "rejects", "--output")


@pytest.mark.parametrize("command", ["sample", "tokenizer"])
def test_out_files_that_cannot_be(
    command: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [command, "--input", str(corpus), "--out"]
    refused(capsys, main([*given, str(tmp_path)]), "is a directory")
    refused(capsys, main([*given, str(corpus / "x")]), "choose another --out")
    refused(capsys, main([command, "--input", str(tmp_path / "none"), "--out", str(tmp_path / "x")]), "no file matches")


def test_sample_and_tokenizer_write_their_files(
    corpus: Path, tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "models/t.model"
    assert main(["sample", "--input", str(corpus), "--out", str(tmp_path / "models/s.arrow")]) == 0
    assert "s.arrow: 10 documents" in capsys.readouterr().out
    assert main(["tokenizer", "--input", str(corpus), "--vocabulary", "320", "--out", str(model)]) == 0
    assert f"TOKENIZER={model}" in capsys.readouterr().out
    run = ("--compressors", "tokenizer", "--tokenizer", str(model))
    assert preprocess(corpus, tmp_path / "out", *run) == 0
    assert (tmp_path / "out/compressors/tokenizer/tokenizer.model").read_bytes() == model.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["preprocess", "--input", "{none}", "--output", "{out}"], 2, "no file matches"),
        (["preprocess", "--input", "{corpus}", "--output", "{out}", "--compressors", "gzip"], 1, "were rejected"),
    ],
)
def test_as_a_process(arguments: list[str], code: int, word: str, tmp_path: Path) -> None:
    """The same from the outside: exit status, one line of error, no traceback."""
    (tmp_path / "corpus.jsonl").write_bytes(b"bad\n")
    places = {"none": tmp_path / "none", "out": tmp_path / "out", "corpus": tmp_path / "corpus.jsonl"}
    words = [argument.format(**places) for argument in arguments]
    run = subprocess.run(
        [sys.executable, "-m", "pipeline", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == code
    errors = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert word in errors[0]
    assert run.stderr.splitlines()[-1] == errors[0]
    assert "Traceback" not in run.stderr
    assert run.stdout == ""


def test_a_lost_artifact_of_a_finished_dataset(
    dataset: Path, finished: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(dataset / "compressors/neural")
    refused(capsys, preprocess(finished / "corpus", dataset, "--shards", "4"), "no neural compressor at")


def test_a_locale_in_which_names_are_not_utf8(tmp_path: Path) -> None:
    """There é.py would have another name, and so another id, or none."""
    (tmp_path / "é.py").write_text("x = 1\n")
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    run = subprocess.run(
        [sys.executable, "-m", "pipeline", "preprocess", "--input", str(tmp_path), "--output", str(tmp_path / "out")],
        cwd=ROOT,
        env={**os.environ, **locale},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == "error: names of files are ascii in this locale, not UTF-8; set PYTHONUTF8=1\n"
