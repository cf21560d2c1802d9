"""`python -m trainer evaluate`: from a model to results.json, and one line for every mistake."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from unittest.mock import patch

import pytest

from schemas.held_out import is_held_out
from tests.trainer.datasets import make_texts, write_dataset
from tests.trainer.evaluation.code.files import HUMANEVAL, lines, write_files
from tests.trainer.evaluation.trained import knows_one
from trainer.__main__ import main
from trainer.cli import parser as cli
from trainer.evaluation.code import completions as samples
from trainer.model.hf_export import export_model

SCORING = [
    *("--data-dir", "--task", "--limit", "--seed", "--overwrite", "--allow-code-execution", "--suite", "--sandbox"),
    *("--workers", "--exclude"),
]
CACHE = ("--cache", "--cache-bytes")
OPTIONS = {
    "bpb": ["model", "--data", "--held-out-share", "--sequence-length", "--max-bytes", *CACHE, "--device"],
    "code": [
        *("model", *SCORING, "--out", "--samples", "--temperature", "--top-p", "--max-new-bytes", "--context"),
        *("--truncate-left", "--batch-size", "--device"),
    ],
    "score": ["samples", *SCORING],
    "translation": [
        *(
            "model",
            "--data",
            "--compressor",
            "--documents",
            "--positions",
            "--held-out-share",
            "--out",
            *CACHE,
            "--device",
        ),
    ],
}
"""A new option is a promise: it goes into the README and here, or not at all."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of the model that knows one solution."""
    path = tmp_path_factory.mktemp("model") / "export"
    export_model(knows_one(), str(path), mode="plain", positions=256)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_files(tmp_path / "data")


def measures() -> dict[str, argparse.ArgumentParser]:
    """The parser of each measure."""
    (top,) = [a for a in cli.parser()._actions if isinstance(a, argparse._SubParsersAction)]
    (own,) = [a for a in top.choices["evaluate"]._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(own.choices)


@pytest.mark.parametrize("name", OPTIONS)
def test_the_options_are_frozen(name: str) -> None:
    actions = [action for action in measures()[name]._actions if not isinstance(action, argparse._HelpAction)]
    assert [(action.option_strings or [action.dest])[0] for action in actions] == OPTIONS[name]
    assert all(action.help for action in actions)


def evaluate(*words: object) -> int:
    return main(["evaluate", *map(str, words)])


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line on stderr of a command that exits with 2."""
    try:
        status = evaluate(*words)
    except SystemExit as stopped:
        status = stopped.code  # type: ignore[assignment]
    captured = capsys.readouterr()
    assert (status, captured.out) == (2, "")
    (line,) = [line for line in captured.err.splitlines() if not line.startswith("warning: ")]
    assert line.startswith("error: ")
    return line


def sampled(model: Path, data: Path, out: Path, *more: object) -> list[object]:
    return ["code", model, "--data-dir", data, "--out", out, "--max-new-bytes", 30, "--device", "cpu", *more]


def test_from_model_to_results(model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert evaluate(*sampled(model, data, out, "--allow-code-execution", "--workers", 2)) == 0
    rows = [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]
    assert [row["task_id"] for row in rows] == ["HumanEval/0", "HumanEval/1"]
    assert rows[0]["solution"] == HUMANEVAL[0]["prompt"] + HUMANEVAL[0]["canonical_solution"]
    results = json.loads((out / "results.json").read_text())
    assert results["pass_at_k"]["plus"]["1"]["value"] == 0.5
    assert results["verdicts"]["HumanEval/0"] == [{"base": "passed", "plus": "passed"}]
    assert results["scorer"] == "builtin" and results["official"].startswith("HUMANEVAL_OVERRIDE_PATH=")
    assert "plus pass@1: 50.0 % (0.0 % to 100.0 %)" in capsys.readouterr().out
    before = (out / "results.json").read_bytes()
    score = ["score", out / "samples.jsonl", "--data-dir", data, "--allow-code-execution", "--workers", 1]
    assert evaluate(*score, "--overwrite") == 0
    assert (out / "results.json").read_bytes() == before


def test_no_code_runs_unless_it_is_allowed(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with patch("trainer.evaluation.code.sandbox.subprocess.Popen", side_effect=AssertionError("something was run")):
        assert evaluate(*sampled(model, data, tmp_path / "out")) == 0
        capsys.readouterr()
        line = refused(capsys, "score", tmp_path / "out" / "samples.jsonl", "--data-dir", data)
    assert "runs code that a model wrote" in line and "--allow-code-execution" in line
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["samples.jsonl"]


@pytest.mark.parametrize("killed_after", [0, 3])
def test_an_interrupted_run_ends_in_the_same_bytes(
    model: Path, data: Path, tmp_path: Path, killed_after: int, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--task", "recode", "--samples", 2, "--temperature", 0.8, "--batch-size", 5]
    assert evaluate(*sampled(model, data, tmp_path / "whole", *settings)) == 0
    real, done = samples._batch, []

    def interrupted(*arguments: object) -> object:
        if len(done) == killed_after:
            raise KeyboardInterrupt
        done.append(1)
        return real(*arguments)  # type: ignore[arg-type]

    out = tmp_path / "out"
    with patch.object(samples, "_batch", interrupted):
        assert evaluate(*sampled(model, data, out, *settings)) == 130
    assert [path.name for path in out.iterdir()] == ["samples.unfinished.jsonl"]
    capsys.readouterr()
    assert "was begun with other settings" in refused(capsys, *sampled(model, data, out, *settings, "--seed", 1))
    with patch.object(samples, "_batch", wraps=real) as batches:
        assert evaluate(*sampled(model, data, out, *settings)) == 0
    assert batches.call_count == 5 - killed_after
    assert (out / "samples.jsonl").read_bytes() == (tmp_path / "whole" / "samples.jsonl").read_bytes()
    assert [path.name for path in out.iterdir()] == ["samples.jsonl"]


def test_bits_per_byte_of_held_out_documents(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = write_dataset(tmp_path / "dataset", make_texts([20]))
    words = ["bpb", model, "--data", dataset, "--sequence-length", 32, "--device", "cpu"]
    assert evaluate(*words, "--held-out-share", 0.5) == 0
    out = capsys.readouterr().out
    assert " bits per byte over " in out and "held-out documents, windows of 32 symbols" in out
    assert "holds out no documents at a share of 0.0" in refused(capsys, *words, "--held-out-share", 0)


def test_a_run_that_never_saw_raw_bytes_is_scored_by_its_symbols_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bits per raw byte are Σ bits of the symbols over the raw bytes; what reads raw bytes refuses it by its mode."""
    texts = make_texts([30, 30])
    data, run = str(write_dataset(tmp_path / "data", texts)), str(tmp_path / "run")
    words = ["--data", data, "--out", run, "--size", "pico", "--mode", "comp-only", "--raw-heads", "0", "--steps", "1"]
    words += ["--sequence-length", "64", "--batch-symbols", "128", "--micro-batch-size", "1", "--lanes", "2"]
    assert main(["train", *words, "--held-out-share", "0.3", "--device", "cpu"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "bpb", run, "--data", data]) == 0
    said = capsys.readouterr().out
    held_out = [text for text in texts if is_held_out(text.doc_id, 0.3)]
    size = sum(len(text.raw) for text in held_out)
    assert f" over {size:,} raw bytes of {len(held_out)} held-out documents, read as neural symbols alone" in said
    # After one step a symbol of 65,536 costs about 16 bits.
    expected = 16 * sum(len(text.symbols) for text in held_out) / size
    assert float(said.split()[0]) == pytest.approx(expected, rel=0.1)
    for command in (
        ["generate", run],
        ["evaluate", "translation", run, "--data", data],
        ["export", run, "--out", str(tmp_path / "hf")],
        ["serve", run, "--port", "0"],
    ):
        assert main(command) == 2
        assert capsys.readouterr().err.startswith(
            "error: this model was trained in mode comp-only and never saw raw"
        ), command
    assert not (tmp_path / "hf").exists()


def test_a_part_has_a_name_of_its_own(model: Path, data: Path, tmp_path: Path) -> None:
    assert evaluate(*sampled(model, data, tmp_path / "out", "--limit", 1)) == 0
    path = tmp_path / "out" / "samples.partial.jsonl"
    assert len(path.read_text().splitlines()) == 1
    score = ["score", path, "--data-dir", data, "--allow-code-execution", "--suite", "base"]
    assert evaluate(*score, "--limit", 1) == 0
    assert evaluate(*score, "--limit", 2, "--overwrite") == 2


def test_mistakes_end_in_one_line_and_write_nothing(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for more, message in (
        (["--temperature", -1], "--temperature is -1.0; give 0 (greedy) or more"),
        (["--samples", 2], "2 samples at temperature 0 would all be the same"),
        (["--top-p", 0], "--top-p is 0.0; give a number above 0"),
        (["--max-new-bytes", 0], "must be 1 or more"),
        (["--context", 40], "passes the context of 40 symbols; give a smaller --max-new-bytes, or --truncate-left"),
        (["--limit", -1], "--limit is -1; give"),
        (["--data-dir", tmp_path / "nowhere"], "nowhere; --data-dir is where the files of humaneval lie"),
        (["--task", "apps"], "invalid choice: 'apps'"),
        (["--task", "recode", "--suite", "plus", "--allow-code-execution"], "recode has no plus tests"),
        (["--workers", -1, "--allow-code-execution"], "--workers is -1; give"),
        (["--sandbox", "docker"], "invalid choice: 'docker'"),
        (["--samples", "many"], "invalid int value"),
    ):
        assert message in refused(capsys, *sampled(model, data, out, *more)), more
        assert not out.exists()
    line = refused(capsys, *sampled(tmp_path / "no-model", data, out))
    assert "no checkpoint at" in line and not out.exists()


def test_an_interrupt_says_what_is_left(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each at the moment that it is in: scoring has no checkpoints."""
    path = tmp_path / "samples.jsonl"
    path.write_bytes(lines([{"task_id": row["task_id"], "completion": row["canonical_solution"]} for row in HUMANEVAL]))
    score = ["--data-dir", data, "--allow-code-execution", "--workers", 1]
    with patch("trainer.evaluation.code.score.Scorer.judge", side_effect=KeyboardInterrupt):
        assert evaluate("score", path, *score) == 130
        assert capsys.readouterr().err == "stopped; no results were written\n"
        assert evaluate(*sampled(model, data, tmp_path / "out", *score[2:])) == 130
    complete = tmp_path / "out" / "samples.jsonl"
    message = f"stopped; no results were written, but {complete} is complete: score it with `evaluate score`\n"
    assert capsys.readouterr().err == message
    assert not list(tmp_path.glob("**/results*"))


def test_results_that_are_there_stay(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(lines([{"task_id": row["task_id"], "completion": row["canonical_solution"]} for row in HUMANEVAL]))
    score = ["score", path, "--data-dir", data, "--allow-code-execution", "--workers", 1]
    assert evaluate(*score) == 0
    capsys.readouterr()
    assert "results.json exists; give --overwrite" in refused(capsys, *score)
    path.write_bytes(lines([{"task_id": "HumanEval/0", "completion": 5}]))
    before = (tmp_path / "results.json").read_bytes()
    assert "samples.jsonl:1: field 'completion' is 5" in refused(capsys, *score, "--overwrite")
    assert (tmp_path / "results.json").read_bytes() == before


def test_problems_are_left_out_by_name(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "HumanEvalPlus.jsonl").write_bytes(lines([HUMANEVAL[0], {**HUMANEVAL[1], "canonical_solution": "    0\n"}]))
    path = tmp_path / "samples.jsonl"
    path.write_bytes(lines([{"task_id": row["task_id"], "completion": "    return 1\n"} for row in HUMANEVAL]))
    score = ["score", path, "--data-dir", data, "--allow-code-execution", "--suite", "base", "--workers", 1]
    assert "HumanEval/1 (base: wrong)" in refused(capsys, *score)
    assert not (tmp_path / "results.json").exists()
    assert evaluate(*score, "--exclude", "HumanEval/1") == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["arguments"]["exclude"] == "HumanEval/1"
    assert (results["problems"], results["samples"]) == (1, 1)
