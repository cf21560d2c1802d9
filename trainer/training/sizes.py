"""The table of sizes: what the body of each model is, and the settings of a run that fit it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from schemas.errors import SettingsError
from schemas.options import option
from trainer.data.mixing import Mixing
from trainer.model.config import EvaByteConfig

Sharding = Literal["ddp", "fsdp"]
SHARDINGS: tuple[Sharding, ...] = get_args(Sharding)
BY_SIZE = option(default="the size's")


@dataclass(frozen=True, kw_only=True, slots=True)
class SizedSettings:
    """Settings of a run whose defaults depend on the size of the model; every row of SIZES has its own."""

    mixing: Mixing
    """How raw and compressed encodings are mixed."""
    symbol_heads: int = field(metadata=BY_SIZE)
    """Heads over the whole vocabulary, each predicting one id further ahead."""
    raw_heads: int = field(metadata=BY_SIZE)
    """Further heads, over raw bytes."""
    steps: int = field(metadata=BY_SIZE)
    """Optimizer steps."""
    batch_symbols: int = field(metadata=BY_SIZE)
    """Ids per step, all ranks together."""
    sequence_length: int = field(metadata=BY_SIZE)
    """Ids per sequence, the context of training."""
    micro_batch_size: int = field(metadata=BY_SIZE)
    """Sequences that a rank computes at once; gradient accumulation follows from it."""
    peak_lr: float = field(metadata=BY_SIZE)
    """Learning rate at the end of its warm-up."""
    lr_warmup_steps: int = field(metadata=option(default="the size's", metavar="STEPS"))
    """Steps of the learning rate's warm-up."""
    lanes: int = field(metadata=BY_SIZE)
    """Virtual lanes of the loader; the number of ranks must divide it."""
    checkpoint_steps: int = field(metadata=BY_SIZE)
    """Steps between checkpoints."""
    eval_every: int = field(metadata=option(default="the size's", metavar="STEPS"))
    """Steps between measurements of bits per raw byte on held-out documents, besides those at checkpoints; 0: never."""
    eval_bytes: int = field(metadata=BY_SIZE)
    """Raw bytes of held-out documents that are measured, chosen by the seed and the same every time."""
    sharding: Sharding = field(metadata=BY_SIZE)
    """Whether each rank keeps the whole model (ddp) or a part of it (fsdp)."""
    recompute: bool | None = field(metadata=option(default="the size's, of large ones as few blocks as must be"))
    """Keep only each block's input for backward and compute the block again there; saves memory, costs time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """A row of the table of sizes."""

    body: EvaByteConfig
    """The shape of the model; vocabulary and heads come from the dataset and the run."""
    run: SizedSettings
    """What a run of this size is trained with where nothing else is asked for."""


PAPER = SizedSettings(
    mixing=Mixing(),
    symbol_heads=1,
    raw_heads=1,
    steps=50_000,
    batch_symbols=1 << 21,
    sequence_length=16_384,
    micro_batch_size=1,
    peak_lr=5e-4,
    lr_warmup_steps=500,
    lanes=64,
    checkpoint_steps=1000,
    eval_every=500,
    eval_bytes=1 << 20,
    sharding="fsdp",
    recompute=None,
)
"""The settings of the paper's run."""

LAPTOP = SizedSettings(
    mixing=Mixing(warmup_steps=12),
    symbol_heads=1,
    raw_heads=3,
    steps=60,
    batch_symbols=1 << 12,
    sequence_length=512,
    micro_batch_size=8,
    peak_lr=1e-2,
    lr_warmup_steps=10,
    lanes=8,
    checkpoint_steps=20,
    eval_every=20,
    eval_bytes=1 << 12,
    sharding="ddp",
    recompute=False,
)
"""At most about four minutes on two CPU cores; the mixing's warm-up is a fifth of the run, as in the paper."""


def _body(dim: int, layers: int, heads: int, ffn_dim: int, attention_window: int = 2048) -> EvaByteConfig:
    return EvaByteConfig(dim=dim, layers=layers, heads=heads, ffn_dim=ffn_dim, attention_window=attention_window)


SIZES = {
    "pico": Size(body=_body(48, 2, 1, 144, 256), run=LAPTOP),
    "nano": Size(body=_body(64, 3, 1, 192, 256), run=LAPTOP),
    "micro": Size(body=_body(96, 4, 2, 288, 256), run=LAPTOP),
    "tiny": Size(body=_body(128, 5, 2, 384, 256), run=replace(LAPTOP, peak_lr=3e-3)),
    "mini": Size(body=_body(160, 5, 2, 480, 256), run=replace(LAPTOP, peak_lr=6e-3)),
    "small": Size(body=_body(224, 6, 2, 672, 256), run=replace(LAPTOP, peak_lr=4e-3)),
    "medium": Size(body=_body(512, 8, 4, 1536), run=replace(PAPER, peak_lr=2e-3, sharding="ddp")),
    "0.5b": Size(body=_body(1024, 28, 8, 4096), run=replace(PAPER, peak_lr=1.2e-3, sharding="ddp")),
    "1.5b": Size(body=_body(2048, 20, 16, 8192), run=replace(PAPER, peak_lr=9e-4, sharding="ddp")),
    "4b": Size(body=_body(3072, 32, 24, 9216), run=replace(PAPER, peak_lr=7e-4)),
    "7b": Size(body=_body(4096, 32, 32, 12288), run=PAPER),
    "14b": Size(body=_body(5120, 40, 40, 16384), run=PAPER),
}
"""The sizes by name, smallest first."""


def size_named(name: str) -> Size:
    """A row of SIZES; SettingsError for a name that it does not have."""
    if name not in SIZES:
        raise SettingsError(f"--size is {name!r}; choose one of {', '.join(SIZES)}")
    return SIZES[name]


def sized_config(size: str, *, vocabulary: int, symbol_heads: int = 1, raw_heads: int = 0) -> EvaByteConfig:
    """The shape of a model of a named size; SettingsError for a name that is not in SIZES."""
    return replace(size_named(size).body, vocabulary=vocabulary, symbol_heads=symbol_heads, raw_heads=raw_heads)
