"""One step: what is not finite, and what is stopped, leaves weights and moments as they were."""

from __future__ import annotations

import copy
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from schemas.errors import TrainingError
from tests.bench.launches import step_launches
from tests.trainer.batches import one_document_each
from tests.trainer.models import random_ids, small_config, small_model
from trainer.data.loader import PackedBatch
from trainer.model.evabyte import EvaByte
from trainer.training import step
from trainer.training.optim import adamw, make_optimizers
from trainer.training.parallel import Distributed
from trainer.training.settings import TrainSettings
from trainer.training.step import StepResult, TrainStep

ALONE = Distributed(rank=0, size=1, device=torch.device("cpu"))
SETTINGS = TrainSettings.for_size("tiny", batch_symbols=256, sequence_length=32, micro_batch_size=2)


def batch(number: int = 0) -> PackedBatch:
    """Eight sequences of one document each."""
    return one_document_each(random_ids(8, 32, seed=number).numpy().astype(np.int32), number)


def train_step(*, fused: bool = False, **changes: Any) -> TrainStep:
    """Steps of a small model that has taken one already; fused: with the optimizer that GPUs take."""
    model = small_model(raw_heads=1)
    settings = TrainSettings.for_size("tiny", **{**_sized(), **changes})
    optimizers = make_optimizers(model, settings)
    if fused:
        fused_one = adamw(model.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=True)
        optimizers = (fused_one,)
    steps = TrainStep(settings, model.config, ALONE, model, *optimizers)
    assert taken(steps, 0).loss_nats > 0
    return steps


def taken(steps: TrainStep, number: int) -> StepResult:
    """What a step measured."""
    assert steps.take(batch(number))
    return steps.read()


def _sized() -> dict[str, int]:
    return {name: getattr(SETTINGS, name) for name in ("batch_symbols", "sequence_length", "micro_batch_size")}


def state(steps: TrainStep) -> dict[str, Any]:
    """Everything that the next step depends on."""
    moments = [optimizer.state[kept] for optimizer in steps.optimizers for kept in optimizer.state]
    return copy.deepcopy({"weights": steps.model.state_dict(), "moments": moments})


def same(left: Any, right: Any) -> bool:
    """Whether nested tensors are equal."""
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    return len(left) == len(right) and all(same(*pair) for pair in zip(left, right, strict=True))


@pytest.mark.parametrize(
    ("value", "optimizer"), [(float("inf"), "adamw"), (float("nan"), "adamw"), (float("inf"), "muon")]
)
def test_gradients_that_are_not_finite_stop_before_the_weights_change(value: float, optimizer: str) -> None:
    steps = train_step(optimizer=optimizer)
    before = state(steps)
    parameter = next(steps.model.parameters())
    hook = parameter.register_hook(lambda gradient: torch.full_like(gradient, value))
    with pytest.raises(TrainingError, match=r"the gradient norm of step 1 is (inf|nan), .*documents a, b; lower"):
        steps.take(batch(1), doc_ids=lambda batch: ["a", "b", "a"])
    assert same(state(steps), before)
    hook.remove()
    assert taken(steps, 1).gradient_norm > 0
    assert not same(state(steps), before)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("ask", ["read", "check"])
def test_a_gpu_leaves_the_weights_alone_until_it_is_asked(value: float, ask: str) -> None:
    """The step returns at once; neither it nor any later one changes anything, though those are finite."""
    steps = train_step(fused=True)
    for number in (1, 2):
        assert steps.take(batch(number), doc_ids=lambda batch: ["other"])
    before = state(steps)
    parameter = next(steps.model.parameters())
    hook = parameter.register_hook(lambda gradient: torch.full_like(gradient, value))
    assert steps.take(batch(3), doc_ids=lambda batch: [f"document of {batch.step}"])
    hook.remove()
    for number in (4, 5):
        assert steps.take(batch(number), doc_ids=lambda batch: ["other"])
    assert same(state(steps), before)
    with pytest.raises(TrainingError, match=r"the gradient norm of step 3 is (inf|nan), .*documents document of 3; l"):
        getattr(steps, ask)()
    assert same(state(steps), before)
    steps.check()


def test_no_more_batches_are_kept_than_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "MAX_UNREAD", 2)
    steps = train_step(fused=True)
    hook = next(steps.model.parameters()).register_hook(lambda gradient: gradient * float("nan"))
    assert steps.take(batch(1)) and steps.take(batch(2))
    with pytest.raises(TrainingError, match="the gradient norm of step 1 is nan"):
        steps.take(batch(3))
    hook.remove()
    assert taken(steps, 3).loss_nats > 0


def test_a_loss_that_is_not_finite_is_named_before_the_gradients() -> None:
    steps = train_step()
    with torch.no_grad():
        next(steps.model.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"the loss of step 1 is nan, .*documents a, b, c, d, e and 2 more; lower"):
        steps.take(batch(1), doc_ids=lambda batch: list("abcdefg"))


def test_a_step_on_a_gpu_waits_for_nothing() -> None:
    """Tensors without values cannot be waited for: any read of one is an error. So a whole step passes without any.

    It is the GPU's, with the block mask of flex_attention and the fused optimizer; only flex_attention, one kernel, is
    left out. What is measured is one tensor, which `read` fetches.
    """
    own, masks = EvaByte.context, []

    def attend(q: Tensor, k: Tensor, v: Tensor, mu: Tensor, phi: Tensor, **rest: Any) -> Tensor:
        masks.append(rest["block_mask"])
        return q + k + v + mu.sum() + phi.sum()

    def with_mask(model: EvaByte, ids: Tensor, documents: Tensor | None, *, flex: bool | None = None) -> object:
        return own(model, ids, documents, flex=True)

    config = small_config(raw_heads=1)
    dist = Distributed(rank=0, size=1, device=torch.device("cpu"), compute_dtype=torch.bfloat16)
    batches = [batch(number) for number in range(3)]
    with FakeTensorMode(), mock.patch("trainer.model.evabyte.eva_flex", attend):
        model = EvaByte(config)
        optimizer = adamw(model.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=True)
        steps = TrainStep(SETTINGS, config, dist, model, optimizer)
        with mock.patch.object(EvaByte, "context", with_mask):
            for each in batches:
                assert steps.take(each)
        assert len(masks) == 3 * steps.accumulation * config.layers and all(mask is not None for mask in masks)
        with pytest.raises(DataDependentOutputException):
            steps.read()
    fetched: list[Tensor] = []
    real = train_step(fused=True)
    assert real.take(batch(1))
    with mock.patch.object(Tensor, "cpu", lambda tensor: fetched.append(tensor) or tensor.clone()):
        real.read()
    assert len(fetched) == 1


def test_launches_outside_of_blocks_are_few_and_not_of_the_layers() -> None:
    """But for one a parameter and further micro-batch, which adds its gradient to that of the ones before."""
    one, three = (small_config(raw_heads=1, layers=layers) for layers in (1, 3))
    alone = [step_launches(config, positions=32, micro_batches=1) for config in (one, three)]
    assert {name: alone[0][name] for name in alone[0] if name != "blocks"} == {
        name: alone[1][name] for name in alone[1] if name != "blocks"
    }
    most = {"ids, weights, sums": 22, "mask and rotation": 84, "embedding and last norm": 11, "heads": 62, "AdamW": 3}
    most |= {"backward outside of heads and blocks": 29, "clip": 8, "finite or not": 14, "blocks": 100}
    assert all(own.total() <= most[name] for name, own in alone[0].items()), alone[0]
    parameters = len(list(EvaByte(three).parameters()))
    two = step_launches(three, positions=32, micro_batches=2)["backward outside of heads and blocks"]
    assert two["add_"] == parameters


def test_arrays_go_to_a_gpu_from_pinned_memory() -> None:
    """Else a copy waits for the device, whatever it is told."""
    array, order = np.arange(3, dtype=np.int32), []
    pinned = mock.Mock(to=lambda device, non_blocking: order.append((device.type, non_blocking)))
    with mock.patch.object(Tensor, "pin_memory", lambda tensor: pinned):
        step.to_device(array, torch.device("cuda"))
    assert order == [("cuda", True)]
    assert step.to_device(array, torch.device("cpu")).tolist() == [0, 1, 2]


@pytest.mark.parametrize("asked", [1, 2, 3, 4])
def test_a_step_that_is_stopped_before_any_micro_batch_was_never_begun(asked: int) -> None:
    steps, undisturbed = train_step(), train_step()
    before, calls = state(steps), 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return calls == asked

    assert steps.accumulation == 4
    assert not steps.take(batch(1), stop=stop)
    assert calls == asked
    assert same(state(steps), before)
    results = [taken(each, 1) for each in (steps, undisturbed)]
    assert results[0].loss_nats == results[1].loss_nats
    assert same(state(steps), state(undisturbed)), "no gradient of the dropped step is left"


@pytest.mark.parametrize("change", [{"micro_batch_size": 1}, {"micro_batch_size": 8}])
def test_the_size_of_micro_batches_changes_nothing_but_rounding(change: dict[str, int]) -> None:
    results = [taken(each, 1) for each in (train_step(), train_step(**change))]
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
        ({"optimizer": "muon"}, True),
        ({"optimizer": "muon", "matrix_lr": 0.1}, True),
        ({"optimizer": "muon", "matrix_momentum": 0.5}, True),
        ({"optimizer": "muon", "peak_lr": 0.1}, True),
        ({"matrix_lr": 0.1}, False),
        ({"keep_checkpoints": 9}, False),
    ],
)
def test_every_setting_of_the_optimizer_is_used(change: dict[str, Any], moves: bool) -> None:
    base: dict[str, Any] = {"steps": 4, "lr_warmup_steps": 0} if "steps" in change else {}
    if len(change) > 1 and "optimizer" in change:
        base = {"optimizer": "muon"}
    plain, changed = train_step(**base), train_step(**change)
    for each in (plain, changed):
        assert each.take(batch(1))
    assert same(plain.model.state_dict(), changed.model.state_dict()) != moves


def test_the_fused_optimizer_takes_the_steps_of_the_other() -> None:
    models = [small_model(), small_model()]
    for model, fused in zip(models, (False, True), strict=True):
        optimizer = adamw(model.parameters(), lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=fused)
        assert {group["fused"] for group in optimizer.param_groups} == {True if fused else None}
        for number in range(3):
            model(random_ids(2, 32, seed=number)).loss_sum.backward()
            optimizer.step()
            optimizer.zero_grad()
        assert {float(kept["step"]) for kept in optimizer.state.values()} == {3.0}
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
