"""Settings of the byte LM's training: a row for every size, options from the fields, refusals in one line."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest

from kernels.byte_lm_config import PRESETS
from pipeline.job.settings import LM_SIZES
from schemas.config import to_json
from schemas.errors import SettingsError
from trainer.byte_lm.settings import SIZES, ByteLMSettings, ByteLMTraining
from trainer.cli.lm import add, read_settings

OPTIONS = [
    *("--config", "--sample", "--out", "--device", "--threads"),
    *("--size", "--seed", "--final-lr-share", "--clip-norm", "--held-out-bytes"),
    *("--steps", "--rows", "--window-bytes", "--matrix-lr", "--matrix-momentum", "--other-lr", "--lr-warmup-steps"),
    "--checkpoint-steps",
]
"""A new option is a promise: it goes here, and its explanation below its field."""


def read(*words: str) -> ByteLMSettings:
    """The settings that a command line asks for."""
    parser = argparse.ArgumentParser()
    add(parser)
    return read_settings(parser.parse_args(["--sample", "s.arrow", "--out", "lm", *words]))


def test_the_list_of_options_is_frozen() -> None:
    parser = argparse.ArgumentParser()
    add(parser)
    assert [action.option_strings[0] for action in parser._actions if action.dest != "help"] == OPTIONS


@pytest.mark.parametrize("size", PRESETS)
def test_every_size_has_defaults_that_make_a_training(size: str) -> None:
    training = read("--size", size).training
    assert training == ByteLMTraining.for_size(size)
    assert training.lr_warmup_steps < training.steps and training.checkpoint_steps < training.steps
    assert training.window_bytes <= PRESETS[size].attention_bytes


def test_sizes_have_one_set_of_names() -> None:
    assert list(SIZES) == list(PRESETS) == list(LM_SIZES)


def test_what_is_typed_wins_over_a_file_and_a_file_over_the_size(tmp_path: Path) -> None:
    path = tmp_path / "lm.json"
    path.write_text(json.dumps({"training": {"size": "40m", "steps": 7, "rows": 3}}))
    found = read("--config", str(path), "--rows", "5").training
    assert found == ByteLMTraining.for_size("40m", steps=7, rows=5)
    path.write_text(json.dumps(to_json(read("--steps", "9", "--device", "cuda"))))
    assert read("--config", str(path)) == read("--steps", "9", "--device", "cuda")


@pytest.mark.parametrize("name", ["steps", "rows", "window_bytes", "lr_warmup_steps", "checkpoint_steps"])
def test_counts_of_zero_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"--{name.replace('_', '-')} is 0, it must be at least 1"):
        ByteLMTraining.for_size("tiny", **{name: 0})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("matrix_lr", 0.0),
        ("matrix_momentum", 1.0),
        ("other_lr", float("nan")),
        ("clip_norm", -1.0),
        ("final_lr_share", 1.5),
        ("size", "huge"),
    ],
)
def test_values_out_of_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"--{name.replace('_', '-')} is "):
        replace(ByteLMTraining.for_size("tiny"), **{name: value})


def test_content_is_all_that_decides_the_weights() -> None:
    training = ByteLMTraining.for_size("tiny")
    for name in ("checkpoint_steps", "held_out_bytes"):
        assert replace(training, **{name: 12345}).content() == training.content()
    for name, value in training.content().items():
        other = "40m" if name == "size" else value * 0.5 if isinstance(value, float) else value + 1
        assert replace(training, **{name: other}).content() != training.content(), name
