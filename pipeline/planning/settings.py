"""What `python -m pipeline plan` is asked for; its fields are the command's options. Imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from kernels.byte_lm_config import PRESETS
from schemas.errors import SettingsError
from schemas.options import option

MAX_SHARDS_PLANNED = 50_000
"""Half of what shard names allow."""
MIN_UNIT_BYTES = 8 << 20
WORKERS_PER_GPU = 8
WORKERS_PER_PROCESS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanSettings:
    """The run that is asked about."""

    corpus_bytes: float = field(metadata=option("bytes", metavar="BYTES"))
    """Text of the corpus in UTF-8 bytes, such as 3.3e12."""
    workers: int | None = field(default=None, metadata=option(metavar="N", default="the dataset's, or 8 a GPU"))
    """Threads on all machines together."""
    gpus: int = field(default=0, metadata=option(metavar="N"))
    """GPUs for the byte LM; 0: it runs on the workers."""
    processes: int | None = field(default=None, metadata=option(metavar="N", default="one per GPU, or per 8 workers"))
    """Processes that the workers are in, each with a model and a cache of its own."""
    unit_bytes: int | None = field(
        default=None, metadata=option(default="8 MiB, doubled until there are at most 50,000 shards")
    )
    """Input per shard."""
    lm: str | None = field(default=None, metadata=option(metavar="SIZE", default="the dataset's"))
    """Byte LM of the run, `tiny` or `40m`; rates are scaled by its work for a byte."""
    rates: Mapping[str, float] = field(default_factory=dict, metadata=option(hidden=True))
    """Bytes per second of one worker by stage, of the model (`model`) and of one GPU (`gpu`), instead of measured."""

    def __post_init__(self) -> None:
        if not 1 <= self.corpus_bytes < math.inf:
            raise SettingsError(f"--bytes is {self.corpus_bytes:g}; give the corpus's bytes of text, such as 3.3e12")
        least = {"workers": 1, "processes": 1, "unit_bytes": 1, "gpus": 0}
        for name, limit in least.items():
            value = getattr(self, name)
            if value is not None and value < limit:
                raise SettingsError(f"--{name.replace('_', '-')} is {value}; give at least {limit}")
        if self.lm is not None and self.lm not in PRESETS:
            raise SettingsError(f"--lm is {self.lm!r}; give {' or '.join(PRESETS)}, or leave it out for the dataset's")
