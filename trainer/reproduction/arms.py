"""What is trained: every arm at every size and seed, all under one symbol budget.

raw-only        bytes alone, the whole budget
raw-matched     bytes alone, only as many of them as the neural proxy sees: what its raw share is worth by itself
tokenizer-only  tokens alone, as language models are trained today
neural, tokenizer, gzip      proxies: comp at r = 0.9 with raw, pairs in the warm-up (the paper's method)
neural-none, neural-always   the same with sentinels but no pairs, and with pairs to the end
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.errors import SettingsError
from trainer.data.mixing import Mixing, Mode
from trainer.training.settings import TrainSettings

WARMUP_SHARE = 0.2
"""Share of the steps that the mixing's warm-up takes; 10,000 of 50,000 in the paper."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyScale:
    """How much is trained and evaluated."""

    sizes: tuple[str, ...]
    seeds: tuple[int, ...]
    steps: int
    batch_symbols: int
    row_symbols: int
    rows_per_device: int
    scored_bytes: int
    """Held-out raw bytes that bits per byte are taken over, at least."""
    translated_documents: int
    compressors: tuple[str, ...] = ("neural", "tokenizer", "gzip")

    @property
    def symbols(self) -> int:
        """Symbols that an arm is trained on."""
        return self.steps * self.batch_symbols


SCALES = {
    "smoke": StudyScale(
        sizes=("nano",),
        seeds=(0,),
        steps=4,
        batch_symbols=1024,
        row_symbols=512,
        rows_per_device=2,
        scored_bytes=2000,
        translated_documents=4,
    ),
    "cpu": StudyScale(
        sizes=("pico", "nano", "micro"),
        seeds=(0, 1, 2),
        steps=1800,
        batch_symbols=1024,
        row_symbols=256,
        rows_per_device=4,
        scored_bytes=60_000,
        translated_documents=64,
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """One way to train: which encodings are shown, and for how long."""

    name: str
    mode: Mode
    compressor: str | None
    """The compressor whose encoding is shown; the vocabulary follows from it."""
    steps_share: float = 1.0
    """Share of the scale's steps that this arm is trained for."""

    @property
    def reads_raw(self) -> bool:
        """Whether the model ever saw raw bytes."""
        return self.mode != "comp-only"

    @property
    def is_proxy(self) -> bool:
        """Whether the model saw both encodings."""
        return self.mode not in ("raw-only", "comp-only")


PROXY_MODES: dict[str, Mode] = {"none": "sentinel", "always": "pair-always"}
"""Suffix of an arm's name to its mode of pairing; the arm without a suffix pairs in the warm-up only."""


def arms(scale: StudyScale, raw_per_comp: float) -> list[Arm]:
    """The arms of a scale, cheapest first. raw_per_comp: length of a raw encoding over that of its comp, neural's."""
    proxies = [Arm(name=name, mode="pair-warmup", compressor=name) for name in reversed(scale.compressors)]
    others = [
        Arm(name=f"neural-{suffix}", mode=mode, compressor="neural")
        for suffix, mode in PROXY_MODES.items()
        if "neural" in scale.compressors
    ]
    tokens = [Arm(name="tokenizer-only", mode="comp-only", compressor="tokenizer")]
    return [
        Arm(name="raw-matched", mode="raw-only", compressor=None, steps_share=proxy_raw_share(scale, raw_per_comp)),
        Arm(name="raw-only", mode="raw-only", compressor=None),
        *(tokens if "tokenizer" in scale.compressors else []),
        *proxies,
        *others,
    ]


def proxy_raw_share(scale: StudyScale, raw_per_comp: float) -> float:
    """The share of raw among the symbols that a proxy arm is shown, over its whole run.

    Mixing deals out encodings, comp with probability r; a raw one is raw_per_comp times as long.
    """
    mixing = Mixing(warmup_steps=warmup_steps(scale))
    shares = [mixing.phase(step).compressed_fraction for step in range(scale.steps)]
    return sum((1 - r) * raw_per_comp / ((1 - r) * raw_per_comp + r) for r in shares) / scale.steps


def warmup_steps(scale: StudyScale) -> int:
    """Steps of the mixing's warm-up."""
    return max(1, round(WARMUP_SHARE * scale.steps))


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One arm at one size from one seed."""

    arm: Arm
    size: str
    seed: int
    scale: StudyScale = field(repr=False)

    @property
    def name(self) -> str:
        """Name of the job's directory: arm, size and seed."""
        return f"{self.arm.name}-{self.size}-{self.seed}"

    def settings(self, data: str, run: str) -> TrainSettings:
        """The settings that the job is trained with."""
        scale, arm = self.scale, self.arm
        steps = max(1, round(scale.steps * arm.steps_share))
        return TrainSettings.for_size(
            self.size,
            data=data,
            run_dir=run,
            compressor=arm.compressor,
            mixing=Mixing(mode=arm.mode, warmup_steps=warmup_steps(scale)),
            raw_heads=1 if arm.reads_raw else 0,
            steps=steps,
            batch_symbols=scale.batch_symbols,
            sequence_length=scale.row_symbols,
            micro_batch_size=scale.rows_per_device,
            lr_warmup_steps=max(1, steps // 15),
            lanes=scale.batch_symbols // scale.row_symbols,
            seed=self.seed,
            checkpoint_steps=max(1, steps // 3),
            keep_checkpoints=1,
            eval_every=0,
        )


def check_arms(scale: StudyScale, names: Sequence[str]) -> None:
    """SettingsError for a name that no arm has."""
    known = [arm.name for arm in arms(scale, 1.0)]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise SettingsError(f"arm {unknown[0]!r} is unknown; choose from {', '.join(known)}")


def jobs(scale: StudyScale, raw_per_comp: float, *, only: Sequence[str] = ()) -> list[Job]:
    """Every job of a scale, seed by seed, so that an interrupted run has whole seeds; `only`: names of arms."""
    check_arms(scale, only)
    every = arms(scale, raw_per_comp)
    return [
        Job(arm=arm, size=size, seed=seed, scale=scale)
        for seed in scale.seeds
        for size in scale.sizes
        for arm in every
        if not only or arm.name in only
    ]
