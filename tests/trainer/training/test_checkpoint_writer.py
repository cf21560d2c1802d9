"""Checkpoints beside training: the state of the moment when they were asked for, on every number of ranks."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from schemas.errors import ArtifactError
from tests.trainer.models import random_ids, small_model
from trainer.training import checkpoint, checkpoint_writer
from trainer.training.checkpoint_writer import CheckpointWriter, own_part
from trainer.training.optim import adamw
from trainer.training.parallel import Distributed

ALONE = Distributed(rank=0, size=1, device=torch.device("cpu"))


def learner(seed: int = 0) -> tuple[nn.Module, torch.optim.AdamW]:
    """A small model and its optimizer."""
    model = small_model(seed=seed)
    return model, adamw(model.parameters(), lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)


def move(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    """One step."""
    model(random_ids(2, 16, seed=seed)).loss_sum.backward()
    optimizer.step()
    optimizer.zero_grad()


def values(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """A copy of everything that a checkpoint holds."""
    return {name: tensor.clone() for name, tensor in checkpoint.tensors(model, optimizer).items()}


def restored(path: str) -> dict[str, Tensor]:
    """What a checkpoint holds."""
    model, optimizer = learner(seed=1)
    checkpoint.restore(path, model, optimizer, step=1)
    return values(model, optimizer)


def equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    """Bit for bit."""
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


class Gate:
    """`checkpoint.write` that waits until it may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.real = threading.Event(), checkpoint.write
        monkeypatch.setattr(checkpoint, "write", self)

    def __call__(self, *arguments: Any, **options: Any) -> str:
        assert self.open.wait(60)
        return self.real(*arguments, **options)


def test_training_goes_on_and_the_checkpoint_is_of_the_moment_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, optimizer = learner()
    gate, wanted = Gate(monkeypatch), []
    with CheckpointWriter(str(tmp_path), model, optimizer, dist=ALONE, keep=2) as writer:
        for step in (1, 2):  # the second one takes the first one's place in memory
            move(model, optimizer, seed=step)
            wanted.append(values(model, optimizer))
            assert writer.save({"step": step}) >= 0
            for number in range(3):
                move(model, optimizer, seed=10 * step + number)
            assert len(checkpoint.checkpoints(str(tmp_path))) == step - 1, "nothing is there before it is whole"
            gate.open.set()
            writer.wait()
            gate.open.clear()
        gate.open.set()
    found = checkpoint.checkpoints(str(tmp_path))
    assert [equal(restored(path), state) for path, state in zip(found, wanted, strict=True)] == [True, True]


def test_leaving_waits_for_the_last_one_and_one_is_written_at_a_time(tmp_path: Path) -> None:
    model, optimizer = learner()
    with CheckpointWriter(str(tmp_path), model, optimizer, dist=ALONE, keep=2) as writer:
        for step in range(4):
            move(model, optimizer, seed=step)
            writer.save({"step": step})
    assert [Path(path).name for path in checkpoint.checkpoints(str(tmp_path))] == ["step-00000002", "step-00000003"]
    assert equal(restored(checkpoint.checkpoints(str(tmp_path))[-1]), values(model, optimizer))


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("what\nwhy")])
def test_what_goes_wrong_is_told_at_the_next_one_and_keeps_those_before(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, optimizer = learner()
    writer = CheckpointWriter(str(tmp_path), model, optimizer, dist=ALONE, keep=2)
    writer.save({"step": 1})
    writer.wait()

    def fails(*arguments: object, **options: object) -> str:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write", fails)
        writer.save({"step": 2})
        with pytest.raises((OSError, ArtifactError), match="No space left|was not written \\(what why\\); look at"):
            writer.save({"step": 3})
    assert [Path(path).name for path in checkpoint.checkpoints(str(tmp_path))] == ["step-00000001"]
    with writer:
        writer.save({"step": 4})
    assert len(checkpoint.checkpoints(str(tmp_path))) == 2


def test_without_memory_for_copies_training_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(checkpoint_writer, "available_memory_bytes", lambda: 1000)
    model, optimizer = learner()
    with CheckpointWriter(str(tmp_path), model, optimizer, dist=ALONE, keep=2) as writer:
        writer.save({"step": 1})
        assert len(checkpoint.checkpoints(str(tmp_path))) == 1
    assert "the host has no memory for copies" in caplog.text
    assert equal(restored(checkpoint.checkpoints(str(tmp_path))[0]), values(model, optimizer))


def test_ranks_share_what_all_of_them_have() -> None:
    model, optimizer = learner()
    named = checkpoint.tensors(model, optimizer)
    ranks = [Distributed(rank=rank, size=4, device=torch.device("cpu")) for rank in range(4)]
    parts = [own_part(named, rank) for rank in ranks]
    assert sorted(name for part in parts for name in part) == sorted(named)
    sizes = [sum(tensor.nbytes for tensor in part.values()) for part in parts]
    assert max(sizes) - min(sizes) <= max(tensor.nbytes for tensor in named.values())
    assert own_part(named, ALONE).keys() == named.keys()
