"""Training of the byte LM: exact resume, equal losses on any number of ranks, a loss that falls."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from schemas.batches import Documents
from schemas.byte_lm_files import read_byte_lm
from schemas.errors import ArtifactError, SettingsError, TrainingError
from schemas.sample import Sample, write_sample
from tests.kernels.micro_lm import CONFIG
from tests.trainer.runs import ROOT, environment
from trainer.byte_lm import settings as byte_lm_settings
from trainer.byte_lm.settings import ByteLMTraining
from trainer.byte_lm.training import train_byte_lm
from trainer.training.checkpoint import checkpoints
from trainer.training.parallel import Distributed

TEXTS = [b"ab" * 40, b"x", b"hello world, hello"]
SAMPLE = Sample(train=Documents.from_bytes(TEXTS), held_out=Documents.from_bytes([b"abab" * 30]))
TRAINING = ByteLMTraining.for_size(
    "tiny", steps=6, rows=8, window_bytes=12, other_lr=0.01, lr_warmup_steps=2, checkpoint_steps=2
)
ALONE = Distributed(rank=0, size=1, device=torch.device("cpu"))


@pytest.fixture(autouse=True)
def micro_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the tiny size smaller still."""
    torch.set_num_threads(1)
    monkeypatch.setitem(byte_lm_settings.PRESETS, "tiny", CONFIG)


def train(out: Path, *, stop_after: int = 10**9, training: ByteLMTraining = TRAINING) -> list[float]:
    """Train, or begin to, and return the losses."""
    losses = []
    for step, loss in train_byte_lm(SAMPLE, training, out=str(out), dist=ALONE):
        losses.append(loss)
        if step >= stop_after:
            break
    return losses


@pytest.mark.parametrize("stop_after", [1, 2, 3, 5])
def test_a_stopped_training_ends_in_the_same_weights(stop_after: int, tmp_path: Path) -> None:
    train(tmp_path / "whole")
    train(tmp_path / "stopped", stop_after=stop_after)
    train(tmp_path / "stopped")
    assert read_byte_lm(str(tmp_path / "stopped")).digest == read_byte_lm(str(tmp_path / "whole")).digest


def test_other_settings_do_not_continue_a_training(tmp_path: Path) -> None:
    train(tmp_path, stop_after=3)
    with pytest.raises(ArtifactError, match="was made with seed=0, this run has 7"):
        train(tmp_path, training=replace(TRAINING, seed=7))


def test_the_loss_falls_and_is_reported(tmp_path: Path) -> None:
    losses = train(tmp_path, training=replace(TRAINING, steps=60, checkpoint_steps=100))
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 2
    files = read_byte_lm(str(tmp_path))
    assert files.training["held_out_bits_per_byte"] < 4
    assert files.training["held_out_scored_bytes"] == 120
    assert abs(files.training["quantising_costs_bits_per_byte"]) < 0.2


def test_a_sample_without_training_text_is_refused(tmp_path: Path) -> None:
    empty = Sample(train=Documents.from_bytes([]), held_out=Documents.from_bytes([b"x"]))
    with pytest.raises(ArtifactError, match="holds no training text"):
        list(train_byte_lm(empty, TRAINING, out=str(tmp_path), dist=ALONE))


def test_another_text_does_not_continue_a_training(tmp_path: Path) -> None:
    train(tmp_path, stop_after=3)
    other = replace(SAMPLE, train=Documents.from_bytes([*TEXTS[:-1], b"HELLO world, hello"]))
    with pytest.raises(ArtifactError, match="was made with text="):
        list(train_byte_lm(other, TRAINING, out=str(tmp_path), dist=ALONE))


def test_one_checkpoint_is_kept_and_a_half_written_one_is_passed_over(tmp_path: Path) -> None:
    train(tmp_path / "whole")
    train(tmp_path / "killed", stop_after=5)
    (saved,) = checkpoints(str(tmp_path / "killed"))
    assert Path(saved).name == "step-00000004"
    (tmp_path / "killed" / "checkpoints" / "step-00000006.tmp").mkdir()
    losses = train(tmp_path / "killed")
    assert len(losses) == 2
    assert read_byte_lm(str(tmp_path / "killed")).digest == read_byte_lm(str(tmp_path / "whole")).digest


def test_training_again_after_the_end_gives_the_same_files(tmp_path: Path) -> None:
    train(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    train(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()} == before


def test_a_training_that_diverges_says_what_to_lower(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="diverged at step .; lower --matrix-lr and --other-lr"):
        train(tmp_path, training=replace(TRAINING, steps=8, other_lr=1e30, matrix_lr=1e30))


def test_windows_that_ranks_cannot_share_are_refused(tmp_path: Path) -> None:
    two = replace(ALONE, size=2)
    with pytest.raises(SettingsError, match="--rows is 7, which 2 ranks cannot share evenly"):
        list(train_byte_lm(SAMPLE, replace(TRAINING, rows=7), out=str(tmp_path), dist=two))


@pytest.mark.slow
def test_two_ranks_train_the_model_of_one(tmp_path: Path) -> None:
    """They divide the windows and add up their gradients: the models differ by rounding only."""
    write_sample(
        str(tmp_path / "sample.arrow"),
        [(str(i), text, False) for i, text in enumerate(TEXTS)] + [("out", b"abab" * 30, True)],
    )
    options = ["--steps", "4", "--rows", "6", "--window-bytes", "12", "--lr-warmup-steps", "2", "--threads", "1"]
    found = []
    for name, launch in (("one", []), ("two", ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"])):
        words = [sys.executable, *launch, "-m", "trainer", "lm", "--sample", str(tmp_path / "sample.arrow"), *options]
        done = subprocess.run(
            [*words, "--out", str(tmp_path / name)], env=environment(), capture_output=True, text=True, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(read_byte_lm(str(tmp_path / name)).training)
    assert found[0]["held_out_bits_per_byte"] == pytest.approx(found[1]["held_out_bits_per_byte"], abs=2e-3)
