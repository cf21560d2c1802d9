"""The settings of `python -m trainer plot`."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.errors import SettingsError
from schemas.options import option

SUFFIXES = (".png", ".svg")


@dataclass(frozen=True, kw_only=True, slots=True)
class PlotSettings:
    """One picture of one or more runs."""

    runs: tuple[str, ...] = field(metadata=option(path=True))
    """Directories of the runs, each of which is a line of its own colour."""
    out: str = field(default="", metadata=option(metavar="FILE", default="curves.png in the first run", path=True))
    """Picture to write, .png or .svg."""

    def __post_init__(self) -> None:
        if not self.file.endswith(SUFFIXES):
            raise SettingsError(f"--out {self.out} is no picture; give a name that ends in {' or '.join(SUFFIXES)}")

    @property
    def file(self) -> str:
        """The file that is written."""
        return self.out or f"{self.runs[0].rstrip('/')}/curves.png"
