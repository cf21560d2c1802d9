"""How much memory a training run needs on each GPU, known before anything is allocated. GB are 10^9 bytes.

State: AdamW over fp32 weights keeps weight, gradient and two moments, 16 bytes a parameter; DDP holds all of it on
every GPU, FSDP2 an n-th. Beside it, with every block recomputed and bf16 compute, for S symbols on a GPU:

    block inputs       2 · L · S · d           one per block, kept from forward to backward
    one block again    2 · S · (3f + 14d)      what the block under recomputation keeps
    DDP bf16 copy      2 · N                   autocast's copies of the weights
    FSDP gathered      8 · block + 2 · (embedding + heads)
    heads' gradient    6 · heads               fp32 sum and its bf16 copy
    logits             12 bytes each           `trainer.model.heads.LOGITS_AT_ONCE` of them, or all if fewer
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.errors import SettingsError
from trainer.model.config import EvaByteConfig
from trainer.model.heads import LOGITS_AT_ONCE

STATE_BYTES_PER_PARAMETER = 16
USABLE_SHARE = 0.95
"""Of a device's memory; the rest goes to the context, NCCL and fragmentation."""
GPU_BYTES = {"40 GB": 39 << 30, "80 GB": 79 << 30, "141 GB": 140 << 30, "180 GB": 178 << 30}
"""By the makers' names; the values are what the driver reports, about."""
MAX_GPUS = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryEstimate:
    """How many bytes a training run needs on one GPU."""

    state_bytes: float
    """Weights, gradients and optimizer moments."""
    activation_bytes: float
    """Everything that grows with the symbols on a GPU, and the buffers."""

    @property
    def total_bytes(self) -> float:
        """State and activations together."""
        return self.state_bytes + self.activation_bytes


def estimate_memory(config: EvaByteConfig, *, symbols: int, sharding: str, world_size: int) -> MemoryEstimate:
    """Memory per GPU for `symbols` symbols per GPU and micro-batch, under sharding `ddp` or `fsdp`."""
    if sharding not in ("ddp", "fsdp"):
        raise SettingsError(f"sharding {sharding!r} is unknown; choose ddp or fsdp")
    block = config.body_parameters // config.layers
    ends = config.parameters - config.body_parameters
    logits = min(LOGITS_AT_ONCE, symbols * config.vocabulary * config.symbol_heads)
    activations = (
        2 * config.layers * symbols * config.dim
        + 2 * symbols * (3 * config.ffn_dim + 14 * config.dim)
        + 6 * config.head_parameters
        + 12 * logits
        + (2 * config.parameters if sharding == "ddp" else 8 * block + 2 * ends)
    )
    state = STATE_BYTES_PER_PARAMETER * config.parameters / (world_size if sharding == "fsdp" else 1)
    return MemoryEstimate(state_bytes=state, activation_bytes=activations)


def fewest_gpus(config: EvaByteConfig, *, symbols: int, sharding: str, gpu_bytes: float) -> int | None:
    """The smallest power of two of GPUs on which the run fits, or None; for `ddp` one or none."""
    world_size = 1
    while world_size <= (1 if sharding == "ddp" else MAX_GPUS):
        needed = estimate_memory(config, symbols=symbols, sharding=sharding, world_size=world_size).total_bytes
        if needed <= USABLE_SHARE * gpu_bytes:
            return world_size
        world_size *= 2
    return None


def where_it_fits(config: EvaByteConfig, *, symbols: int) -> str:
    """`1 GPU of 141 GB with ddp, 4 GPUs of 80 GB with fsdp, …`: the fewest for every kind of GPU on which it fits."""
    places = []
    for kind, gpu_bytes in GPU_BYTES.items():
        for sharding in ("ddp", "fsdp"):
            count = fewest_gpus(config, symbols=symbols, sharding=sharding, gpu_bytes=gpu_bytes)
            if count:
                places.append(f"{count} GPU{'s' * (count > 1)} of {kind} with {sharding}")
                break
    return ", ".join(places) or "no GPU; take fewer symbols per GPU"


def describe(
    config: EvaByteConfig, *, micro_batch_size: int, sequence_length: int, sharding: str, world_size: int
) -> str:
    """One line before anything is allocated: parameters, FLOP per symbol, memory per GPU for one micro-batch."""
    memory = estimate_memory(
        config, symbols=micro_batch_size * sequence_length, sharding=sharding, world_size=world_size
    )
    return (
        f"{_billions(config.parameters)} parameters ({_billions(config.body_parameters)} in blocks, "
        f"vocabulary {config.vocabulary:,}, heads {config.symbol_heads}+{config.raw_heads}), "
        f"{_count(config.flop_per_symbol(sequence_length))}FLOP per symbol at {sequence_length:,} positions, "
        f"{memory.total_bytes / 1e9:.1f} GB per device "
        f"({memory.state_bytes / 1e9:.1f} state + {memory.activation_bytes / 1e9:.1f} activations; "
        f"{micro_batch_size} × {sequence_length:,} symbols, {sharding} on {world_size})"
    )


def check_fits(
    config: EvaByteConfig,
    *,
    micro_batch_size: int,
    sequence_length: int,
    sharding: str,
    world_size: int,
    device_bytes: float,
    device: str,
) -> None:
    """SettingsError with the arithmetic and the GPUs that would do, if the run exceeds `device_bytes` on a device."""
    symbols = micro_batch_size * sequence_length
    memory = estimate_memory(config, symbols=symbols, sharding=sharding, world_size=world_size)
    if memory.total_bytes > USABLE_SHARE * device_bytes:
        raise SettingsError(
            f"{_billions(config.parameters)} parameters need {memory.total_bytes / 1e9:.1f} GB on each of {world_size} "
            f"({memory.state_bytes / 1e9:.1f} state + {memory.activation_bytes / 1e9:.1f} activations for {symbols:,} "
            f"symbols, {sharding}), {device} has {device_bytes / 1e9:.1f} GB; it fits on "
            f"{where_it_fits(config, symbols=symbols)}; or take a smaller SIZE or a smaller --micro-batch-size"
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
