"""Steps of a run of any size on any number of ranks, by tensors without memory, and what they would have taken.

    FakeTensorMode ─ tensors with shapes alone; the fake process group ─ collectives that do not wait for anyone
    MemTracker     ─ bytes of all storages that live at once, as the real TrainStep makes them and lets them go

The device is the CPU, whose attention is SDPA by windows, in the compute dtype asked for; products with fp32 sums are
those of a GPU. Compilers do not run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.distributed as torch_dist
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.distributed._tools.mem_tracker import MemTracker
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.testing._internal.distributed.fake_pg import FakeStore

from tests.trainer.batches import one_document_each
from trainer.data.loader import PackedBatch
from trainer.model.config import EvaByteConfig
from trainer.model.evabyte import EvaByte
from trainer.training.optim import adamw
from trainer.training.parallel import Distributed, parallelize
from trainer.training.settings import TrainSettings
from trainer.training.step import TrainStep


@contextmanager
def fake_ranks(size: int, *, per_node: int, compute_dtype: torch.dtype) -> Iterator[Distributed]:
    """The first of `size` ranks, of which the others do not exist."""
    rank = Distributed(rank=0, size=size, device=torch.device("cpu"), compute_dtype=compute_dtype)
    torch_dist.init_process_group("fake", rank=0, world_size=size, store=FakeStore())
    try:
        with mock.patch.dict(os.environ, LOCAL_WORLD_SIZE=str(per_node)):
            yield rank
    finally:
        torch_dist.destroy_process_group()


def peak_bytes(
    config: EvaByteConfig,
    *,
    sequence_length: int,
    micro_batches: int,
    micro_batch_size: int = 1,
    sharding: str = "ddp",
    ranks: int = 1,
    per_node: int = 8,
    recompute: bool | int = False,
    compute_dtype: torch.dtype = torch.bfloat16,
) -> int:
    """Most bytes that live at once on a rank in a step, moments included; fused AdamW, which ends it, takes no more.

    DDP does not take such tensors: `ddp` is one rank without it. Its buckets are the gradients, never let go.
    """
    assert ranks == 1 or sharding == "fsdp"
    settings = TrainSettings.for_size(
        "tiny",
        sharding=sharding,
        sequence_length=sequence_length,
        micro_batch_size=micro_batch_size,
        batch_symbols=micro_batches * micro_batch_size * sequence_length * ranks,
    )
    with fake_ranks(ranks, per_node=min(per_node, ranks), compute_dtype=compute_dtype) as dist, FakeTensorMode():
        bare = EvaByte(config)
        bare.recompute_blocks(config.layers * recompute if isinstance(recompute, bool) else recompute)
        # Fake weights are in place, and have no values.
        in_place = mock.patch.object(EvaByte, "to_empty", lambda model, device: model)
        real_mesh = mock.patch("trainer.training.parallel.init_device_mesh", _real_mesh)
        with in_place, real_mesh, mock.patch("trainer.training.parallel.initialise"):
            model = parallelize(bare, dist, sharding=sharding, seed=0)
        optimizer = adamw(model.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=True)
        steps = TrainStep(settings, config, dist, model, optimizer)
        tracker = MemTracker()

        def forget() -> bool:
            """Begin the account by modules anew before each micro-batch: it knows one forward."""
            tracker.reset_mod_stats()
            return False

        tracker.track_external(model, optimizer)
        with tracker, mock.patch("trainer.model.products._has_fp32_sums", lambda factor: True):
            batch = _batch(micro_batches * micro_batch_size, sequence_length)
            assert steps._accumulate(batch, forget) is not None
    (snapshot,) = tracker.get_tracker_snapshot("peak").values()
    return snapshot["Total"]


def _real_mesh(*args: Any, **options: Any) -> DeviceMesh:
    """A mesh keeps its ranks in a tensor that is read."""
    with unset_fake_temporarily():
        return init_device_mesh(*args, **options)


def _batch(rows: int, positions: int) -> PackedBatch:
    return one_document_each(np.full((rows, positions), 100, np.int32), lookahead=4)
