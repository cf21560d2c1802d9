"""What `python -m pipeline analyze` is asked for; its fields are the command's options."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from schemas.errors import SettingsError
from schemas.files import is_remote
from schemas.options import option

OUT_DIRECTORY = "analysis"
"""Directory of the results in that of a dataset."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnalyzeSettings:
    """What `analyze` is asked for."""

    dataset: str = field(metadata=option(metavar="DATA", positional=True, path=True))
    """Directory of a finished dataset."""
    out: str | None = field(default=None, metadata=option(metavar="DIR", default="DATA/analysis", path=True))
    """Where tables and report.html go."""
    documents: int = 200
    """Texts that are edited to measure distances, at most."""
    texts: str | None = field(
        default=None, metadata=option(metavar="DIR", default="only those of the dataset", path=True)
    )
    """Directory of further texts to edit, where the dataset holds out fewer."""
    seed: int = field(default=0, metadata=option(metavar="S"))
    """Seed of the edits, the intervals and the choice of samples."""

    def __post_init__(self) -> None:
        if self.documents < 1:
            raise SettingsError(f"--documents is {self.documents}; give at least 1")
        if self.texts is not None and not os.path.isdir(self.texts):
            raise SettingsError(f"--texts {self.texts} is not a directory; give one of texts that no model has seen")
        if is_remote(self.directory):
            raise SettingsError(f"results go to this machine, and {self.directory} is a URL; give a directory as --out")
        if os.path.exists(self.directory) and not os.path.isdir(self.directory):
            raise SettingsError(f"--out {self.directory} is a file; give a directory")

    @property
    def directory(self) -> str:
        """Where the results go."""
        return self.out or os.path.join(self.dataset, OUT_DIRECTORY)

    @property
    def name(self) -> str:
        """The dataset, by the last part of its path."""
        return os.path.basename(os.path.abspath(self.dataset))

    @property
    def command(self) -> str:
        """What makes the same results again, wherever the dataset lies."""
        texts = f" --texts {os.path.basename(os.path.abspath(self.texts))}" if self.texts is not None else ""
        return f"python -m pipeline analyze {self.name} --documents {self.documents}{texts} --seed {self.seed}"
