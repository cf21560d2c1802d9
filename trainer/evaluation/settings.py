"""The settings of every evaluation. `python -m trainer evaluate` makes its options of them.

What a run was trained with (context, held-out share, compressor) is the default where a field is None; an export does
not know its run, so `of_run` falls back to the paper's values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from schemas.errors import SettingsError
from schemas.options import option
from trainer.data.settings import CacheSettings

PAPER = {"sequence_length": 16_384, "held_out_share": 0.05}
"""Where a model does not say what it was trained with."""
MODEL = option(positional=True, path=True)
DATASET = option(metavar="DIR", path=True)
OF_RUN = option(default="the run's")
SCORED = option(default="plus; recode: base")
CORES = option(default="half of the cores")


@dataclass(frozen=True, kw_only=True, slots=True)
class BitsPerByteSettings:
    """Bits per raw byte of held-out documents."""

    model: str = field(default="runs/demo", metadata=MODEL)
    """Run, checkpoint or export."""
    data: str = field(default="data/demo", metadata=DATASET)
    """Finished dataset."""
    held_out_share: float | None = field(default=None, metadata=OF_RUN)
    """Share of the documents that counts as held out."""
    sequence_length: int | None = field(default=None, metadata=OF_RUN)
    """Symbols that the model sees at a time."""
    max_bytes: int = field(default=0, metadata=option(default="0, for all"))
    """Stop after about so many bytes."""
    shards: CacheSettings = field(default_factory=CacheSettings)
    device: str = field(default="", metadata=option(default="cuda where there is one"))
    """cpu or cuda."""

    def __post_init__(self) -> None:
        if self.max_bytes < 0:
            raise SettingsError(f"--max-bytes is {self.max_bytes}; give 1 or more, or 0 for all")


@dataclass(frozen=True, kw_only=True, slots=True)
class TranslationSettings:
    """From one encoding of held-out documents to the other."""

    model: str = field(default="runs/demo", metadata=MODEL)
    """Run, checkpoint or export."""
    data: str = field(default="data/demo", metadata=DATASET)
    """Finished dataset."""
    compressor: str | None = field(default=None, metadata=OF_RUN)
    """Compressor whose encoding is translated."""
    documents: int = 200
    """Number of held-out documents."""
    positions: int | None = field(default=None, metadata=OF_RUN)
    """Symbols that both encodings of a document must fit into together."""
    held_out_share: float | None = field(default=None, metadata=OF_RUN)
    """Share of the documents that counts as held out."""
    out: str = field(default="", metadata=option(metavar="FILE", path=True))
    """Write the figures as JSON to this file too."""
    shards: CacheSettings = field(default_factory=CacheSettings)
    device: str = field(default="", metadata=option(default="cuda where there is one"))
    """cpu or cuda."""

    def __post_init__(self) -> None:
        if self.documents < 2 or (self.positions is not None and self.positions < 1):
            raise SettingsError(
                f"--documents is {self.documents} and --positions {self.positions}; give at least 2 documents "
                "(one is another's control) and 1 position"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreSettings:
    """Which problems, and how samples of code are run with their tests."""

    data_dir: str = field(metadata=DATASET)
    """Directory of HumanEval.jsonl.gz and the like; nothing is downloaded."""
    task: Literal["humaneval", "mbpp", "recode"] = "humaneval"
    """Set of problems."""
    limit: int = field(default=0, metadata=option(default="0, for all"))
    """Only the first so many problems."""
    seed: int = 0
    """Seed of the samples and of the confidence intervals."""
    overwrite: bool = False
    """Replace samples and results that exist."""
    allow_code_execution: bool = False
    """Run what the model wrote; nothing is run without it."""
    suite: Literal["base", "plus"] | None = field(default=None, metadata=SCORED)
    """Tests: base, or base and plus."""
    sandbox: Literal["auto", "namespace", "rlimits"] = "auto"
    """Namespaces, or resource limits alone; auto: namespaces where they are permitted."""
    workers: int = field(default=0, metadata=CORES)
    """Samples run at a time."""
    exclude: tuple[str, ...] = field(default=(), metadata=option(metavar="ID,…", commas=True))
    """Problems to leave out, for those whose canonical solutions fail on this machine."""

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise SettingsError(f"--workers is {self.workers}; give 1 or more, or 0 for half of the cores")

    @property
    def suites(self) -> tuple[str, ...]:
        """The suites of tests that are run, base first."""
        suite = self.suite or ("base" if self.task == "recode" else "plus")
        return ("base", "plus") if suite == "plus" else ("base",)


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeSettings:
    """Samples of code from a model, and their scoring."""

    model: str = field(default="runs/demo", metadata=MODEL)
    """Run, checkpoint or export."""
    scoring: ScoreSettings
    out: str = field(default="", metadata=option(metavar="DIR", default="MODEL/evaluation/TASK", path=True))
    """Directory of the samples."""
    samples: int = 1
    """Samples of each prompt."""
    temperature: float = 0.0
    """Logits are divided by it; 0 is greedy."""
    top_p: float = 0.95
    """Probability that the kept ids reach together, above temperature 0."""
    max_new_bytes: int = 2048
    """Longest completion."""
    context: int | None = field(default=None, metadata=OF_RUN)
    """Symbols that prompt and completion must fit into."""
    truncate_left: bool = False
    """Cut off the beginning of prompts that are too long for the context."""
    batch_size: int = 16
    """Prompts at a time; changes no sample."""
    device: str = field(default="", metadata=option(default="cuda where there is one"))
    """cpu or cuda."""


def of_run(value: Any, run: Mapping[str, Any], name: str) -> Any:
    """`value`, or what a run was trained with where it is None, or the paper's value where no run is known."""
    return run.get(name, PAPER.get(name)) if value is None else value
