"""The settings of `python -m trainer reproduce`, which makes its options of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.errors import SettingsError
from schemas.options import option


@dataclass(frozen=True, kw_only=True, slots=True)
class ReproduceSettings:
    """Which runs are trained, on what, and where their figures go."""

    data: str = field(metadata=option(metavar="DIR", path=True))
    """Dataset of short documents, made with --split-bytes 96; what is at a URL is copied to OUT once."""
    corpus: str = field(default="", metadata=option(metavar="DIR", default="--data", path=True))
    """Dataset of whole documents, whose rates and analysis decide claims (a) to (c)."""
    scale: str = "cpu"
    """cpu, or smoke for a try of a minute."""
    out: str = field(default="", metadata=option(metavar="DIR", default="runs/reproduce-SCALE", path=True))
    """Directory of the runs and their results."""
    processes: int = field(default=0, metadata=option(default="one per core, or one on a GPU"))
    """Runs at a time."""
    arms: tuple[str, ...] = field(default=(), metadata=option(metavar="ARM", default="all"))
    """Only these arms."""
    report: str = field(default="", metadata=option(metavar="FILE", default="OUT/reproduction.md", path=True))
    """The page that is written."""
    results: str = field(default="", metadata=option(metavar="FILE", default="OUT/results.jsonl", path=True))
    """Table of results, JSON lines, that is read and added to: what it holds is not trained again."""
    minutes: float = 0.0
    """Stop at checkpoints after so long, for the same command to go on; 0: at the end."""
    bf16: bool | None = field(default=None, metadata=option(default="where the machine has instructions for it"))
    """Compute products of training in bfloat16."""
    formats: str = field(default="", metadata=option(metavar="DIR", default="claim (h) is not measured", path=True))
    """Dataset of reformatted texts, from `python -m pipeline reformat`, for claim (h)."""
    gather: bool = False
    """Train nothing; write the page of the results that there are."""

    def __post_init__(self) -> None:
        if self.processes < 0:
            raise SettingsError(f"--processes is {self.processes}; give 1 or more, or 0 for one per core")
        if not 0 <= self.minutes < float("inf"):
            raise SettingsError(f"--minutes is {self.minutes}; give a number above 0, or 0 for no limit")
