"""Checkpoints: safetensors and JSON only, whole or not there, refused where they do not fit."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from schemas.errors import ArtifactError
from tests.trainer.models import small_model
from trainer.training import checkpoint
from trainer.training.optim import learning_rate, make_optimizers
from trainer.training.parallel import Distributed
from trainer.training.settings import TrainSettings
from trainer.training.upgrade import ADDED

ALONE = Distributed(rank=0, size=1, device=torch.device("cpu"))
SETTINGS = TrainSettings.for_size("tiny", data="d", run_dir="r")


def trained(steps: int, seed: int = 0) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """A model after some optimiser steps on fixed ids."""
    model = small_model(seed=seed)
    (optimizer,) = make_optimizers(model, SETTINGS)
    for step in range(steps):
        torch.manual_seed(step)
        losses = model(torch.randint(64, 320, (2, 16)))
        (losses.loss_sum / losses.weight_sum).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def test_a_restored_run_takes_the_same_next_step(tmp_path: Path) -> None:
    model, optimizer = trained(3)
    path = checkpoint.save(str(tmp_path), model, optimizer, dist=ALONE, state={"step": 3}, keep=2)
    other, other_optimizer = trained(0, seed=1)
    checkpoint.restore(path, other, other_optimizer, step=3)
    for each, own in ((model, optimizer), (other, other_optimizer)):
        torch.manual_seed(9)
        losses = each(torch.randint(64, 320, (2, 16)))
        losses.loss_sum.backward()
        own.step()
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_muon_and_adamw_are_restored_together(tmp_path: Path) -> None:
    settings = replace(SETTINGS, optimizer="muon")
    ids = torch.randint(64, 320, (2, 16), generator=torch.Generator().manual_seed(0))

    def step(model: torch.nn.Module, optimizers: tuple[torch.optim.Optimizer, ...]) -> None:
        model(ids).loss_sum.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()

    model, other = small_model(), small_model(seed=1)
    optimizers, others = make_optimizers(model, settings), make_optimizers(other, settings)
    assert [type(optimizer).__name__ for optimizer in optimizers] == ["AdamW", "Muon"]
    moved = [id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    assert sorted(moved) == sorted(map(id, model.parameters())), "each parameter by one of them"
    step(model, optimizers)
    path = checkpoint.save(str(tmp_path), model, *optimizers, dist=ALONE, state={"step": 1}, keep=2)
    checkpoint.restore(path, other, *others, step=1)
    step(model, optimizers)
    step(other, others)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_runs_from_before_muon_continue(tmp_path: Path) -> None:
    """Their checkpoints do not name the settings that came later."""
    model, optimizer = trained(1)
    content = SETTINGS.content()
    old = {name: value for name, value in content.items() if name not in ADDED}
    assert len(old) == len(content) - len(ADDED)
    checkpoint.save(str(tmp_path), model, optimizer, dist=ALONE, state={"step": 1, "settings": old}, keep=2)
    assert checkpoint.resume(str(tmp_path), model, optimizer, content=content) is not None
    with pytest.raises(ArtifactError, match="made with optimizer=adamw, this run has muon"):
        checkpoint.resume(str(tmp_path), model, optimizer, content=replace(SETTINGS, optimizer="muon").content())


class Bomb:
    """Unpickling this is noticed."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (pytest.fail, ("a pickle was read",))


def test_no_pickle_is_written_or_read(tmp_path: Path) -> None:
    model, optimizer = trained(1)
    path = Path(checkpoint.save(str(tmp_path), model, optimizer, dist=ALONE, state={"step": 1}, keep=2))
    assert {file.suffix for file in path.iterdir()} == {".safetensors", ".json"}
    assert len({file.stat().st_mode for file in path.iterdir()}) == 1, "not all are for whom the umask lets in"
    (path / ".metadata").write_bytes(pickle.dumps(Bomb()))
    (path / "__0_0.distcp").write_bytes(pickle.dumps(Bomb()))
    checkpoint.restore(str(path), model, optimizer, step=1)


def test_half_written_checkpoints_do_not_count(tmp_path: Path) -> None:
    model, optimizer = trained(1)
    whole = checkpoint.save(str(tmp_path), model, optimizer, dist=ALONE, state={"step": 1}, keep=2)
    (tmp_path / "checkpoints" / "step-00000002.tmp").mkdir()
    assert checkpoint.checkpoints(str(tmp_path)) == [whole]


def test_damage_is_named(tmp_path: Path) -> None:
    model, optimizer = trained(1)
    path = Path(checkpoint.save(str(tmp_path), model, optimizer, dist=ALONE, state={"step": 1}, keep=2))
    with pytest.raises(ArtifactError, match="is no checkpoint"):
        checkpoint.read_state(str(tmp_path))
    (path / "state.json").write_text('{"version": 99}')
    with pytest.raises(ArtifactError, match="has checkpoint version 99, this program reads 1 and 2"):
        checkpoint.read_state(str(path))
    tensors = next(path.glob("*.safetensors"))
    tensors.write_bytes(tensors.read_bytes()[:100])
    with pytest.raises(ArtifactError, match="cannot be read"):
        checkpoint.restore(str(path), model, optimizer, step=1)


def test_the_schedule_rises_and_falls() -> None:
    settings = TrainSettings.for_size("tiny", data="d", run_dir="r", steps=100, lr_warmup_steps=10)
    rates = [learning_rate(settings, step) for step in range(100)]
    assert rates[0] == pytest.approx(settings.peak_lr / 10)
    assert max(rates) == rates[9] == pytest.approx(settings.peak_lr)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.1 * settings.peak_lr, rel=0.01)
