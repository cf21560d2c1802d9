"""How much memory a training run needs on each GPU, known before anything is allocated. GB are 10^9 bytes.

State: AdamW over fp32 weights keeps weight and two moments, 12 bytes a parameter, and sums up an fp32 gradient, 4 more.
FSDP2 leaves each rank 1/n of it, n the ranks of a node; nodes hold copies. Beside it a step is largest at one of three
moments, for S symbols on a rank, N parameters, b of a block, E of the embedding, H of the heads, in bf16:

    heads        saved + 14 S d + 4 H + 12 logits + weights in bf16: DDP 2 (N − E), FSDP2 2 (E + H + b)
    last block   saved + one block's backward, gradients of the heads
    first block  one block's backward, gradients of all but the embedding

    saved        2 S d, its input, of each block that is recomputed; of each other S (8 f + 39 d)
    backward     S (10 f + 48 d), what the block kept included; its weights in bf16: DDP 2 b, FSDP2 gathered, with
                 their gradients in bf16 and in fp32, 8 b + 2 E + 3 H
    logits       `trainer.model.heads.LOGITS_AT_ONCE` of them, or all if fewer

Gradients are there from the first moment on where a step has several micro-batches, and in the buckets of DDP always.
The factors are those of blocks that are not compiled, on the CPU's operators; compiled ones keep less.
`tests/trainer/model/test_memory.py` compares the sum with whole steps of tensors that have no memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from schemas import machine
from schemas.errors import SettingsError
from trainer.model.config import EvaByteConfig
from trainer.model.heads import LOGITS_AT_ONCE

USABLE_SHARE = 0.95
"""Of a device's memory; the rest goes to the context, NCCL and fragmentation."""
CHOSEN_SHARE = 0.85
"""Of a device's memory, where the program itself chooses what to keep: no GPU has confirmed the estimate."""
GPU_BYTES = {"40 GB": 39 << 30, "80 GB": 79 << 30, "141 GB": 140 << 30, "180 GB": 178 << 30}
"""By the makers' names; the values are what the driver reports, about."""
GPUS_PER_NODE = 8
"""Where nothing else is known. FSDP2 shards within a node, so more GPUs than these save no memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What one rank has to hold."""

    symbols: int
    """Symbols of a micro-batch."""
    sharding: str
    """`ddp` or `fsdp`."""
    world_size: int
    """Ranks of the run."""
    ranks_per_node: int = GPUS_PER_NODE
    """Ranks of a node, or more."""
    micro_batches: int = 1
    """Micro-batches of a step."""
    recompute: bool | int = False
    """Blocks that keep their input alone for backward: all, none, or so many of the first ones."""
    compute_bytes: int = 2
    """Bytes of a number of the residual stream: 2 in bf16, 4 in fp32."""

    def __post_init__(self) -> None:
        if self.sharding not in ("ddp", "fsdp"):
            raise SettingsError(f"sharding {self.sharding!r} is unknown; choose ddp or fsdp")

    @property
    def shards(self) -> int:
        """Ranks that one copy of the state is dealt out to."""
        return min(self.world_size, self.ranks_per_node) if self.sharding == "fsdp" else 1

    @property
    def gradients_stay(self) -> bool:
        """Whether gradients of the whole model exist when forward begins."""
        return self.micro_batches > 1 or (self.sharding == "ddp" and self.world_size > 1)

    def recomputed(self, layers: int) -> int:
        """Number of blocks that are recomputed, of so many."""
        return layers * self.recompute if isinstance(self.recompute, bool) else min(self.recompute, layers)

    @property
    def words(self) -> str:
        """`fsdp on 64, 8 a node`, as messages say it."""
        if self.world_size == 1:
            return "one rank"
        nodes = f", {self.ranks_per_node} a node" if self.world_size > self.ranks_per_node else ""
        return f"{self.sharding} on {self.world_size}{nodes}"


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryEstimate:
    """How many bytes a training run needs on one GPU."""

    state_bytes: float
    """Weights, gradients and optimizer moments."""
    activation_bytes: float
    """Everything that exists beside them at the largest moment; gradients that do not exist then are taken off."""

    @property
    def total_bytes(self) -> float:
        """State and activations together."""
        return self.state_bytes + self.activation_bytes


def estimate_memory(config: EvaByteConfig, load: Load) -> MemoryEstimate:
    """Memory of one rank."""
    n, whole = load.shards, config.parameters
    embedding, heads, block = (
        config.vocabulary * config.dim,
        config.head_parameters,
        config.body_parameters // config.layers,
    )
    stream = load.symbols * config.dim
    kept, in_backward = _block_bytes(config, load)
    again = load.recomputed(config.layers)
    saved = again * load.compute_bytes * stream + (config.layers - again) * kept
    one_more = in_backward if again == config.layers else in_backward - kept
    logits = min(LOGITS_AT_ONCE, load.symbols * config.vocabulary * config.symbol_heads)
    low = load.compute_bytes < 4
    if n > 1:
        at_heads = load.compute_bytes * (embedding + heads + block)
        at_last = at_first = (4 + 2 * load.compute_bytes) * block + load.compute_bytes * embedding + 3 * heads
    else:
        at_heads = 2 * low * (whole - embedding)
        at_last = 2 * low * block * max(1, config.layers - again)
        at_first = at_last if again == 0 else 2 * low * block
    gradients = 4 / n
    missing = 0 if load.gradients_stay else gradients
    moments = (
        saved + (14 if low else 12) * stream + 4 * heads + 12 * logits + at_heads - missing * whole,
        saved + one_more + at_last - missing * (whole - heads),
        in_backward + at_first - missing * (embedding + block),
    )
    return MemoryEstimate(state_bytes=(12 + 4) * whole / n, activation_bytes=max(moments))


def _block_bytes(config: EvaByteConfig, load: Load) -> tuple[float, float]:
    """What a block keeps for backward, and the most that exists when it is gone through backward, that included."""
    ffn, dim = load.symbols * config.ffn_dim, load.symbols * config.dim
    if load.compute_bytes < 4:
        return 8 * ffn + 39 * dim, 10 * ffn + 48 * dim
    return 16 * ffn + 66 * dim, 24 * ffn + 69 * dim


def memory_bytes(device: torch.device) -> int:
    """All memory of a device; for the CPU what this process may use of the machine's."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return machine.memory_bytes()


def blocks_to_recompute(config: EvaByteConfig, load: Load, *, device_bytes: float) -> int:
    """The fewest blocks whose recomputation lets a run fit with room to spare; all of them where that is not enough."""
    for count in range(config.layers):
        if estimate_memory(config, replace(load, recompute=count)).total_bytes <= CHOSEN_SHARE * device_bytes:
            return count
    return config.layers


def fewest_gpus(config: EvaByteConfig, load: Load, *, gpu_bytes: float) -> int | None:
    """The smallest power of two of GPUs of one node on which the run fits, or None; `fsdp` begins at two."""
    for world_size in (1,) if load.sharding == "ddp" else (2, 4, 8):
        placed = replace(load, world_size=world_size, ranks_per_node=GPUS_PER_NODE)
        if estimate_memory(config, placed).total_bytes <= USABLE_SHARE * gpu_bytes:
            return world_size
    return None


def where_it_fits(config: EvaByteConfig, load: Load) -> str:
    """`1 GPU of 141 GB, 4 GPUs of 80 GB with fsdp, …`: the fewest for every kind of GPU on which it fits."""
    places = []
    for kind, gpu_bytes in GPU_BYTES.items():
        for sharding in ("ddp", "fsdp"):
            count = fewest_gpus(config, replace(load, sharding=sharding, compute_bytes=2), gpu_bytes=gpu_bytes)
            if count:
                places.append(f"1 GPU of {kind}" if count == 1 else f"{count} GPUs of {kind} with {sharding}")
                break
    return ", ".join(places) or "no GPU; take fewer symbols per GPU"


def describe(config: EvaByteConfig, load: Load, *, sequence_length: int) -> str:
    """One line before anything is allocated: parameters, FLOP per symbol, memory per GPU."""
    memory = estimate_memory(config, load)
    return (
        f"{_billions(config.parameters)} parameters ({_billions(config.body_parameters)} in blocks, "
        f"vocabulary {config.vocabulary:,}, heads {config.symbol_heads}+{config.raw_heads}), "
        f"{_count(config.flop_per_symbol(sequence_length))}FLOP per symbol at {sequence_length:,} positions, "
        f"{memory.total_bytes / 1e9:.1f} GB per device "
        f"({memory.state_bytes / 1e9:.1f} state + {memory.activation_bytes / 1e9:.1f} activations; "
        f"{load.symbols // sequence_length} × {sequence_length:,} symbols, {load.words})"
    )


def check_fits(config: EvaByteConfig, load: Load, *, device_bytes: float, device: str) -> None:
    """SettingsError with the arithmetic and the GPUs that would do, if the run exceeds `device_bytes` on a device."""
    memory = estimate_memory(config, load)
    if memory.total_bytes > USABLE_SHARE * device_bytes:
        raise SettingsError(
            f"{_billions(config.parameters)} parameters need {memory.total_bytes / 1e9:.1f} GB on each device "
            f"({memory.state_bytes / 1e9:.1f} state + {memory.activation_bytes / 1e9:.1f} activations for "
            f"{load.symbols:,} symbols, {load.words}), {device} has {device_bytes / 1e9:.1f} GB; it fits on "
            f"{where_it_fits(config, load)}; or take a smaller SIZE or a smaller --micro-batch-size"
            + ("" if load.recomputed(config.layers) == config.layers else ", or --recompute")
        )


def _count(value: float) -> str:
    """Three digits and a unit: 7.78 G, 1.07 M."""
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:.3g} "


def _billions(parameters: int) -> str:
    """A number of parameters as people say it: 7.78 B."""
    return _count(parameters).replace("G", "B")
