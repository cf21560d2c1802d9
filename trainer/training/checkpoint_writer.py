"""Checkpoints written beside training: it waits for a copy in the host's memory, and a thread writes that.

    save ─► the write before is over? ─► copies of this rank's part ─► thread: files, barrier, rename ─► wait
    (training goes on)   ◄──────────────────┘

What is on disk at any moment is what `trainer.training.checkpoint` promises: whole checkpoints, and one `.tmp` at most.
The ranks' threads talk to each other in a gloo group of their own, so that nothing gets between training's messages.

The copies take what a rank writes, 12 bytes a parameter over all ranks that share the state, and are kept for the next
checkpoint; while files are written there is up to as much again for a moment. Where the host has not that much, the
checkpoint is written at once, training waiting, as before.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import torch
import torch.distributed as torch_dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from schemas.errors import ArtifactError, one_line
from schemas.machine import available_memory_bytes
from trainer.training import checkpoint
from trainer.training.parallel import Distributed, ranks_per_node

logger = logging.getLogger(__name__)

COPIES_WHILE_WRITING = 2
"""Of a rank's part: the one that is kept, and what the format's writer makes of it."""


class CheckpointWriter:
    """Writes the checkpoints of one run, one at a time. A context manager: leaving it waits for the last one."""

    def __init__(
        self, run: str, model: nn.Module, *optimizers: torch.optim.Optimizer, dist: Distributed, keep: int
    ) -> None:
        """model, optimizers: what is written, as it is when `save` is called. keep: checkpoints, as in `save`."""
        self._run, self._model, self._optimizers = run, model, optimizers
        self._dist, self._keep = dist, keep
        self._group = torch_dist.new_group(backend="gloo") if dist.size > 1 else None
        self._copies: dict[str, Tensor] = {}
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.wait()
        elif self._thread is not None:
            self._thread.join()

    def save(self, state: dict[str, Any]) -> float:
        """Begin the checkpoint of `state["step"]`; the seconds that training waited. All ranks must ask.

        ArtifactError where the checkpoint before this one could not be written.
        """
        begin = time.perf_counter()
        self.wait()
        own = own_part(checkpoint.tensors(self._model, *self._optimizers), self._dist)
        if self._dist.any(not self._copies and not _fits(own, self._dist)):
            if self._dist.is_first:
                logger.warning("checkpoints are written while training waits: the host has no memory for copies")
            self._write(own, state, begin)
            self.wait()
            return time.perf_counter() - begin
        copies = {name: _copy(tensor, self._copies.get(name)) for name, tensor in own.items()}
        self._copies = copies
        waited = time.perf_counter() - begin
        self._thread = threading.Thread(target=self._write, args=(copies, state, begin), name="checkpoint", daemon=True)
        self._thread.start()
        return waited

    def wait(self) -> None:
        """Until the last checkpoint is on disk on all ranks; ArtifactError where a rank could not write its part."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if not self._dist.any(error is not None):
            return
        if isinstance(error, OSError):
            raise error
        reason = "another rank could not write" if error is None else one_line(error)[:200]
        raise ArtifactError(f"the checkpoint was not written ({reason}); look at the disk of {self._run}, and go on")

    def _write(self, named: dict[str, Tensor], state: dict[str, Any], begin: float) -> None:
        """Write a checkpoint, in the thread; what goes wrong is told by `wait`."""
        try:
            checkpoint.write(self._run, named, dist=self._dist, group=self._group, state=state, keep=self._keep)
        except BaseException as error:  # dcp's own is none of Exception
            self._error = error
            return
        if self._dist.is_first:
            logger.info("checkpoint of step %d, written in %.1f s", state["step"], time.perf_counter() - begin)


def own_part(named: dict[str, Tensor], dist: Distributed) -> dict[str, Tensor]:
    """What this rank writes: its shards, and of tensors that every rank has whole a fair share of the bytes."""
    load = [0] * dist.size
    own: dict[str, Tensor] = {}
    for name in sorted(named, key=lambda name: (-named[name].numel(), name)):
        tensor = named[name]
        if isinstance(tensor, DTensor):
            own[name] = tensor
            continue
        rank = load.index(min(load))
        load[rank] += tensor.nbytes
        if rank == dist.rank:
            own[name] = tensor
    return own


def _copy(tensor: Tensor, into: Tensor | None) -> Tensor:
    """The values of now in the host's memory, in the place of an earlier copy if there is one."""
    if into is None:
        return tensor.detach().to("cpu", copy=True)
    _local(into).copy_(_local(tensor))
    return into


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _fits(own: dict[str, Tensor], dist: Distributed) -> bool:
    """Whether the host has memory for what all its ranks would copy and write."""
    size = sum(_local(tensor).nbytes for tensor in own.values())
    return COPIES_WHILE_WRITING * size * ranks_per_node(dist.size) <= available_memory_bytes()
