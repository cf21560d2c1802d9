"""The settings of `python -m trainer generate`, and how an id is chosen, which evaluation shares."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.errors import SettingsError
from schemas.options import option


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How the next id is chosen."""

    temperature: float = field(default=0.0, metadata=option(default="0, the likeliest id"))
    """Number that logits are divided by."""
    top_p: float = field(default=1.0, metadata=option(metavar="X"))
    """Only the likeliest ids that together reach this probability; matters above temperature 0."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise SettingsError(f"--temperature is {self.temperature}; give 0 (greedy) or more")
        if not 0 < self.top_p <= 1:
            raise SettingsError(f"--top-p is {self.top_p}; give a number above 0 and at most 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateSettings:
    """One continuation on the command line."""

    model: str = field(default="runs/demo", metadata=option(positional=True, path=True))
    """Run, checkpoint or export."""
    prompt: str = field(default="def ", metadata=option(metavar="TEXT"))
    """Text to continue; any bytes, UTF-8 or not: in bash, --prompt $'caf\\xe9'."""
    max_bytes: int = 256
    """Longest continuation."""
    sampling: Sampling = field(default_factory=Sampling)
    """How the next id is chosen."""
    seed: int = 0
    """Decides what is sampled above temperature 0."""
    speculate: bool = True
    """Read several guessed bytes in one forward pass; the text is the same without."""
    device: str = field(default="", metadata=option(default="cuda where there is one"))
    """Device, cpu or cuda."""

    def __post_init__(self) -> None:
        if self.max_bytes < 0:
            raise SettingsError(f"--max-bytes is {self.max_bytes}; give 0 or more")
        if self.seed < 0:
            raise SettingsError(f"--seed is {self.seed}; give 0 or more")
