"""Training of the byte LM: windows from the seed alone, exact resume, a loss that falls."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from schemas.batches import Documents
from schemas.byte_lm_files import read_byte_lm
from schemas.errors import ArtifactError, SettingsError
from schemas.sample import Sample
from tests.kernels.micro_lm import CONFIG, micro_lm
from trainer.training import byte_lm
from trainer.training.byte_lm import IGNORE, ByteLMTraining, held_out_bits_per_byte, lr_share, train_byte_lm, windows

TEXTS = [b"ab" * 40, b"x", b"hello world, hello"]
SAMPLE = Sample(train=Documents.from_bytes(TEXTS), held_out=Documents.from_bytes([b"abab" * 30]))
TRAINING = ByteLMTraining(
    steps=6, rows=8, window_bytes=12, matrix_lr=0.02, other_lr=0.01, warmup_steps=2, checkpoint_steps=2
)


@pytest.fixture(autouse=True)
def micro_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `micro` a size."""
    torch.set_num_threads(1)
    monkeypatch.setitem(byte_lm.PRESETS, "micro", CONFIG)


def train(out: Path, *, stop_after: int = 10**9, training: ByteLMTraining = TRAINING) -> list[float]:
    """Train, or begin to, and return the losses."""
    losses = []
    for step, loss in train_byte_lm(SAMPLE, size="micro", training=training, out=str(out), device="cpu"):
        losses.append(loss)
        if step >= stop_after:
            break
    return losses


def test_windows_are_a_function_of_seed_and_step_and_stay_in_their_document() -> None:
    first = windows(SAMPLE.train, TRAINING, 3)
    again = windows(SAMPLE.train, TRAINING, 3)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[1], windows(SAMPLE.train, TRAINING, 4)[1])
    assert not np.array_equal(first[1], windows(SAMPLE.train, replace(TRAINING, seed=1), 3)[1])
    for step in range(30):
        inputs, labels = windows(SAMPLE.train, TRAINING, step)
        for row, label in zip(inputs, labels, strict=True):
            text = bytes(label[label != IGNORE].astype(np.uint8))
            assert any(text in document for document in TEXTS)
            assert row[0] == 256
            assert row[1 : len(text)].tolist() == list(text[:-1])


@pytest.mark.parametrize("stop_after", [1, 2, 3, 5])
def test_a_stopped_training_ends_in_the_same_weights(stop_after: int, tmp_path: Path) -> None:
    train(tmp_path / "whole")
    train(tmp_path / "stopped", stop_after=stop_after)
    train(tmp_path / "stopped")
    assert read_byte_lm(str(tmp_path / "stopped")).digest == read_byte_lm(str(tmp_path / "whole")).digest


def test_other_settings_do_not_continue_a_training(tmp_path: Path) -> None:
    train(tmp_path, stop_after=3)
    with pytest.raises(ArtifactError, match="holds the training of another setting"):
        train(tmp_path, training=replace(TRAINING, seed=7))


def test_the_loss_falls_and_is_reported(tmp_path: Path) -> None:
    losses = train(tmp_path, training=replace(TRAINING, steps=60, checkpoint_steps=100))
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 2
    files = read_byte_lm(str(tmp_path))
    assert files.training["held_out_bits_per_byte"] < 4
    assert files.training["held_out_scored_bytes"] == 120


def test_held_out_bits_are_the_mean_over_all_bytes() -> None:
    model, text = micro_lm(), b"some text of 24 bytes..."
    inputs = torch.tensor([[256, *text[:-1]]])
    with torch.inference_mode():
        log_p = torch.log_softmax(model(inputs)[0].double(), -1)
    expected = -sum(float(log_p[t, byte]) for t, byte in enumerate(text)) / np.log(2) / len(text)
    assert held_out_bits_per_byte(model, Documents.from_bytes([text]), 1000) == pytest.approx(expected, abs=1e-5)


def test_a_sample_without_training_text_is_refused(tmp_path: Path) -> None:
    empty = Sample(train=Documents.from_bytes([]), held_out=Documents.from_bytes([b"x"]))
    with pytest.raises(ArtifactError, match="holds no training text"):
        list(train_byte_lm(empty, size="micro", training=TRAINING, out=str(tmp_path), device="cpu"))


def test_another_text_does_not_continue_a_training(tmp_path: Path) -> None:
    train(tmp_path, stop_after=3)
    other = replace(SAMPLE, train=Documents.from_bytes([*TEXTS[:-1], b"HELLO world, hello"]))
    with pytest.raises(ArtifactError, match="holds the training of another setting or text"):
        list(train_byte_lm(other, size="micro", training=TRAINING, out=str(tmp_path), device="cpu"))


def test_one_checkpoint_is_kept_and_a_half_written_one_is_passed_over(tmp_path: Path) -> None:
    train(tmp_path / "whole")
    train(tmp_path / "killed", stop_after=5)
    folder = tmp_path / "killed" / "training"
    assert [file.name for file in folder.iterdir()] == ["step-00000004.safetensors"]
    (folder / "step-00000006.safetensors.tmp").write_bytes(b"half")
    losses = train(tmp_path / "killed")
    assert len(losses) == 2
    assert read_byte_lm(str(tmp_path / "killed")).digest == read_byte_lm(str(tmp_path / "whole")).digest


def test_training_again_after_the_end_gives_the_same_files(tmp_path: Path) -> None:
    train(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    train(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()} == before


@pytest.mark.parametrize("name", ["steps", "rows", "window_bytes", "warmup_steps", "checkpoint_steps"])
def test_counts_of_zero_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is 0; give at least 1"):
        replace(TRAINING, **{name: 0})


def test_the_learning_rate_rises_and_falls_to_its_last_share() -> None:
    shares = [lr_share(replace(TRAINING, steps=100, warmup_steps=10), step) for step in range(101)]
    assert shares.index(max(shares)) == 9
    assert shares[100] == pytest.approx(TRAINING.final_lr_share)
    assert all(a > b for a, b in itertools.pairwise(shares[9:]))


@pytest.mark.parametrize("limit", [1, 40, 100, 10**6])
def test_held_out_bits_count_each_byte_of_many_documents_once(limit: int) -> None:
    """Past the model's block too: byte t is scored after the window that begins one block before its own."""
    model, texts, block = micro_lm(), [b"abcd" * 15, b"", b"q", b"longer than two blocks " * 3], CONFIG.attention_bytes
    documents = Documents.from_bytes(texts)
    bits = []
    for text in texts:
        for t, byte in enumerate(text[: max(0, limit - len(bits))]):
            window = torch.tensor([[256, *text[max(0, t // block - 1) * block : t]]])
            with torch.inference_mode():
                bits.append(-float(torch.log_softmax(model(window)[0, -1].double(), -1)[byte]) / np.log(2))
    assert len(bits) == min(limit, documents.raw.size)
    assert held_out_bits_per_byte(model, documents, limit) == pytest.approx(np.mean(bits), rel=1e-5)
