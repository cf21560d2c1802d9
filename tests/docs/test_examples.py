"""The programs of docs/examples run, on a small dataset, as their docstrings say."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.preprocess import add_preprocess_options
from pipeline.cli.preprocess import read_settings as read_preprocess
from trainer.cli.train import add as add_train
from trainer.cli.train import read_settings as read_train
from trainer.training.settings import TrainSettings

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = sorted((ROOT / "docs/examples").glob("*.py"))


def test_there_are_three_short_examples() -> None:
    assert len(EXAMPLES) == 3
    assert all(len(path.read_text("utf-8").splitlines()) <= 30 for path in EXAMPLES)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_command_of_an_example_runs(path: Path, workplace: Path) -> None:
    pytest.importorskip("pandas")
    (command,) = re.findall(r"^ *python (-m docs\.examples\..*)$", path.read_text("utf-8"), re.MULTILINE)
    words = [str(workplace / word) if word.startswith("data/") else word for word in shlex.split(command)]
    assert words[1] == f"docs.examples.{path.stem}"
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 3


def commands(*words: str) -> list[list[str]]:
    """The `python -m` commands that make would run, as words."""
    shown = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = [shlex.split(line) for line in shown.replace("\\\n", " ").splitlines() if " -m " in line]
    return [line[line.index("-m") + 1 :] for line in lines if "pip" not in line]


def test_the_demonstration_is_what_is_trained_where_nothing_is_named() -> None:
    """Its pieces hold both encodings in one row, it is proxy training, and no real run has its settings."""
    preprocess, train = commands("train")
    assert (preprocess[:2], train[:2]) == (["pipeline", "preprocess"], ["trainer", "train"])
    parser = argparse.ArgumentParser()
    add_preprocess_options(parser)
    data = read_preprocess(parser.parse_args(preprocess[2:]), [])
    demo = train_settings(train[2:])
    assert (data.output, demo.data, demo.run_dir) == ("data/demo", "data/demo", "runs/demo")
    assert data.models.neural.window_bits == 12 and data.compressors == ("neural",)
    # Below two and a half bytes a symbol, which none of our corpora is, a pair of a longest piece would be cut.
    assert data.corpus.read.split_bytes * (1 + 1 / 2.5) + 8 < demo.sequence_length
    assert demo.mixing.mode == "pair-warmup" and demo.mixing.compressed_fraction > 0.5
    assert demo.mixing.warmup_steps == demo.steps // 5 and demo.steps % demo.checkpoint_steps == 0
    assert (demo.optimizer, demo.look_back) == ("muon", True)
    for words in ("SIZE=7b", "DATA=data/mine", "RECIPE=paper", "RUN=runs/mine"):
        (real,) = commands("train", words)
        settings = train_settings(real[2:])
        assert (settings.optimizer, settings.look_back, settings.mixing.compressed_fraction) == ("adamw", False, 0.9)


def train_settings(words: list[str]) -> TrainSettings:
    parser = argparse.ArgumentParser()
    add_train(parser)
    return read_train(parser.parse_args(words))
