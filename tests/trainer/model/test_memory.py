"""The estimate is what whole steps take, by tensors without memory; refusals rest on it and name what would do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from schemas.errors import SettingsError
from tests.trainer.fake_run import peak_bytes
from trainer.model.config import EvaByteConfig
from trainer.model.memory import (
    CHOSEN_SHARE,
    GPU_BYTES,
    Load,
    blocks_to_recompute,
    check_fits,
    describe,
    estimate_memory,
    fewest_gpus,
    where_it_fits,
)
from trainer.training.sizes import sized_config

POSITIONS = 4096


def large(size: str = "7b", **changes: int) -> EvaByteConfig:
    """The body of a size, over 16-bit windows."""
    return replace(sized_config(size, vocabulary=65_856, raw_heads=1), **changes)


def load(**changes: Any) -> Load:
    """One row of 16,384 on 8 GPUs, recomputed."""
    fixed = {"symbols": 16_384, "sharding": "fsdp", "world_size": 8, "micro_batches": 2, "recompute": True}
    return Load(**{**fixed, **changes})


CASES = [
    pytest.param(size, layers, sharding, micro_batches, recompute, marks=marks)
    for size, layers, marks in (("0.5b", 2, ()), ("4b", 3, pytest.mark.slow))
    for sharding, micro_batches, recompute in (
        ("ddp", 1, True),
        ("ddp", 4, True),
        ("fsdp", 1, True),
        ("fsdp", 4, True),
        ("ddp", 4, False),
        ("fsdp", 1, False),
        ("ddp", 4, 1),
        ("fsdp", 1, 1),
    )
]


@pytest.mark.parametrize(("size", "layers", "sharding", "micro_batches", "recompute"), CASES)
def test_the_estimate_is_within_a_tenth_of_a_step(
    size: str, layers: int, sharding: str, micro_batches: int, recompute: bool | int
) -> None:
    config, ranks = large(size, layers=layers), 8 if sharding == "fsdp" else 1
    asked: dict[str, Any] = {"sharding": sharding, "micro_batches": micro_batches, "recompute": recompute}
    found = peak_bytes(config, sequence_length=POSITIONS, ranks=ranks, **asked)
    estimate = estimate_memory(config, Load(symbols=POSITIONS, world_size=ranks, **asked))
    assert estimate.total_bytes == pytest.approx(found, rel=0.1)


@pytest.mark.parametrize("size", ["pico", "tiny"])
def test_the_estimate_in_fp32_is_within_a_tenth_of_a_step(size: str) -> None:
    config = sized_config(size, vocabulary=65_856, raw_heads=3)
    found = peak_bytes(config, sequence_length=512, micro_batch_size=8, micro_batches=2, compute_dtype=torch.float32)
    asked = Load(symbols=4096, sharding="ddp", world_size=1, micro_batches=2, compute_bytes=4)
    assert estimate_memory(config, asked).total_bytes == pytest.approx(found, rel=0.1)


def test_nodes_hold_copies() -> None:
    one, many = load(), load(world_size=64)
    assert estimate_memory(large(), one) == estimate_memory(large(), many)
    step = peak_bytes(large("0.5b", layers=2), sequence_length=2048, micro_batches=2, sharding="fsdp", ranks=16)
    node = peak_bytes(large("0.5b", layers=2), sequence_length=2048, micro_batches=2, sharding="fsdp", ranks=8)
    assert step == pytest.approx(node, rel=0.01)
    assert "fsdp on 64, 8 a node)" in describe(large(), many, sequence_length=16_384)


def test_one_rank_shards_nothing() -> None:
    alone = estimate_memory(large(), load(world_size=1))
    assert alone == estimate_memory(large(), load(world_size=1, sharding="ddp"))
    assert fewest_gpus(large(), load(), gpu_bytes=1e15) == 2
    assert "1 GPU of" not in where_it_fits(large("14b"), load())
    assert "1 GPU of 180 GB," in where_it_fits(large(), load()) + ","


def test_recomputation_and_one_micro_batch_take_less() -> None:
    for sharding, ranks in (("ddp", 1), ("fsdp", 8)):
        asked = load(sharding=sharding, world_size=ranks)
        whole = estimate_memory(large(), asked).total_bytes
        assert estimate_memory(large(), replace(asked, micro_batches=1)).total_bytes < whole
        assert estimate_memory(large(), replace(asked, recompute=False)).total_bytes > whole


def test_as_few_blocks_are_recomputed_as_memory_asks_for() -> None:
    config, asked = large("0.5b"), load(sharding="ddp", world_size=1)
    sizes = [estimate_memory(config, replace(asked, recompute=count)).total_bytes for count in range(29)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == estimate_memory(config, replace(asked, recompute=False)).total_bytes
    assert sizes[28] == estimate_memory(config, replace(asked, recompute=True)).total_bytes
    for count in (0, 1, 13, 28):
        exactly = sizes[count] / CHOSEN_SHARE
        assert blocks_to_recompute(config, asked, device_bytes=1.0001 * exactly) == count
    assert blocks_to_recompute(config, asked, device_bytes=1e9) == 28, "a refusal is another function's"
    kinds = {kind: blocks_to_recompute(config, asked, device_bytes=size) for kind, size in GPU_BYTES.items()}
    assert kinds["80 GB"] == 0 < kinds["40 GB"] < 28


def test_what_is_said_of_a_run() -> None:
    text = describe(large(vocabulary=96_960), load(symbols=32_768), sequence_length=16_384)
    assert "7.78 B parameters (6.98 B in blocks" in text
    assert "2 × 16,384 symbols, fsdp on 8)" in text


def test_what_does_not_fit_is_refused_with_the_arithmetic() -> None:
    asked = load(symbols=32_768, sharding="ddp", world_size=1)
    with pytest.raises(SettingsError, match=r"need 1\d\d\.\d GB .* this machine has 8\.0 GB; it fits on .* with fsdp"):
        check_fits(large(), asked, device_bytes=8e9, device="this machine")
    check_fits(large(), asked, device_bytes=300e9, device="this machine")
    with pytest.raises(SettingsError, match="or --recompute$"):
        check_fits(large("0.5b"), replace(asked, recompute=False), device_bytes=8e9, device="this machine")


def test_an_unknown_sharding_is_refused() -> None:
    with pytest.raises(SettingsError, match="sharding 'zero' is unknown; choose ddp or fsdp"):
        load(sharding="zero")
