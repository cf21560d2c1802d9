"""Ranks: joining them, placing a model on them, and adding up what they computed.

Started by torchrun, a process joins its group (nccl on GPUs, gloo on CPUs); started alone, there is no group and every
sum is its own. DDP keeps a whole model per rank; FSDP2 shards blocks and heads, across the GPUs of a node and
replicated over nodes where there are several. Gradients are summed, not averaged: the loss is already divided by the
weight of the whole step. Between micro-batches DDP keeps its gradients to itself; FSDP2 scatters them every time, since
a rank could not hold those of the whole model, and adds them up across nodes once a step.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as torch_dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel

from schemas.errors import SettingsError, TrainingError
from trainer.model.evabyte import EvaByte, initialise
from trainer.training.attempts import store_of_attempt
from trainer.training.device import device_line, training_device

logger = logging.getLogger(__name__)

TIMEOUT = timedelta(minutes=30)
"""How long ranks wait for one that reads shards or writes a checkpoint; torch's own is 10 minutes."""

NAME_TIMEOUT_SECONDS, NAME_PAUSE_SECONDS = 300.0, 10.0
"""How long the name of the first node is asked for, which a cluster may make known after its processes run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Distributed:
    """This process among the others of a run, its ranks."""

    rank: int
    """Number of this process, 0 to size − 1."""
    size: int
    """Number of processes."""
    device: torch.device
    """Where this process computes."""
    compute_dtype: torch.dtype = torch.float32
    """Type of matrix products and of the residual stream; weights, moments and sums of gradients are fp32."""

    @property
    def is_first(self) -> bool:
        """Whether this rank writes metrics and names."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """Replace values by their sum over all ranks, and return them."""
        if self.size > 1:
            torch_dist.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank. Exchanged between CPUs, so that no GPU waits."""
        return bool(self.total(torch.tensor(float(flag))).item())

    def gather(self, value: object) -> list:
        """The values of all ranks, on every rank."""
        if self.size == 1:
            return [value]
        values: list = [None] * self.size
        torch_dist.all_gather_object(values, value)
        return values

    def barrier(self, group: torch_dist.ProcessGroup | None = None) -> None:
        """Wait for all ranks, by a group of all of them or by the default one."""
        if self.size > 1:
            torch_dist.barrier(group)


@contextmanager
def init_distributed(device: str) -> Iterator[Distributed]:
    """Join the group that torchrun set up, if it did, and leave it at the end."""
    kind = training_device(device)
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    place = torch.device(kind, local_rank) if kind == "cuda" else torch.device(kind)
    if kind == "cuda":
        torch.cuda.set_device(place)
    if os.environ.get("RANK", "0") == "0":
        logger.info("%s", device_line(kind, device))
    compute_dtype = torch.bfloat16 if kind == "cuda" else torch.float32
    if "RANK" not in os.environ:
        yield Distributed(rank=0, size=1, device=place, compute_dtype=compute_dtype)
        return
    if missing := [name for name in ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise SettingsError(
            f"RANK is set, but not {missing[0]}; start ranks with torchrun, or unset RANK to train alone"
        )
    _find_first_node()
    backends, bound = ("cpu:gloo,cuda:nccl", place) if kind == "cuda" else ("gloo", None)
    store, rank, size = next(torch_dist.rendezvous("env://", timeout=TIMEOUT))
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        store = store_of_attempt(store, rank, size, timeout=TIMEOUT)
    torch_dist.init_process_group(backends, store=store, rank=rank, world_size=size, device_id=bound, timeout=TIMEOUT)
    try:
        yield Distributed(
            rank=torch_dist.get_rank(), size=torch_dist.get_world_size(), device=place, compute_dtype=compute_dtype
        )
    finally:
        torch_dist.destroy_process_group()


def _find_first_node() -> None:
    """See to it that the first node's address is one: torch waits for a name that nobody knows without a word.

    TrainingError where the name of another node is not known in time.
    """
    if os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]:
        # torchrun gives this machine's name, which a container often cannot resolve.
        os.environ["MASTER_ADDR"] = "127.0.0.1"
        return
    name, deadline = os.environ["MASTER_ADDR"], time.monotonic() + NAME_TIMEOUT_SECONDS
    while True:
        try:
            socket.getaddrinfo(name, None)
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise TrainingError(
                    f"no address is known for {name}, the first node (MASTER_ADDR), after {NAME_TIMEOUT_SECONDS:g} s "
                    f"({error.strerror}); make it known on all nodes, or see docs/multi-node.md for nodes without names"
                ) from error
            logger.info("waiting for an address of %s, the first node (%s)", name, error.strerror)
            time.sleep(NAME_PAUSE_SECONDS)


def ranks_per_node(size: int) -> int:
    """Ranks on this node, of `size` in all, as torchrun started them; alone, all of them."""
    return min(size, int(os.environ.get("LOCAL_WORLD_SIZE", str(size))))


def parallelize(model: EvaByte, dist: Distributed, *, sharding: str, seed: int, look_back: bool = False) -> nn.Module:
    """A model from the meta device, in memory and initialised: as it is, in DDP, or sharded by FSDP2."""
    if sharding == "fsdp" and dist.size > 1:
        _shard(model, dist)
        model.to_empty(device=dist.device)
        initialise(model, seed, look_back=look_back)
        return model
    model.to_empty(device=dist.device)
    initialise(model, seed, look_back=look_back)
    if dist.size > 1:
        ids = [dist.device.index] if dist.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=ids, gradient_as_bucket_view=True)
    return model


def _shard(model: EvaByte, dist: Distributed) -> None:
    """FSDP2 over blocks, heads and the rest; weights fp32 at rest, gathered in the compute dtype."""
    local = ranks_per_node(dist.size)
    kind = dist.device.type
    if dist.size > local:
        mesh = init_device_mesh(kind, (dist.size // local, local), mesh_dim_names=("replicate", "shard"))
    else:
        mesh = init_device_mesh(kind, (dist.size,))
    policy = MixedPrecisionPolicy(param_dtype=dist.compute_dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
    for block in model.blocks:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model.heads, mesh=mesh, mp_policy=policy, reshard_after_forward=False)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)


def loss_scale(model: nn.Module, dist: Distributed) -> float:
    """What the loss is multiplied with so that gradients come out summed over the ranks: DDP averages them."""
    return float(dist.size) if isinstance(model, DistributedDataParallel) else 1.0


def synchronised(model: nn.Module, last: bool) -> AbstractContextManager[object]:
    """Around forward and backward of a micro-batch; `last` of its step.

    DDP sums gradients after the last one. FSDP2 reduces and scatters them after each: held back, they would be the
    whole model's, in fp32, on every rank. Its sum over nodes waits for the last one.
    """
    if isinstance(model, DistributedDataParallel):
        return nullcontext() if last else model.no_sync()
    if isinstance(model, FSDPModule):
        model.set_requires_all_reduce(last)
    return nullcontext()
