"""The held-out curve: a fixed sample, equal numbers on any ranks, no trace in the training, and the best kept."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.batches import Documents
from tests.trainer.datasets import COMPRESSOR, make_texts, write_dataset
from tests.trainer.models import small_model
from tests.trainer.runs import command, losses, make_dataset, metrics, train
from trainer.__main__ import main
from trainer.data.dataset import Dataset, HeldOut
from trainer.data.held_out_sample import sample_held_out
from trainer.data.loader import Loader, LoaderSettings
from trainer.evaluation.bits_per_byte import nats_by_turns, score
from trainer.training import checkpoint
from trainer.training.held_out import HeldOutCurve
from trainer.training.load_model import load_model
from trainer.training.parallel import Distributed

ALONE = Distributed(rank=0, size=1, device=torch.device("cpu"))
CURVE = {"eval-every": 2, "eval-bytes": 2000, "held-out-share": 0.2, "steps": 8, "checkpoint-steps": 3}
KEY = "held_out_bits_per_raw_byte"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of code."""
    return make_dataset(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def random_data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Random texts in ten shards, a third held out."""
    texts = make_texts([9, 1, 40, 25, 7, 60, 3, 12, 30, 5], most_bytes=200)
    return Dataset(
        str(write_dataset(tmp_path_factory.mktemp("random"), texts)), compressor=COMPRESSOR, held_out=HeldOut(share=0.3)
    )


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run with a curve."""
    directory = tmp_path_factory.mktemp("run")
    train(data, directory, **CURVE)
    return directory


def curve(lines: list[dict[str, float]]) -> dict[int, float]:
    """Steps done to bits per held-out byte."""
    return {int(line["step"]) + 1: line[KEY] for line in lines if KEY in line}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**40), limit=st.integers(1, 9000))
def test_the_sample_holds_beginnings_of_held_out_documents_once_each(
    random_data: Dataset, seed: int, limit: int
) -> None:
    held_out = [texts.text(i) for _, texts in random_data.held_out_documents() for i in range(len(texts))]
    total = sum(map(len, held_out))
    sample = sample_held_out(random_data, seed=seed, limit_bytes=limit)
    parts = [sample.text(i) for i in range(len(sample))]
    assert all(parts) and sum(map(len, parts)) <= limit
    assert max(map(len, parts)) <= max(1, limit // 16)
    # Random texts share no beginning of any length, so each part names its document; short ones are told by count.
    for part in parts:
        (owner, *_) = [text for text in held_out if text.startswith(part)]
        held_out.remove(owner)
    if limit >= 16 * 200:
        assert sum(map(len, parts)) == min(limit, total)
    again = sample_held_out(random_data, seed=seed, limit_bytes=limit)
    assert np.array_equal(again.raw, sample.raw) and np.array_equal(again.offsets, sample.offsets)


def test_the_seed_chooses_and_no_share_gives_nothing(random_data: Dataset) -> None:
    samples = {sample_held_out(random_data, seed=seed, limit_bytes=500).raw.tobytes() for seed in range(5)}
    assert len(samples) == 5
    none = Dataset(random_data.location, compressor=None)
    assert len(sample_held_out(none, seed=0, limit_bytes=500)) == 0


@pytest.mark.parametrize("turns", [1, 2, 3, 7])
def test_turns_add_up_to_the_score_and_call_the_model_equally_often(turns: int) -> None:
    model, texts = small_model(), Documents.from_bytes([b"a", b"def f(x):\n    return x\n", b"x" * 61])
    parts = [nats_by_turns(model, texts, sequence_length=16, rows=2, turn=turn, turns=turns) for turn in range(turns)]
    assert len({len(part) for part in parts}) == 1
    (whole,) = score(model, [texts], sequence_length=16, rows=2)
    assert math.fsum(nats for part in parts for nats in part) == pytest.approx(whole.nats, rel=1e-12)


def test_measuring_touches_neither_random_state_nor_weights_nor_loader(random_data: Dataset) -> None:
    model = small_model()
    model.requires_grad_(True)
    loader_settings = LoaderSettings(sequence_length=32, global_batch_size=4, lanes=4)
    with Loader(random_data, loader_settings) as loader:
        next(loader)
        before = {name: weight.clone() for name, weight in model.named_parameters()}
        states = torch.get_rng_state(), repr(np.random.get_state()), loader.state_dict()
        texts = sample_held_out(random_data, seed=3, limit_bytes=700)
        held_out = HeldOutCurve(model, texts, ALONE, sequence_length=32, rows=2)
        first, second = held_out.measure(), held_out.measure()
        assert first.to_json() == second.to_json()
        assert torch.equal(torch.get_rng_state(), states[0]) and repr(np.random.get_state()) == states[1]
        assert loader.state_dict() == states[2]
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())
    (whole,) = score(model, [texts], sequence_length=32, rows=2)
    assert first.bits_per_byte == pytest.approx(whole.bits_per_byte, rel=1e-12)


def test_a_run_has_points_where_it_was_asked_and_at_checkpoints_and_the_losses_of_one_without(
    data: Path, run: Path, tmp_path: Path
) -> None:
    lines = metrics(run)
    found = curve(lines)
    assert list(found) == [2, 3, 4, 6, 8]
    assert found[8] < found[2] - 1, "it learns"
    assert losses(train(data, tmp_path, **{**CURVE, "eval-every": 0})) == losses(lines)
    assert curve(metrics(tmp_path)) == {}
    for path in checkpoint.checkpoints(str(run)):
        state = checkpoint.read_state(path)
        assert state["held_out"]["bits_per_byte"] == found[state["step"]]


def test_the_number_is_that_of_the_checkpoint_loaded_again(data: Path, run: Path) -> None:
    model, used = load_model(str(run))
    dataset = Dataset(str(data), compressor=None, held_out=HeldOut(share=0.2))
    texts = sample_held_out(dataset, seed=used["seed"], limit_bytes=2000)
    again = HeldOutCurve(model, texts, ALONE, sequence_length=128, rows=4).measure()
    assert again.to_json() == checkpoint.read_state(checkpoint.checkpoints(str(run))[-1])["held_out"]


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["ddp", "fsdp"])
def test_two_ranks_find_the_curve_of_one_and_go_on_exactly(
    sharding: str, data: Path, run: Path, tmp_path: Path
) -> None:
    train(data, tmp_path, ranks=2, sharding=sharding, **CURVE)
    shutil.rmtree(checkpoint.checkpoints(str(tmp_path))[-1])
    lines = train(data, tmp_path, ranks=2, sharding=sharding, **CURVE)
    assert losses(lines) == pytest.approx(losses(metrics(run)), abs=1e-5)
    found, alone = curve(lines), curve(metrics(run))
    assert {step: found[step] for step in alone} == pytest.approx(alone, abs=1e-5)
    ours, theirs = (checkpoint.best_checkpoint(str(directory)) for directory in (tmp_path, run))
    assert ours and theirs and ours[1]["digest"] == theirs[1]["digest"]
    model, _ = load_model(str(tmp_path))
    for one, two in zip(model.parameters(), load_model(str(run))[0].parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-3)


def save(run: Path, step: int, bits: float | None, digest: str = "d", keep: int = 2) -> None:
    """A checkpoint of one number, measured or not."""
    state: dict[str, Any] = {"step": step, "settings": {}}
    if bits is not None:
        state["held_out"] = {"bits_per_byte": bits, "digest": digest}
    checkpoint.save(str(run), torch.nn.Linear(1, 1), dist=ALONE, state=state, keep=keep)


def left(run: Path) -> list[int]:
    """The steps whose checkpoints are there."""
    return [int(Path(path).name.removeprefix("step-")) for path in checkpoint.checkpoints(str(run))]


@settings(max_examples=25, deadline=None)
@given(bits=st.lists(st.none() | st.sampled_from([1.0, 2.0, 3.0]), min_size=1, max_size=8), keep=st.integers(1, 3))
def test_the_last_and_the_best_stay(
    bits: list[float | None], keep: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = tmp_path_factory.mktemp("rotation")
    for step, value in enumerate(bits):
        save(run, step, value, keep=keep)
        measured = [(known, at) for at, known in enumerate(bits[: step + 1]) if known is not None]
        best = [min(measured)[1]] if measured else []
        assert left(run) == sorted({*range(step + 1)[-keep:], *best})
        if best:
            assert os.readlink(run / "checkpoints" / "best") == f"step-{best[0]:08d}"


def test_a_best_of_other_bytes_does_not_count(tmp_path: Path) -> None:
    save(tmp_path, 1, 1.0, digest="old")
    for step in (2, 3, 4):
        save(tmp_path, step, 5.0 + step, digest="new")
    assert left(tmp_path) == [2, 3, 4]
    (path := Path(checkpoint.checkpoints(str(tmp_path))[0]) / "state.json").write_text("{")
    save(tmp_path, 5, 9.0, digest="new")
    assert left(tmp_path) == [3, 4, 5], path


def test_the_final_line_names_the_best_and_the_link_loads(
    data: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(data, run, **CURVE)[3:]) == 0
    line = capsys.readouterr().out
    best = checkpoint.best_checkpoint(str(run))
    assert best is not None
    assert f"best {best[1]['bits_per_byte']:.4f} in {best[0]}" in line
    assert "bits per held-out raw byte: " in line and " at the end" in line
    assert (
        load_model(str(run / "checkpoints" / "best"))[1]
        == json.loads((Path(best[0]) / "state.json").read_text())["settings"]
    )


def test_nothing_held_out_is_said_and_trained_all_the_same(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(data, tmp_path, **{**CURVE, "steps": 2, "held-out-share": 0.0})
    assert main(words[3:]) == 0
    assert "holds out no documents at a share of 0" in caplog.text and "--eval-every 0" in caplog.text
    assert "held-out" not in capsys.readouterr().out
    assert not (tmp_path / "checkpoints" / "best").exists()
