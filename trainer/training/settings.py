"""The settings of a training run: its options, its settings.json, and what a checkpoint must agree with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from schemas.errors import SettingsError
from schemas.options import flag, option
from trainer.data.settings import SHARD_CACHE_BYTES, sources
from trainer.training.arms import Arm, arm_defaults, check_arm
from trainer.training.sizes import SHARDINGS, SIZES, SizedSettings, size_named

NOT_CONTENT = {
    "arm": "a name for other settings",
    "data": "the loader's state knows datasets by the digests of their shards, and their weights",
    "run_dir": "a place",
    "micro_batch_size": "gradients are sums, whatever is computed at once",
    "checkpoint_steps": "what is kept, not what is computed",
    "keep_checkpoints": "what is kept, not what is computed",
    "log_steps": "what is reported, not what is computed",
    "eval_every": "what is reported and kept, not what is computed",
    "eval_bytes": "what is reported and kept, not what is computed",
    "sharding": "where gradients are summed, not what is summed",
    "recompute": "computes the same activations again",
    "compile": "the same arithmetic in other kernels",
    "device": "the same arithmetic in other kernels",
    "prefetch": "batches are made earlier or later, not otherwise",
    "cache": "a place",
    "cache_bytes": "a place",
}
"""Settings that may change in the middle of a run, each with why it decides the weights at most by rounding."""

_AT_LEAST = {
    "steps": 1,
    "batch_symbols": 1,
    "sequence_length": 2,
    "micro_batch_size": 1,
    "checkpoint_steps": 1,
    "keep_checkpoints": 1,
    "log_steps": 1,
    "eval_every": 0,
    "eval_bytes": 1,
    "lr_warmup_steps": 0,
    "interleave": 1,
    "prefetch": 0,
    "cache_bytes": 1,
    "weight_decay": 0,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSettings(SizedSettings):
    """One run. `for_size` gives the defaults of a size, which the base class lists."""

    data: str = field(default="data/stdlib", metadata=option(metavar="DIR", path=True))
    """Finished dataset, local or remote; or several, as DIR:WEIGHT,DIR:WEIGHT, mixed by sequences."""
    run_dir: str = field(default="", metadata=option("out", metavar="DIR", default="runs/SIZE", path=True))
    """Directory of the run: settings, metrics, checkpoints."""
    size: str = field(default="tiny", metadata=option(choices=tuple(SIZES)))
    """Size of the model."""
    arm: Arm | None = field(default=None, metadata=option(default="proxy"))
    """The method or a baseline, with its mode, compressor, heads and rows: tokens and gzip need those compressors."""
    compressor: str | None = field(default="neural", metadata=option(metavar="NAME"))
    """Compressor whose encoding is mixed with raw bytes."""
    literals: bool = False
    """Show symbols that stand for a single byte as that raw byte, within comp."""
    seed: int = 0
    """Decides the first weights, the order of the documents and their encodings."""
    held_out_share: float = 0.05
    """Share of the documents, by a hash of their ids, that is never trained on."""
    interleave: int = field(default=4, metadata=option(metavar="RANGES"))
    """Places of the dataset that a lane reads from at once."""
    prefetch: int = field(default=2, metadata=option(metavar="BATCHES"))
    """Batches made ahead in the background; 0 makes each when it is asked for."""
    final_lr_share: float = 0.1
    """Share of the peak learning rate that is left at the last step."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """AdamW for all weights, as in the paper, or Muon for the matrices of the blocks and AdamW for the rest."""
    matrix_lr: float = field(default=0.02, metadata=option(metavar="X"))
    """Muon's learning rate at the end of the warm-up; --peak-lr is then AdamW's."""
    matrix_momentum: float = field(default=0.95, metadata=option(metavar="X"))
    """Decay of the mean gradient in Muon."""
    look_back: bool = False
    """Begin with attention heads that look 0, 1, 2 … 15 positions back, which short trainings would not find."""
    weight_decay: float = field(default=0.1, metadata=option(metavar="X"))
    """Share of the weights, times the learning rate, that AdamW takes off at each step."""
    adam_beta1: float = field(default=0.9, metadata=option(metavar="X"))
    """Decay of the mean gradient in AdamW."""
    adam_beta2: float = field(default=0.95, metadata=option(metavar="X"))
    """Decay of the mean squared gradient in AdamW."""
    adam_eps: float = field(default=1e-15, metadata=option(metavar="X"))
    """Addition to the root of the mean squared gradient in AdamW."""
    clip_norm: float = field(default=1.0, metadata=option(metavar="X"))
    """Norm that longer gradients are scaled down to."""
    keep_checkpoints: int = field(default=3, metadata=option(metavar="N"))
    """Number of the last checkpoints that are kept, beside the best one."""
    log_steps: int = 10
    """Steps between lines of metrics."""
    compile: bool | None = field(default=None, metadata=option(default="on GPUs"))
    """Compile each block with torch.compile."""
    device: str = field(default="", metadata=option(default="cuda where there is one"))
    """Device, cpu or cuda."""
    cache: str = field(default="", metadata=option(metavar="DIR", default="a temporary one", path=True))
    """Local directory for shards of a remote dataset; each rank has its own folder in it."""
    cache_bytes: int = SHARD_CACHE_BYTES
    """Bytes of shards that a rank keeps in its cache, of several datasets an equal part of each."""

    def __post_init__(self) -> None:
        size_named(self.size)
        sources(self.data)
        if self.sharding not in SHARDINGS:
            raise SettingsError(f"--sharding is {self.sharding!r}; choose one of {', '.join(SHARDINGS)}")
        if self.optimizer not in ("adamw", "muon"):
            raise SettingsError(f"--optimizer is {self.optimizer!r}; choose one of adamw, muon")
        if self.optimizer == "muon" and self.sharding == "fsdp":
            raise SettingsError("--optimizer muon needs whole matrices, which fsdp divides; take --sharding ddp")
        for name, minimum in _AT_LEAST.items():
            if not getattr(self, name) >= minimum:
                raise SettingsError(f"{flag(self, name)} is {getattr(self, name)}, it must be at least {minimum}")
        for name in ("peak_lr", "matrix_lr", "adam_eps", "clip_norm"):
            if not 0 < getattr(self, name) < float("inf"):
                raise SettingsError(f"{flag(self, name)} is {getattr(self, name)}, it must be above 0 and finite")
        for name in ("adam_beta1", "adam_beta2", "matrix_momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise SettingsError(f"{flag(self, name)} is {getattr(self, name)}, it must be at least 0 and below 1")
        if not 0 <= self.final_lr_share <= 1:
            raise SettingsError(f"--final-lr-share is {self.final_lr_share}, it must be between 0 and 1")
        if self.batch_symbols % self.sequence_length:
            raise SettingsError(
                f"--batch-symbols is {self.batch_symbols}, no whole sequences of {self.sequence_length} ids; take a "
                f"multiple, such as {max(1, self.batch_symbols // self.sequence_length) * self.sequence_length}"
            )
        if self.arm is not None:
            check_arm(self.arm, mixing=self.mixing, compressor=self.compressor, raw_heads=self.raw_heads)

    @classmethod
    def for_size(cls, size: str, *, arm: Arm | None = None, **changes: Any) -> TrainSettings:
        """The settings of a size and an arm, in runs/SIZE or runs/ARM-SIZE, with some of them changed."""
        row = size_named(size).run
        sized = {each.name: getattr(row, each.name) for each in fields(row)}
        own = arm_defaults(arm or "proxy", row)
        if "mode" in own:
            own["mixing"] = replace(row.mixing, mode=own.pop("mode"))
        run_dir = f"runs/{size}" if arm in (None, "proxy") else f"runs/{arm}-{size}"
        return cls(**{"run_dir": run_dir, **sized, **own, **changes, "size": size, "arm": arm})

    @property
    def global_batch_size(self) -> int:
        """Sequences per optimizer step, all ranks together."""
        return self.batch_symbols // self.sequence_length

    def accumulation(self, world_size: int) -> int:
        """Micro-batches per step and rank; SettingsError where sequences cannot be divided evenly among ranks."""
        at_once = world_size * self.micro_batch_size
        if self.global_batch_size % at_once:
            raise SettingsError(
                f"a step has {self.global_batch_size} sequences, {world_size} ranks with micro-batches of "
                f"{self.micro_batch_size} take {at_once} at once; choose --batch-symbols or --micro-batch-size so that "
                "they divide"
            )
        return self.global_batch_size // at_once

    def content(self) -> dict[str, Any]:
        """What a checkpoint must agree with, as JSON values: all that decides the weights but the number of ranks."""
        values = asdict(self)
        return {name: values[name] for name in sorted(values) if name not in NOT_CONTENT}
