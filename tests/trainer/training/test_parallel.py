"""Models on ranks: the same step however it is dealt out, and no rank with more than its part of the gradients."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import multiprocessing
from torch.distributed import TCPStore
from torch.distributed.tensor import DTensor, Replicate, Shard

from schemas.errors import SettingsError, TrainingError
from tests.trainer.batches import one_document_each
from tests.trainer.fake_run import fake_ranks, peak_bytes
from tests.trainer.models import random_ids, small_config
from trainer.data.loader import PackedBatch
from trainer.model.evabyte import meta_model
from trainer.training import parallel
from trainer.training.loop import loader_settings
from trainer.training.optim import adamw, make_optimizers
from trainer.training.parallel import Distributed, init_distributed, parallelize
from trainer.training.settings import TrainSettings
from trainer.training.step import TrainStep

ROWS, POSITIONS, STEPS = 8, 32, 4


def curve(settings: TrainSettings, *, fused: bool | None = None) -> list[list[float]]:
    """[[loss, gradient norm] of each step] of a small model on this process's part of every batch.

    fused: with the optimizer that GPUs take, which then meets a gradient that is not finite.
    """
    with init_distributed("cpu") as dist:
        # DDP must be gone before its process group is: torch 2.13 can hang otherwise.
        return _curve(settings, dist, fused=fused)


def _curve(settings: TrainSettings, dist: Distributed, *, fused: bool | None) -> list[list[float]]:
    config = small_config(raw_heads=1)
    bare = meta_model(config)
    if settings.recompute:
        bare.recompute_blocks()
    model = parallelize(bare, dist, sharding=settings.sharding, seed=0, look_back=settings.look_back)
    optimizers = make_optimizers(model, settings)
    if fused:
        same = {name: optimizers[0].defaults[name] for name in ("lr", "betas", "eps", "weight_decay")}
        optimizers = (adamw(model.parameters(), **same, fused=True),)
    steps = TrainStep(settings, config, dist, model, *optimizers)
    results = []
    for step in range(STEPS):
        assert steps.take(batch(step, dist.rank, dist.size))
        results.append(steps.read())
    if fused:
        changes_nothing(steps, batch(STEPS, dist.rank, dist.size))
    return [[result.loss_nats, result.gradient_norm] for result in results]


def changes_nothing(steps: TrainStep, batch: PackedBatch) -> None:
    """A step that is not finite on one rank leaves all ranks' weights, and says so when it is asked."""
    weights = [parameter.detach().clone() for parameter in steps.model.parameters()]
    scale = float("nan") if steps.dist.is_first else 1.0
    spoil = steps.model.register_forward_hook(lambda model, inputs, out: (out[0] * scale, *out[1:]))
    assert steps.take(batch)
    spoil.remove()
    assert all(_local(a).equal(_local(b)) for a, b in zip(weights, steps.model.parameters(), strict=True))
    said = ""
    try:  # not pytest.raises, which keeps frames, and with them the model, longer
        steps.read()
    except TrainingError as error:
        said = str(error)
    assert said.startswith(f"the loss of step {STEPS} is nan")


def _local(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def batch(step: int, rank: int, size: int) -> PackedBatch:
    """A rank's part of ROWS sequences."""
    return one_document_each(random_ids(ROWS, POSITIONS, seed=step).numpy().astype(np.int32)[rank::size], step)


def settings(**changes: Any) -> TrainSettings:
    """Four sequences at once, or as asked."""
    fixed = {"batch_symbols": ROWS * POSITIONS, "sequence_length": POSITIONS, "micro_batch_size": 4, "steps": STEPS}
    return TrainSettings.for_size("tiny", lr_warmup_steps=1, **{**fixed, **changes})


CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "ddp": (2, {"sharding": "ddp"}),
    "fsdp": (2, {"sharding": "fsdp"}),
    "fsdp, recomputed": (2, {"sharding": "fsdp", "recompute": True}),
    "fsdp on two nodes": (1, {"sharding": "fsdp"}),
    "ddp with muon": (2, {"sharding": "ddp", "optimizer": "muon"}),
    "fsdp from heads that look back": (2, {"sharding": "fsdp", "look_back": True}),
    "ddp, fused": (2, {"sharding": "ddp"}),
    "fsdp, fused": (2, {"sharding": "fsdp"}),
}
"""Ranks per node, and settings, of runs on two ranks; fused: AdamW as on GPUs."""


def _rank(rank: int, ports: list[int], folder: Path) -> None:
    """Every case, one after the other: a process takes seconds to start."""
    torch.set_num_threads(1)
    found = {}
    for port, (name, (per_node, changes)) in zip(ports, CASES.items(), strict=True):
        place = {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank % per_node, "LOCAL_WORLD_SIZE": per_node}
        # On one node a name that nobody knows does no harm.
        place |= {"MASTER_ADDR": "127.0.0.1" if per_node == 1 else "nobody.invalid", "MASTER_PORT": port}
        # As under torchrun, whose own process has the store, so that its port is taken from the beginning.
        place |= {"TORCHELASTIC_USE_AGENT_STORE": True, "TORCHELASTIC_RESTART_COUNT": 0}
        with mock.patch.dict(os.environ, {key: str(value) for key, value in place.items()}):
            found[name] = curve(settings(micro_batch_size=1, **changes), fused=name.endswith("fused"))
    torch.save(found, folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def on_two_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[list[float]]]]:
    """What each rank found, by case."""
    assert settings(micro_batch_size=1).accumulation(2) == 4
    folder = tmp_path_factory.mktemp("ranks")
    stores = [TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False) for _ in CASES]
    multiprocessing.spawn(_rank, ([store.port for store in stores], folder), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_that_accumulate_find_losses_and_norms_of_one_that_does_not(
    case: str, on_two_ranks: list[dict[str, list[list[float]]]]
) -> None:
    changes = {name: value for name, value in CASES[case][1].items() if name not in ("sharding", "recompute")}
    alone = curve(settings(micro_batch_size=ROWS, **changes))
    first, second = (found[case] for found in on_two_ranks)
    assert first == second
    assert len(first) == len(alone) == STEPS
    assert np.allclose(first, alone, atol=2e-6, rtol=1e-6), (first, alone)


@pytest.mark.parametrize("missing", ["WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"])
def test_a_rank_that_is_not_told_all_is_refused(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} - {missing}:
        monkeypatch.setenv(name, "1")
    monkeypatch.delenv(missing, raising=False)
    refused = pytest.raises(SettingsError, match=f"RANK is set, but not {missing}; start ranks with torchrun")
    with refused, init_distributed("cpu"):
        pass


def test_a_first_node_without_an_address_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(parallel, "NAME_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(parallel, "NAME_PAUSE_SECONDS", 0.1)
    place = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    for key, value in {**place, "MASTER_ADDR": "nobody.invalid", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(key, value)
    caplog.set_level("INFO")
    refused = pytest.raises(TrainingError, match=r"no address is known for nobody\.invalid.*multi-node")
    with refused, init_distributed("cpu"):
        pass
    assert "waiting for an address of nobody.invalid" in caplog.text


@pytest.mark.parametrize("per_node", [8, 4])
def test_accumulation_keeps_no_gradient_of_the_whole_model(per_node: int) -> None:
    config = small_config(dim=256, heads=4, ffn_dim=1024)
    shape: dict[str, Any] = {"sequence_length": 64, "sharding": "fsdp", "ranks": 8, "per_node": per_node}
    once, often = (peak_bytes(config, micro_batches=number, **shape) for number in (1, 3))
    own_part = 4 * config.parameters / per_node
    assert often - once < 2.1 * own_part, "a rank's part, and its sum over nodes where there are several"


@pytest.mark.parametrize("nodes", [8, pytest.param(16, marks=pytest.mark.slow)])
def test_sixty_four_gpus_and_more_are_nodes_that_hold_copies(nodes: int) -> None:
    config = small_config(dim=64, heads=2, ffn_dim=128)
    with fake_ranks(8 * nodes, per_node=8, compute_dtype=torch.bfloat16) as dist:
        model = parallelize(meta_model(config), dist, sharding="fsdp", seed=0)
        for name, parameter in model.named_parameters():
            assert isinstance(parameter, DTensor)
            assert parameter.device_mesh.shape == (nodes, 8), name
            assert parameter.placements == (Replicate(), Shard(0)), name
    shape: dict[str, Any] = {"sequence_length": 64, "micro_batches": 2, "sharding": "fsdp", "per_node": 8}
    one, many = (peak_bytes(config, ranks=ranks, **shape) for ranks in (16, 8 * nodes))
    assert many == pytest.approx(one, rel=0.01), "more nodes save no memory and take none"


def test_the_papers_step_is_dealt_out_to_as_many_ranks_as_divide_it() -> None:
    paper = TrainSettings.for_size("7b")
    assert [paper.accumulation(ranks) for ranks in (8, 64, 128)] == [16, 2, 1]
    for ranks in (24, 56, 256):
        with pytest.raises(SettingsError, match=f"a step has 128 sequences, {ranks} ranks .* so that they divide"):
            paper.accumulation(ranks)
    loader = loader_settings(paper)
    loader.check_ranks(64)
    with pytest.raises(SettingsError, match="128 ranks cannot share lanes 64 evenly"):
        loader.check_ranks(128)
    three_nodes = replace(paper, lanes=96, batch_symbols=96 * paper.sequence_length)
    loader_settings(three_nodes).check_ranks(24)
    assert three_nodes.accumulation(24) == 4
