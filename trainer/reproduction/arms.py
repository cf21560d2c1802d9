"""What is trained: arms at sizes, budgets and seeds, in parts of which each answers a question.

raw-only        bytes alone; in smaller batches too, so that a proxy can be compared with as much raw alone
tokenizer-only  tokens alone, as language models are trained today
neural, tokenizer, gzip      proxies: comp at r = 0.9 with raw, pairs in the warm-up (the paper's method)
neural-none, neural-always   the same with sentinels but no pairs, and with pairs to the end
neural-level, neural-jump    the paper's boundaries: entropy given the document, quantile 0.9; and its rise, 0.9
neural-long                  our boundaries, pairs of bytes, with segments as long as neural-level's
neural-literals              our default, whose symbols of one byte are shown as raw bytes
neural-short, tokenizer-short    pairs to the end, of documents so short that translating them can be learnt, watched
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from schemas.errors import SettingsError
from trainer.data.mixing import Mixing, Mode
from trainer.training.settings import TrainSettings

WARMUP_SHARE = 0.2
"""Share of the steps that the mixing's warm-up takes; 10,000 of 50,000 in the paper."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """One way to train: which encodings are shown, and how long."""

    name: str
    mode: Mode
    compressor: str | None
    """The compressor whose encoding is shown; the vocabulary follows from it."""
    boundaries: str = ""
    """The dataset that it reads: `DATA` itself, or beside it `DATA-level`, where text was cut otherwise."""
    literals: bool = False
    """Whether symbols of one byte are shown as raw bytes."""
    watched_checkpoints: int = 0
    """Checkpoints at which translation is measured; such an arm has documents of its own and is compared with none."""

    @property
    def reads_raw(self) -> bool:
        """Whether the model ever saw raw bytes."""
        return self.mode != "comp-only"

    @property
    def is_proxy(self) -> bool:
        """Whether the model saw both encodings."""
        return self.mode not in ("raw-only", "comp-only")

    def dataset(self, data: str) -> str:
        """Directory of the dataset that this arm reads, of those that begin with `data`."""
        return f"{data}-{self.boundaries}" if self.boundaries else data


def _proxy(name: str, compressor: str = "neural", mode: Mode = "pair-warmup", **changes: str | int) -> Arm:
    return Arm(name=name, mode=mode, compressor=compressor, **changes)  # type: ignore[arg-type]


RAW_ONLY = Arm(name="raw-only", mode="raw-only", compressor=None)
ARMS = {
    arm.name: arm
    for arm in (
        RAW_ONLY,
        Arm(name="tokenizer-only", mode="comp-only", compressor="tokenizer"),
        _proxy("gzip", "gzip"),
        _proxy("tokenizer", "tokenizer"),
        _proxy("neural"),
        _proxy("neural-level", boundaries="level"),
        _proxy("neural-jump", boundaries="jump"),
        _proxy("neural-long", boundaries="long"),
        _proxy("neural-literals", literals=True),
        _proxy("neural-none", mode="sentinel"),
        _proxy("neural-always", mode="pair-always"),
        _proxy("tokenizer-short", "tokenizer", mode="pair-always", boundaries="short", watched_checkpoints=8),
        _proxy("neural-short", mode="pair-always", boundaries="short", watched_checkpoints=8),
    )
}
"""The arms by name."""
PROXIES = tuple(arm.name for arm in ARMS.values() if arm.is_proxy and not arm.watched_checkpoints)
WATCHED = tuple(arm.name for arm in ARMS.values() if arm.watched_checkpoints)
CORE = ("tokenizer", "neural", "neural-long", "neural-jump")
"""The arms that size and budget are varied for."""
DENSITIES = (0.125, 0.25, 0.5, 1.0)
"""Symbols of a step of raw-only, as shares of a proxy's: what proxies see as raw lies between. The steps are as many,
since a tenth of the steps would teach less for other reasons than that there are fewer bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Runs that answer one question: all of these arms at all of these sizes and seeds."""

    arms: tuple[str, ...]
    sizes: tuple[str, ...]
    budget: float = 1.0
    """Multiple of the scale's symbols that each arm is trained on."""
    densities: tuple[float, ...] = DENSITIES
    """Densities that raw-only is trained at."""
    seeds: tuple[int, ...] = (0, 1, 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyScale:
    """How much is trained and evaluated."""

    parts: tuple[Part, ...]
    """In the order in which they are run."""
    peak_lrs: Mapping[str, float]
    """Learning rate of each size, for whole batches; smaller ones have it times the root of their density."""
    steps: int
    """Steps at budget 1."""
    batch_symbols: int
    row_symbols: int
    rows_per_device: int
    scored_bytes: int
    """Held-out raw bytes that bits per byte are taken over, at least."""
    translated_documents: int
    translated_bytes: int = 32
    """Longest held-out document that is translated: longer ones no model of these sizes gets right."""

    @property
    def symbols(self) -> int:
        """Symbols that an arm is trained on at budget 1."""
        return self.steps * self.batch_symbols


_VARIANTS = ("neural-none", "neural-always", "neural-literals", "tokenizer-only")
_CPU_PARTS = (
    Part(arms=(*CORE, "gzip", "neural-level"), sizes=("micro",)),
    Part(arms=(*CORE, "gzip"), sizes=("mini",)),
    Part(arms=("neural",), sizes=("nano",), densities=(1.0,)),
    Part(arms=(*CORE, "gzip"), sizes=("small",)),
    Part(arms=_VARIANTS, sizes=("micro",), densities=()),
    Part(arms=("neural", "neural-long"), sizes=("nano",), densities=(0.25, 0.5, 1.0)),
    Part(arms=WATCHED, sizes=("micro",), budget=4.0, densities=(), seeds=(0,)),
    Part(arms=CORE, sizes=("nano",), densities=()),
    Part(arms=CORE, sizes=("micro",), budget=4.0, densities=(0.25, 0.5, 1.0)),
    Part(arms=CORE, sizes=("mini",), budget=4.0, densities=(0.25, 0.5, 1.0)),
    Part(arms=CORE, sizes=("small",), budget=8.0, densities=(0.25, 0.5, 1.0)),
)
SCALES = {
    "smoke": StudyScale(
        parts=(Part(arms=("neural", "tokenizer", "gzip"), sizes=("nano",), densities=(0.5, 1.0), seeds=(0,)),),
        peak_lrs={"nano": 5e-3},
        steps=4,
        batch_symbols=1024,
        row_symbols=512,
        rows_per_device=2,
        scored_bytes=2000,
        translated_documents=4,
    ),
    "cpu": StudyScale(
        parts=_CPU_PARTS,
        peak_lrs={"nano": 5e-3, "micro": 5e-3, "mini": 4e-3, "small": 3e-3},
        steps=1800,
        batch_symbols=1024,
        row_symbols=256,
        rows_per_device=4,
        scored_bytes=60_000,
        translated_documents=64,
    ),
    "gpu": StudyScale(
        parts=(Part(arms=(*PROXIES, "tokenizer-only", *WATCHED), sizes=("medium",)),),
        peak_lrs={"medium": 2e-3},
        steps=3052,
        batch_symbols=1 << 16,
        row_symbols=2048,
        rows_per_device=32,
        scored_bytes=2_000_000,
        translated_documents=256,
        translated_bytes=96,
    ),
}
"""smoke: a try of a minute; cpu: hours of two cores; gpu: about 30 M parameters and 200 M symbols an arm on one GPU."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One arm at one size and budget from one seed."""

    arm: Arm
    size: str
    budget: float
    seed: int
    scale: StudyScale = field(repr=False)
    density: float = 1.0
    """Symbols of a step, as a share of the scale's."""

    @property
    def name(self) -> str:
        """Name of the job's directory."""
        return job_name(self.arm.name, self.size, self.budget, self.density, self.seed)

    def settings(self, data: str, run: str) -> TrainSettings:
        """The settings that the job is trained with; `data` is the first of the study's datasets."""
        scale, arm = self.scale, self.arm
        steps = max(1, round(scale.steps * self.budget))
        batch_symbols = max(2, round(scale.batch_symbols * self.density))
        row_symbols = min(scale.row_symbols, batch_symbols)
        rows = batch_symbols // row_symbols
        return TrainSettings.for_size(
            self.size,
            data=arm.dataset(data),
            run_dir=run,
            compressor=arm.compressor,
            literals=arm.literals,
            mixing=Mixing(mode=arm.mode, warmup_steps=warmup_steps(steps)),
            raw_heads=1 if arm.reads_raw else 0,
            steps=steps,
            batch_symbols=rows * row_symbols,
            sequence_length=row_symbols,
            micro_batch_size=min(scale.rows_per_device, rows),
            peak_lr=scale.peak_lrs[self.size] * math.sqrt(self.density),
            lr_warmup_steps=max(1, steps // 15),
            lanes=rows,
            seed=self.seed,
            checkpoint_steps=max(1, steps // (arm.watched_checkpoints or 3)),
            keep_checkpoints=arm.watched_checkpoints or 1,
            eval_every=0,
        )


def job_name(arm: str, size: str, budget: float, density: float, seed: int) -> str:
    """arm-size-xBUDGET-seed, with dDENSITY where that is not 1."""
    thin = "" if density == 1 else f"d{density:g}-"
    return f"{arm}-{size}-x{budget:g}-{thin}{seed}"


def warmup_steps(steps: int) -> int:
    """Steps of the mixing's warm-up, of all steps of a run."""
    return max(1, round(WARMUP_SHARE * steps))


def proxy_raw_share(raw_per_comp: float, steps: int = 1000) -> float:
    """The share of raw among the symbols that a proxy arm is shown, over its whole run, pairs left aside.

    raw_per_comp: length of a raw encoding over that of its comp. Mixing deals out encodings, comp with probability r;
    a raw one is raw_per_comp times as long.
    """
    mixing = Mixing(warmup_steps=warmup_steps(steps))
    shares = [mixing.phase(step).compressed_fraction for step in range(steps)]
    return sum((1 - r) * raw_per_comp / ((1 - r) * raw_per_comp + r) for r in shares) / steps


def check_arms(scale: StudyScale, names: Sequence[str]) -> None:
    """SettingsError for a name that no arm of the scale has."""
    known = list(dict.fromkeys(job.arm.name for job in jobs(scale)))
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise SettingsError(f"--arms names {unknown[0]!r}, which is unknown; choose from {', '.join(known)}")


def jobs(scale: StudyScale, *, only: Sequence[str] = ()) -> list[Job]:
    """Every job of a scale, each once, part by part and seed by seed; `only`: names of arms."""
    found: dict[str, Job] = {}
    for part in scale.parts:
        for seed in part.seeds:
            for size in part.sizes:
                raw = [(RAW_ONLY, density) for density in part.densities]
                for arm, density in (*raw, *((ARMS[name], 1.0) for name in part.arms)):
                    job = Job(arm=arm, size=size, budget=part.budget, density=density, seed=seed, scale=scale)
                    if not only or arm.name in only:
                        found.setdefault(job.name, job)
    return list(found.values())


def compressors(jobs: Sequence[Job]) -> list[tuple[str, str]]:
    """The datasets, by their ending, and the compressors in them that some jobs read; sorted."""
    arms = {job.arm.name: job.arm for job in jobs}.values()
    return sorted({(arm.boundaries, arm.compressor) for arm in arms if arm.compressor})
