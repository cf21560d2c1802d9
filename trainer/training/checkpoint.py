"""Checkpoints: everything that the next step depends on, in safetensors and JSON, never in pickle.

    runs/tiny/checkpoints/step-00000100/
      shard-00001-model-00001-of-00001.safetensors …    weights and both moments, each rank its own part
      state.json                                        step, settings, shape, loader positions of all lanes, and what
                                                        the step was worth on held-out documents, if that was measured
    runs/tiny/checkpoints/best                          a link to the one that was worth most, which is never removed

torch.distributed.checkpoint writes the tensors and reads each rank's part of them, so any number of ranks can
continue from any other, sharded or not. A checkpoint is written as `step-N.tmp` and renamed when it is whole.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as torch_dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint import HuggingFaceStorageReader, HuggingFaceStorageWriter

from schemas.errors import ArtifactError, UserError, one_line, refusing
from schemas.files import canonical_json, replace_file
from schemas.json_files import Count, read_json, said, typed
from trainer.training.parallel import Distributed
from trainer.training.upgrade import from_version_1, with_added_settings

logger = logging.getLogger(__name__)

STATE_NAME = "state.json"
BEST_NAME = "best"
HELD_OUT = "held_out"
"""Key of a state: a `HeldOutBits` of trainer.training.held_out, as JSON values."""
CHECKPOINT_VERSION = 2
EARLIER = "take an earlier checkpoint: remove this one"


def tensors(model: nn.Module, *optimizers: torch.optim.Optimizer) -> dict[str, Tensor]:
    """All tensors of a training's state by name: weights, and what the optimizers keep of each, but its step."""
    named: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        name = name.removeprefix("module.")
        named[f"model.{name}"] = parameter.data
        for optimizer in optimizers:
            kept = optimizer.state.get(parameter, {})
            named |= {f"{field}.{name}": tensor for field, tensor in kept.items() if field != "step"}
    return named


def save(
    run: str,
    model: nn.Module,
    *optimizers: torch.optim.Optimizer,
    dist: Distributed,
    state: dict[str, Any],
    keep: int,
) -> str:
    """Write the checkpoint of `state["step"]` into RUN/checkpoints; remove all but the best and the last `keep`."""
    return write(run, tensors(model, *optimizers), dist=dist, state=state, keep=keep)


def write(
    run: str,
    named: dict[str, Tensor],
    *,
    dist: Distributed,
    state: dict[str, Any],
    keep: int,
    group: torch_dist.ProcessGroup | None = None,
) -> str:
    """As `save`, of tensors by name: those of all ranks together, a tensor that several have from any of them.

    group: of all ranks, in which they wait for each other; None: the default one.
    """
    folder = os.path.join(run, "checkpoints")
    path = os.path.join(folder, f"step-{state['step']:08d}")
    temporary = f"{path}.tmp"
    if dist.is_first:
        shutil.rmtree(temporary, ignore_errors=True)
        os.makedirs(temporary)
    dist.barrier(group)
    # For good: a context of warnings would be another thread's too.
    warnings.filterwarnings("ignore", message="torch.distributed is disabled")
    writer = HuggingFaceStorageWriter(path=temporary, save_distributed=True)
    dcp.save(named, storage_writer=writer, process_group=group)
    dist.barrier(group)
    if dist.is_first:
        whole = {"version": CHECKPOINT_VERSION, **state}
        replace_file(os.path.join(temporary, STATE_NAME), canonical_json(whole))
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
        best = best_checkpoint(run)
        if best is not None:
            _name_best(best[0])
        for older in checkpoints(run)[:-keep]:
            if best is None or older != best[0]:
                shutil.rmtree(older)
    dist.barrier(group)
    return path


def checkpoints(run: str) -> list[str]:
    """The whole checkpoints of a run, oldest first."""
    folder = os.path.join(run, "checkpoints")
    if not os.path.isdir(folder):
        return []
    names = [name for name in os.listdir(folder) if name.startswith("step-") and not name.endswith(".tmp")]
    return [os.path.join(folder, name) for name in sorted(names)]


def best_checkpoint(run: str) -> tuple[str, dict[str, Any]] | None:
    """The checkpoint with the fewest bits per byte on held-out documents, the earliest of equals, and these figures.

    Only those measured on the same bytes as the last one that was measured at all count; None where none was.
    """
    measured = []
    for path in checkpoints(run):
        try:
            held_out = read_state(path).get(HELD_OUT)
        except ArtifactError:  # a damaged one is not the best, and no reason to stop
            continue
        if held_out is not None:
            measured.append((path, held_out))
    same = [each for each in measured if each[1]["digest"] == measured[-1][1]["digest"]]
    return min(same, key=lambda each: each[1]["bits_per_byte"], default=None)


def _name_best(path: str) -> None:
    """Let the link `best` beside a checkpoint lead to it, where the file system has links."""
    folder, name = os.path.split(path)
    link = os.path.join(folder, BEST_NAME)
    with contextlib.suppress(OSError):
        temporary = f"{link}.tmp"
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        os.symlink(name, temporary)
        os.replace(temporary, link)


def read_state(path: str) -> dict[str, Any]:
    """The JSON part of a checkpoint; ArtifactError where it is missing, damaged or of another version."""
    name = os.path.join(path, STATE_NAME)
    if not os.path.exists(name):
        raise ArtifactError(
            f"{path} is no checkpoint: it has no {STATE_NAME}; name a run directory or one of its steps"
        )
    state = read_json(name, error=ArtifactError, remedy=EARLIER)
    version = state.get("version")
    if version not in (1, CHECKPOINT_VERSION):
        raise ArtifactError(
            f"{path} has checkpoint version {said(version)}, this program reads 1 and {CHECKPOINT_VERSION}: "
            "use the release that wrote it"
        )
    state = with_added_settings(from_version_1(state) if version == 1 else state)
    with refusing(name, ArtifactError, EARLIER):
        return _checked(state)


def _checked(state: dict[str, Any]) -> dict[str, Any]:
    """The state, if what every reader needs of it is there and of its type; else ValueError."""
    typed(Count, state.get("step"), "step")
    typed(dict, state.get("settings"), "settings")
    for key in ("config", "loader"):
        typed(dict | None, state.get(key), key)
    held_out = typed(dict | None, state.get(HELD_OUT), HELD_OUT)
    if held_out is not None:
        typed(float, held_out.get("bits_per_byte"), f"bits_per_byte of {HELD_OUT}")
        typed(str, held_out.get("digest"), f"digest of {HELD_OUT}")
    return state


def load(path: str, named: dict[str, Tensor]) -> None:
    """Read tensors into `named` in place, whatever number of ranks wrote them; ArtifactError where they do not fit."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            dcp.load(named, storage_reader=HuggingFaceStorageReader(path=path))
    except (Exception, dcp.CheckpointException) as error:  # the latter is a BaseException
        # What one rank met says more than the list of all of them.
        first = next(iter(getattr(error, "failures", {}).values()), (error,))[0]
        raise ArtifactError(
            f"the tensors in {path} cannot be read ({one_line(first)[:200]}); take an earlier checkpoint"
        ) from error


def resume(
    run: str, model: nn.Module, *optimizers: torch.optim.Optimizer, content: dict[str, Any], free: tuple[str, ...] = ()
) -> dict[str, Any] | None:
    """Restore the last checkpoint of a run and return its state, None where the run has none.

    content: the settings, as JSON values, that the checkpoint's `settings` must agree with, but those named in `free`;
    ArtifactError where they do not.
    """
    saved = checkpoints(run)
    if not saved:
        return None
    state = read_state(saved[-1])
    for name, value in content.items():
        if name not in free and state["settings"].get(name) != value:
            raise ArtifactError(
                f"{saved[-1]} was made with {name}={str(state['settings'].get(name))[:80]}, this run has {value}; "
                "choose another --out, or the settings of that one"
            )
    restore(saved[-1], model, *optimizers, step=state["step"])
    logger.info("resumed at step %d from %s", state["step"], saved[-1])
    return state


@contextlib.contextmanager
def naming_last(run: str) -> Iterator[None]:
    """Put the last checkpoint of a run in front of what its loader state is refused for."""
    try:
        yield
    except UserError as error:
        raise type(error)(f"{os.path.join(checkpoints(run)[-1], STATE_NAME)}: {error}") from error


def refuse_other_step(state: dict[str, Any]) -> None:
    """ArtifactError where a state has no loader's state, or one of another step."""
    loader = state.get("loader")
    if loader is None or loader.get("step") != state["step"]:
        raise ArtifactError(f"the loader's state is not of step {state['step']}; {EARLIER}")


def restore(path: str, model: nn.Module, *optimizers: torch.optim.Optimizer, step: int) -> None:
    """Weights and optimizers' state of a checkpoint into a fresh model and fresh optimizers."""
    load(path, tensors(model, *optimizers))
    for kept in (kept for optimizer in optimizers for kept in optimizer.state.values()):
        kept["step"].fill_(step)
