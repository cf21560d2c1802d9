"""The options of `train`, `generate`, `plot` and `export` are frozen and explained; any bytes can be a prompt."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.trainer.models import small_model
from tests.trainer.runs import ROOT, environment
from trainer.__main__ import main
from trainer.cli import parser as cli
from trainer.model.hf_export import export_model, import_model
from trainer.training.sizes import SIZES

OPTIONS = {
    "train": [
        *("--config", "--data", "--out", "--size", "--arm", "--compressor", "--literals", "--seed"),
        "--held-out-share",
        *("--interleave", "--prefetch", "--final-lr-share", "--optimizer", "--matrix-lr", "--matrix-momentum"),
        *("--look-back", "--weight-decay", "--adam-beta1", "--adam-beta2", "--adam-eps"),
        *("--clip-norm", "--keep-checkpoints", "--log-steps", "--compile", "--device", "--cache", "--cache-bytes"),
        *("--mode", "--compressed-fraction", "--initial-compressed-fraction", "--mixing-warmup-steps"),
        *("--symbol-heads", "--raw-heads", "--steps", "--batch-symbols", "--sequence-length", "--micro-batch-size"),
        *("--peak-lr", "--lr-warmup-steps", "--lanes", "--checkpoint-steps", "--eval-every", "--eval-bytes"),
        *("--sharding", "--recompute"),
    ],
    "generate": [
        *("model", "--prompt", "--max-bytes", "--temperature", "--top-p", "--seed", "--speculate", "--device"),
    ],
    "serve": [
        *("model", "--name", "--host", "--port", "--rows", "--waiting", "--max-prompt-bytes", "--max-bytes"),
        *("--max-body-bytes", "--request-seconds", "--device"),
    ],
    "plot": ["runs", "--out"],
    "export": ["model", "--out", "--mode", "--dtype", "--shard-bytes"],
}
"""A new option is a promise: it goes here, and its explanation below its field, or not at all."""


def commands() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    (action,) = [a for a in cli.parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(action.choices)


@pytest.mark.parametrize("name", OPTIONS)
def test_the_list_of_options_is_frozen(name: str) -> None:
    actions = [action for action in commands()[name]._actions if action.dest != "help"]
    assert [(action.option_strings or [action.dest])[0] for action in actions] == OPTIONS[name]


@pytest.mark.parametrize("name", OPTIONS)
def test_help_explains_every_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([name, "--help"])
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    for action in commands()[name]._actions:
        assert action.help, action
        assert re.sub(r"\s+", " ", action.help).replace("%%", "%")[:30] in text.replace("- ", "-")


def test_the_sizes_in_the_help_are_those_of_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert f"--size {{{','.join(SIZES)}}}" in capsys.readouterr().out


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of an untrained model."""
    path = tmp_path_factory.mktemp("model")
    export_model(small_model(raw_heads=1), str(path))
    return path


def test_any_bytes_can_be_a_prompt(model: Path) -> None:
    words = [sys.executable, "-m", "trainer", "generate", str(model), "--max-bytes", "3", "--device", "cpu", "--prompt"]
    done = subprocess.run([*words, b"caf\xe9"], env=environment(), capture_output=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"caf\xe9")


def test_speculation_changes_no_byte(model: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    texts = []
    for words in ([], ["--no-speculate"]):
        assert main(["generate", str(model), "--max-bytes", "20", "--device", "cpu", *words]) == 0
        texts.append(capfdbinary.readouterr().out)
    assert texts[0] == texts[1]


def test_an_export_has_the_type_and_the_file_size_asked_for(model: Path, tmp_path: Path) -> None:
    words = ["--dtype", "bfloat16", "--shard-bytes", "20000"]
    assert main(["export", str(model), "--out", str(tmp_path), *words]) == 0
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    for one, two in zip(import_model(str(tmp_path)).parameters(), import_model(str(model)).parameters(), strict=True):
        assert torch.equal(one, two.bfloat16().float()) or one.shape[0] != two.shape[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "--config", "CONFIG"], "has size=[], which is not a value of that setting"),
        (["lm", "--sample", "x", "--out", "y", "--config", "TRAINING"], "has size=[], which is not a value of that"),
        (["train", "--out", ""], "--out is empty; give a path"),
        (["export", "--out", ""], "--out is empty; give a path"),
        (["generate", "--max-bytes", "-1"], "--max-bytes is -1; give 0 or more"),
        (["generate", "--seed", "-1"], "--seed is -1; give 0 or more"),
        (["evaluate", "bpb", "--max-bytes", "-5"], "--max-bytes is -5; give 1 or more, or 0 for all"),
        (["evaluate", "bpb", "--cache-bytes", "0"], "--cache-bytes is 0; give"),
        (["evaluate", "translation", "--out", "CONFIG/x/y.json"], "choose another --out"),
        (["plot", "nowhere", "--out", "CONFIG/x/y.png"], "choose another --out"),
    ],
)
def test_small_mistakes_end_in_one_line_before_any_work(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"CONFIG": {"size": []}, "TRAINING": {"training": {"size": []}}}
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
        words = [word.replace(name, str(tmp_path / name)) for word in words]
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and said in line


def test_threads_that_wait_sleep_unless_the_user_says_otherwise() -> None:
    """OpenMP says what it was told when torch loads it; the command itself ends for want of a sample."""
    words = [sys.executable, "-m", "trainer", "lm", "--sample", "nowhere", "--out", "nowhere"]
    for given, expected in (({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")):
        env = {**environment(), "OMP_DISPLAY_ENV": "TRUE", **given}
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=False, cwd=ROOT)
        assert "no sample at nowhere" in done.stderr
        assert re.search(rf"OMP_WAIT_POLICY *= *'{expected}'", done.stderr), done.stderr
