"""The settings of `python -m trainer serve`."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.errors import SettingsError
from schemas.options import flag, option

_AT_LEAST = {
    "port": 0,
    "rows": 1,
    "waiting": 0,
    "max_prompt_bytes": 0,
    "max_bytes": 1,
    "max_body_bytes": 1,
    "request_seconds": 1,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeSettings:
    """One server of one model."""

    model: str = field(default="runs/demo", metadata=option(positional=True, path=True))
    """Run, checkpoint or export."""
    name: str = field(default="", metadata=option(default="the last part of the path"))
    """What requests call the model."""
    host: str = field(default="127.0.0.1", metadata=option(metavar="ADDRESS"))
    """Address that is listened at; 0.0.0.0 lets whoever reaches this machine use the model, without a password."""
    port: int = 8000
    """TCP port; 0 for any free one."""
    rows: int = 16
    """Continuations that are made at once; each holds a cache of --max-prompt-bytes and --max-bytes."""
    waiting: int = field(default=256, metadata=option(metavar="N"))
    """Continuations that wait for a row; further ones are answered with status 429."""
    max_prompt_bytes: int = 16_384
    """Longest prompt; longer ones are answered with status 400."""
    max_bytes: int = 2048
    """Most bytes that a request may ask for, in max_tokens."""
    max_body_bytes: int = 1 << 20
    """Largest body of a request; larger ones are answered with status 413."""
    request_seconds: float = 600.0
    """Time after which a request is given up, its waiting included."""
    device: str = field(default="", metadata=option(default="cuda where there is one"))
    """Device, cpu or cuda."""

    def __post_init__(self) -> None:
        for name, minimum in _AT_LEAST.items():
            if not getattr(self, name) >= minimum:
                raise SettingsError(f"{flag(self, name)} is {getattr(self, name)}, it must be at least {minimum}")
        if self.port > 65_535:
            raise SettingsError(f"--port is {self.port}, it must be at most 65535")
