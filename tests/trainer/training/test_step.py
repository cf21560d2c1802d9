"""One step: what is not finite, and what is stopped, leaves weights and moments as they were."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from schemas.errors import TrainingError
from tests.trainer.models import random_ids, small_model
from trainer.data.loader import PackedBatch
from trainer.training.optim import adamw, make_optimizer
from trainer.training.parallel import Distributed
from trainer.training.settings import TrainSettings
from trainer.training.step import TrainStep

ALONE = Distributed(rank=0, size=1, device=torch.device("cpu"))
SETTINGS = TrainSettings.for_size("tiny", batch_symbols=256, sequence_length=32, micro_batch_size=2)


def batch(step: int = 0) -> PackedBatch:
    """Eight sequences of one document each."""
    ids = random_ids(8, 32, seed=step).numpy().astype(np.int32)
    return PackedBatch(
        step=step,
        ids=ids,
        documents=np.zeros_like(ids),
        spans=np.ones(ids.shape, np.uint8),
        next_ids=np.zeros((8, 2), np.int32),
        pieces=np.zeros((8, 5), np.int64),
    )


def train_step(**changes: Any) -> TrainStep:
    """Steps of a small model that has taken one already."""
    model = small_model(raw_heads=1)
    settings = TrainSettings.for_size("tiny", **{**_sized(), **changes})
    steps = TrainStep(settings, model.config, ALONE, model, make_optimizer(model, settings))
    assert steps.take(batch()) is not None
    return steps


def _sized() -> dict[str, int]:
    return {name: getattr(SETTINGS, name) for name in ("batch_symbols", "sequence_length", "micro_batch_size")}


def state(steps: TrainStep) -> dict[str, Any]:
    """Everything that the next step depends on."""
    moments = [steps.optimizer.state[parameter] for parameter in steps.model.parameters()]
    return copy.deepcopy({"weights": steps.model.state_dict(), "moments": moments})


def same(left: Any, right: Any) -> bool:
    """Whether nested tensors are equal."""
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    return len(left) == len(right) and all(same(*pair) for pair in zip(left, right, strict=True))


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_gradients_that_are_not_finite_stop_before_the_weights_change(value: float) -> None:
    steps = train_step()
    before = state(steps)
    parameter = next(steps.model.parameters())
    hook = parameter.register_hook(lambda gradient: torch.full_like(gradient, value))
    with pytest.raises(TrainingError, match=r"the gradient norm of step 1 is (inf|nan), .*documents a, b; lower"):
        steps.take(batch(1), doc_ids=lambda batch: ["a", "b", "a"])
    assert same(state(steps), before)
    hook.remove()
    assert steps.take(batch(1)) is not None
    assert not same(state(steps), before)


def test_a_loss_that_is_not_finite_is_named_before_the_gradients() -> None:
    steps = train_step()
    with torch.no_grad():
        next(steps.model.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"the loss of step 1 is nan, .*documents a, b, c, d, e and 2 more; lower"):
        steps.take(batch(1), doc_ids=lambda batch: list("abcdefg"))


@pytest.mark.parametrize("asked", [1, 2, 3, 4])
def test_a_step_that_is_stopped_before_any_micro_batch_was_never_begun(asked: int) -> None:
    steps, undisturbed = train_step(), train_step()
    before, calls = state(steps), 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return calls == asked

    assert steps.accumulation == 4
    assert steps.take(batch(1), stop=stop) is None
    assert calls == asked
    assert same(state(steps), before)
    results = [each.take(batch(1)) for each in (steps, undisturbed)]
    assert results[0] is not None and results[1] is not None
    assert results[0].loss_nats == results[1].loss_nats
    assert same(state(steps), state(undisturbed)), "no gradient of the dropped step is left"


@pytest.mark.parametrize("change", [{"micro_batch_size": 1}, {"micro_batch_size": 8}])
def test_the_size_of_micro_batches_changes_nothing_but_rounding(change: dict[str, int]) -> None:
    results = [each.take(batch(1)) for each in (train_step(), train_step(**change))]
    assert results[0] is not None and results[1] is not None
    assert results[0].loss_nats == pytest.approx(results[1].loss_nats, abs=1e-5)
    assert results[0].gradient_norm == pytest.approx(results[1].gradient_norm, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "moves"),
    [
        ({"weight_decay": 0.0}, True),
        ({"adam_beta1": 0.5}, True),
        ({"adam_beta2": 0.5}, True),
        ({"adam_eps": 1e-3}, True),
        ({"clip_norm": 1e-3}, True),
        ({"final_lr_share": 0.5, "steps": 4, "lr_warmup_steps": 0}, True),
        ({"keep_checkpoints": 9}, False),
    ],
)
def test_every_setting_of_the_optimizer_is_used(change: dict[str, Any], moves: bool) -> None:
    base: dict[str, Any] = {"steps": 4, "lr_warmup_steps": 0} if "steps" in change else {}
    plain, changed = train_step(**base), train_step(**change)
    for each in (plain, changed):
        assert each.take(batch(1)) is not None
    assert same(plain.model.state_dict(), changed.model.state_dict()) != moves


def test_the_fused_optimizer_takes_the_steps_of_the_other() -> None:
    models = [small_model(), small_model()]
    for model, fused in zip(models, (False, True), strict=True):
        optimizer = adamw(model.parameters(), lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=fused)
        assert {group["fused"] for group in optimizer.param_groups} == {True if fused else None}
        for step in range(3):
            model(random_ids(2, 32, seed=step)).loss_sum.backward()
            optimizer.step()
            optimizer.zero_grad()
        assert {float(kept["step"]) for kept in optimizer.state.values()} == {3.0}
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
