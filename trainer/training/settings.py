"""What a training run is told. The rest, accumulation above all, is derived and printed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from schemas.errors import SettingsError
from trainer.data.mixing import Mixing
from trainer.model.config import SIZES

SHARDINGS = ("ddp", "fsdp")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSettings:
    """One run. The defaults are the paper's; `for_size` gives those of `tiny`."""

    data: str
    """A finished dataset, local or remote."""
    run: str
    """Directory of the run: settings, metrics, checkpoints."""
    size: str = "7b"
    compressor: str | None = "neural"
    """Whose encoding is mixed with raw bytes; None for raw-only."""
    mixing: Mixing = field(default_factory=Mixing)
    symbol_heads: int = 1
    raw_heads: int = 1
    steps: int = 50_000
    batch_symbols: int = 1 << 21
    """Symbols per optimiser step, all ranks together."""
    sequence_length: int = 16_384
    """Length of a row, the context."""
    micro_batch_size: int = 1
    """Rows of a micro-batch; accumulation follows from it."""
    peak_lr: float = 0.0
    """0: the size's own."""
    warmup_steps: int = 500
    final_lr_share: float = 0.1
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    seed: int = 0
    lanes: int = 64
    """Virtual lanes of the loader; the number of ranks must divide it."""
    held_out_share: float = 0.05
    """Of the documents, by hash of their ids: never trained on."""
    sharding: str = ""
    """`ddp` or `fsdp`; empty: ddp up to 1.5b, fsdp above."""
    checkpoint_steps: int = 1000
    keep_checkpoints: int = 3
    compile: bool = False
    recompute: bool = True
    """Keep only each block's input for backward."""
    log_steps: int = 10
    device: str = ""
    """`cpu` or `cuda`; empty: cuda where there is one."""
    cache: str = ""
    """Local directory for shards of a remote dataset."""

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise SettingsError(f"size {self.size!r} is unknown; choose one of {', '.join(SIZES)}")
        if self.sharding not in ("", *SHARDINGS):
            raise SettingsError(f"sharding {self.sharding!r} is unknown; choose ddp or fsdp, or leave it out")
        for name in (
            "steps",
            "batch_symbols",
            "sequence_length",
            "micro_batch_size",
            "checkpoint_steps",
            "keep_checkpoints",
        ):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name.replace('_', ' ')} is {getattr(self, name)}, it must be at least 1")
        if self.batch_symbols % self.sequence_length:
            raise SettingsError(
                f"batch symbols {self.batch_symbols} are not whole rows of {self.sequence_length} symbols; "
                f"take a multiple, such as {max(1, self.batch_symbols // self.sequence_length) * self.sequence_length}"
            )

    @classmethod
    def for_size(cls, size: str, **given: Any) -> TrainSettings:
        """The defaults of a size, with the values given."""
        defaults: dict[str, Any] = {}
        if size == "tiny":
            defaults = TINY
        return cls(**{**defaults, **given, "size": size})

    @property
    def global_batch_size(self) -> int:
        """Rows per optimiser step, all ranks together."""
        return self.batch_symbols // self.sequence_length

    @property
    def learning_rate(self) -> float:
        """At the end of the warm-up."""
        return self.peak_lr or SIZES[self.size].peak_lr

    @property
    def parallelism(self) -> str:
        """`ddp` or `fsdp`."""
        return self.sharding or ("ddp" if self.size in ("tiny", "0.5b", "1.5b") else "fsdp")

    def accumulation(self, world_size: int) -> int:
        """Micro-batches per step and rank; SettingsError where rows cannot be dealt out evenly."""
        at_once = world_size * self.micro_batch_size
        if self.global_batch_size % at_once:
            raise SettingsError(
                f"a step has {self.global_batch_size} rows, {world_size} ranks of {self.micro_batch_size} rows take "
                f"{at_once} at once; choose --batch-symbols or --micro-batch-size so that they divide"
            )
        return self.global_batch_size // at_once

    def content(self) -> dict[str, Any]:
        """What a checkpoint must agree with, as JSON values: all that decides the weights but the number of ranks."""
        free = ("data", "run", "device", "cache", "sharding", "compile", "recompute", "log_steps", "checkpoint_steps")
        values = asdict(self)
        return {
            key: values[key] for key in sorted(values) if key not in (*free, "keep_checkpoints", "micro_batch_size")
        }


TINY: dict[str, Any] = {
    "mixing": Mixing(warmup_steps=12),
    "raw_heads": 3,
    "steps": 60,
    "batch_symbols": 1 << 12,
    "sequence_length": 512,
    "micro_batch_size": 8,
    "warmup_steps": 10,
    "lanes": 8,
    "checkpoint_steps": 20,
    "recompute": False,
}
"""About four minutes on two CPU cores; the mixing warm-up is a fifth of the run, as in the paper."""
