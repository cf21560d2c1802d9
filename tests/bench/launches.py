"""Operators that a GPU has to launch for a whole training step, and for a read of the exact byte LM.

    python -m tests.bench launches

Counted as torch dispatches them, of tensors without values, so the size costs nothing; views, and room that is only
allocated, launch nothing and are left out. A training step is counted outside of its blocks, which are compiled on
GPUs: what a compiler makes of one is in `tests/trainer/model/test_compiled.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from kernels.byte_lm import ByteLM
from kernels.byte_lm_config import PRESETS, ByteLMConfig
from kernels.exact_lm import ExactByteLM
from kernels.exact_quantise import quantise_byte_lm
from kernels.exact_steps import Rows, TorchRows
from kernels.exact_triton import TritonRows
from tests.trainer.batches import one_document_each
from trainer.data.loader import PackedBatch
from trainer.model.config import EvaByteConfig
from trainer.model.evabyte import Block, EvaByte
from trainer.model.heads import Heads
from trainer.training.optim import adamw
from trainer.training.parallel import Distributed
from trainer.training.settings import TrainSettings
from trainer.training.sizes import sized_config
from trainer.training.step import TrainStep

ROOM = ("empty", "empty_like", "empty_strided", "new_empty", "lift_fresh", "_unsafe_view")
READ_ROWS = 64


class Launches(TorchDispatchMode):
    """Counts operators by the part of the work that `part` names while they are dispatched."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, Counter[str]] = {}
        self._parts = ["other"]

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What is dispatched inside belongs to the part `name`."""
        self._parts.append(name)
        try:
            yield
        finally:
            self._parts.pop()

    def named(self, owner: Any, method: str, name: str) -> Any:
        """A patch under which what a method dispatches is the part `name`."""
        own: Callable[..., Any] = getattr(owner, method)

        def call(*args: Any, **named: Any) -> Any:
            with self.part(name):
                return own(*args, **named)

        return mock.patch.object(owner, method, call)

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count it, and do it."""
        schema = operator._schema
        views = any(each.alias_info is not None and not each.alias_info.is_write for each in schema.returns)
        space, name = schema.name.split("::")
        if space == "aten" and not views and name not in ROOM:
            self.counts.setdefault(self._parts[-1], Counter())[name] += 1
        return operator(*args, **(kwargs or {}))


class _NoBlock(torch.autograd.Function):
    """In the place of a block: gradients for all of its parameters, and operators that are counted apart."""

    @staticmethod
    def forward(ctx: Any, launches: Launches, x: Tensor, *parameters: Tensor) -> Tensor:
        ctx.launches, ctx.parameters = launches, parameters
        with launches.part("blocks"):
            return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        with ctx.launches.part("blocks"):
            return (None, gradients[0].clone(), *(torch.zeros_like(each) for each in ctx.parameters))


def step_launches(config: EvaByteConfig, *, positions: int, micro_batches: int) -> dict[str, Counter[str]]:
    """Operators of one step on one GPU, outside of its blocks, by its parts."""
    settings = TrainSettings.for_size(
        "0.5b", sequence_length=positions, micro_batch_size=1, batch_symbols=micro_batches * positions
    )
    dist = Distributed(rank=0, size=1, device=torch.device("cpu"), compute_dtype=torch.bfloat16)
    context, launches = EvaByte.context, Launches()
    with ExitStack() as stack:
        for patch in (
            FakeTensorMode(),
            mock.patch.object(
                Block, "compute", lambda block, x, context: _NoBlock.apply(launches, x, *block.parameters())
            ),
            mock.patch.object(EvaByte, "context", lambda model, *args, **named: context(model, *args, flex=True)),
            mock.patch("trainer.model.products._has_fp32_sums", lambda factor: True),
            # Tensors without values have types of their own, for which torch would clip one by one.
            mock.patch("torch.nn.utils.clip_grad._has_foreach_support", lambda tensors, device: True),
        ):
            stack.enter_context(patch)
        model = EvaByte(config)
        optimizer = adamw(model.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=True)
        steps = TrainStep(settings, config, dist, model, optimizer)
        for patch in (
            launches.named(TrainStep, "_accumulate", "ids, weights, sums"),
            launches.named(EvaByte, "hidden", "embedding and last norm"),
            launches.named(EvaByte, "context", "mask and rotation"),
            launches.named(Heads, "forward", "heads"),
            launches.named(Tensor, "backward", "backward outside of heads and blocks"),
            launches.named(nn.utils, "clip_grad_norm_", "clip"),
            launches.named(TrainStep, "_note", "finite or not"),
            launches.named(optimizer, "step", "AdamW"),
        ):
            stack.enter_context(patch)
        assert steps.take(_batch(micro_batches, positions, 0))
        with launches:
            assert steps.take(_batch(micro_batches, positions, 1))
    return launches.counts


def _batch(rows: int, positions: int, number: int) -> PackedBatch:
    return one_document_each(np.full((rows, positions), 100, np.int32), number)


def read_launches(config: ByteLMConfig, *, triton: bool, depth: int = 15) -> int:
    """Launches of one read of prefixes of `depth` bytes, frequencies included: by plain torch, or Triton's kernels."""
    model = ByteLM(config)
    model.initialise(0)
    arrays = quantise_byte_lm(config, {name: weight.detach().numpy() for name, weight in model.named_parameters()})
    cpu, kernels = torch.device("cpu"), mock.Mock()
    with mock.patch("kernels.exact_triton.kernels"), mock.patch.object(TritonRows, "_run", kernels):
        steps: Rows = TritonRows(config, arrays, cpu) if triton else TorchRows(config, arrays, cpu)
        exact = ExactByteLM(config, arrays, product="int8", rows=steps)
        cache = exact.new_kv_cache(READ_ROWS * (depth + 1))
        for part in (cache.keys, cache.key_scales, cache.values, cache.value_scales):
            part.zero_()
        places = torch.arange(READ_ROWS * (depth + 1)).view(depth + 1, READ_ROWS).T.contiguous()
        launches = Launches()
        with torch.no_grad(), launches:  # inference mode shows conversions as views
            exact.cumulative_frequencies(exact.forward_step(torch.arange(READ_ROWS), places, cache), 16)
    return launches.counts["other"].total() + kernels.call_count


def main() -> None:
    """Print both counts."""
    for size, micro_batches in (("0.5b", 1), ("0.5b", 2), ("7b", 2)):
        config = sized_config(size, vocabulary=65_856, raw_heads=1)
        counts = step_launches(config, positions=16_384, micro_batches=micro_batches)
        counts.pop("blocks")
        parts = ", ".join(f"{name} {own.total()}" for name, own in counts.items())
        whole = sum(own.total() for own in counts.values())
        print(f"{size}, {micro_batches} micro-batches of 16,384: {whole:,} outside of blocks: {parts}")
    for name, shape in PRESETS.items():
        for triton in (False, True):
            whole, one = (read_launches(each, triton=triton) for each in (shape, replace(shape, layers=1)))
            by = "Triton's kernels" if triton else "plain torch"
            print(f"{name}, {by}: a read {whole:,}, a layer {(whole - one) // (shape.layers - 1)}")


if __name__ == "__main__":
    main()
