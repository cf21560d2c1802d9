"""What a training of the byte LM is told: its options, and what a checkpoint must agree with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from kernels.byte_lm_config import PRESETS
from schemas.errors import SettingsError
from schemas.machine import usable_cpus
from schemas.options import flag, option

BY_SIZE = option(default="the size's")


@dataclass(frozen=True, kw_only=True, slots=True)
class SizedTraining:
    """How a byte LM is trained, as far as it depends on the size; every row of SIZES has its own."""

    steps: int = field(metadata=BY_SIZE)
    """Optimizer steps."""
    rows: int = field(metadata=option(default="the size's", metavar="WINDOWS"))
    """Windows per step."""
    window_bytes: int = field(metadata=BY_SIZE)
    """Length of a training window."""
    matrix_lr: float = field(metadata=BY_SIZE)
    """Peak learning rate of Muon, for the blocks' matrices."""
    matrix_momentum: float = field(metadata=option(default="the size's", metavar="X"))
    """Decay of the mean gradient in Muon; short runs want less."""
    other_lr: float = field(metadata=BY_SIZE)
    """Peak learning rate of AdamW, for embedding, head and gains."""
    lr_warmup_steps: int = field(metadata=option(default="the size's", metavar="STEPS"))
    """Steps of the learning rates' warm-up."""
    checkpoint_steps: int = field(metadata=BY_SIZE)
    """Steps between checkpoints."""


SIZES = {
    "tiny": SizedTraining(
        steps=300,
        rows=40,
        window_bytes=32,
        matrix_lr=0.02,
        matrix_momentum=0.85,
        other_lr=0.005,
        lr_warmup_steps=20,
        checkpoint_steps=100,
    ),
    "40m": SizedTraining(
        steps=20_000,
        rows=256,
        window_bytes=512,
        matrix_lr=0.02,
        matrix_momentum=0.95,
        other_lr=0.003,
        lr_warmup_steps=500,
        checkpoint_steps=1000,
    ),
}
"""What each size is trained with where nothing else is asked for."""

_AT_LEAST_1 = ("steps", "rows", "window_bytes", "lr_warmup_steps", "checkpoint_steps")


@dataclass(frozen=True, kw_only=True, slots=True)
class ByteLMTraining(SizedTraining):
    """How a byte LM is trained. `for_size` gives the defaults of a size."""

    size: str = field(default="tiny", metadata=option(choices=tuple(PRESETS)))
    """Size of the model."""
    seed: int = 0
    """Decides the first weights and the windows."""
    final_lr_share: float = 0.02
    """Share of the peak learning rates that is left at the last step."""
    clip_norm: float = field(default=1.0, metadata=option(metavar="X"))
    """Norm that longer gradients are scaled down to."""
    held_out_bytes: int = 1 << 17
    """How much of the held-out text is scored at the end."""

    def __post_init__(self) -> None:
        if self.size not in PRESETS:
            raise SettingsError(f"--size is {self.size!r}; choose one of {', '.join(PRESETS)}")
        for name in _AT_LEAST_1:
            if getattr(self, name) < 1:
                raise SettingsError(f"{flag(self, name)} is {getattr(self, name)}, it must be at least 1")
        for name in ("matrix_lr", "other_lr", "clip_norm"):
            if not 0 < getattr(self, name) < float("inf"):
                raise SettingsError(f"{flag(self, name)} is {getattr(self, name)}, it must be above 0 and finite")
        if not 0 <= self.matrix_momentum < 1:
            raise SettingsError(f"--matrix-momentum is {self.matrix_momentum}, it must be at least 0 and below 1")
        if not 0 <= self.final_lr_share <= 1:
            raise SettingsError(f"--final-lr-share is {self.final_lr_share}, it must be between 0 and 1")
        if self.held_out_bytes < 0:
            raise SettingsError(f"--held-out-bytes is {self.held_out_bytes}, it must be at least 0")

    @classmethod
    def for_size(cls, size: str, **changes: Any) -> ByteLMTraining:
        """The training of a size, with some of its settings changed; SettingsError for an unknown size."""
        if size not in SIZES:
            raise SettingsError(f"--size is {size!r}; choose one of {', '.join(SIZES)}")
        sized = {each.name: getattr(SIZES[size], each.name) for each in fields(SizedTraining)}
        return cls(**{**sized, **changes, "size": size})

    def content(self) -> dict[str, Any]:
        """What a checkpoint must agree with, as JSON values: all that decides the weights but the text."""
        values = asdict(self)
        return {name: values[name] for name in sorted(values) if name not in ("checkpoint_steps", "held_out_bytes")}


@dataclass(frozen=True, kw_only=True, slots=True)
class ByteLMSettings:
    """One training of a byte LM: its text, its place, its device, and how."""

    sample: str = field(metadata=option(metavar="FILE", path=True))
    """Arrow file from python -m pipeline sample."""
    out: str = field(metadata=option(metavar="DIR", path=True))
    """Directory of the byte LM; training continues there."""
    device: str = "cpu"
    """Device, cpu or cuda."""
    threads: int = field(default_factory=usable_cpus, metadata=option(default="all cores"))
    """CPU threads; the last bits of the weights depend on it."""
    training: ByteLMTraining = field(default_factory=lambda: ByteLMTraining.for_size("tiny"))
    """Steps, windows and learning rates."""

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise SettingsError(f"--threads is {self.threads}, it must be at least 1")
