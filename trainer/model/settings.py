"""The settings of `python -m trainer export`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from schemas.errors import SettingsError
from schemas.options import option

ExportMode = Literal["plain", "merged"]
ExportDtype = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportSettings:
    """One export to a folder that transformers loads."""

    model: str = field(default="runs/demo", metadata=option(positional=True, path=True))
    """Run or checkpoint."""
    out: str = field(metadata=option(metavar="DIR", path=True))
    """Directory to write."""
    mode: ExportMode = "plain"
    """Keep the vocabulary (plain), or cut it to raw bytes with all heads (merged)."""
    dtype: ExportDtype = "float32"
    """Type of the weights."""
    shard_bytes: int = 5_000_000_000
    """Size that a file of weights does not exceed, unless one tensor does."""

    def __post_init__(self) -> None:
        for name, known in (("mode", get_args(ExportMode)), ("dtype", get_args(ExportDtype))):
            if getattr(self, name) not in known:
                choice = f"{', '.join(known[:-1])} or {known[-1]}"
                raise SettingsError(f"--{name} is {getattr(self, name)!r}; choose {choice}")
        if self.shard_bytes < 1:
            raise SettingsError(f"--shard-bytes is {self.shard_bytes}, it must be at least 1")
