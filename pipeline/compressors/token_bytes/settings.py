"""What a user decides about token-bytes; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from schemas.errors import SettingsError
from schemas.options import option

WIDTHS_BYTES = (2, 3)
"""Bytes per token."""
TokenCode = Literal["plain", "gray"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenBytesSettings:
    """How a token becomes bytes."""

    width_bytes: int = field(default=0, metadata=option("token-width-bytes", metavar="BYTES"))
    """Bytes of a token in token_bytes, 2 or 3; 0: the smallest that fits."""
    code: TokenCode = field(default="plain", metadata=option("token-code"))
    """Bytes of a token in token_bytes: its id (plain), or its rank among all tokens in the reflected binary code
    (gray)."""

    def __post_init__(self) -> None:
        if self.width_bytes not in (0, *WIDTHS_BYTES):
            raise SettingsError(f"--token-width-bytes is {self.width_bytes}; give 2 or 3, or 0 for what fits")
        if self.code not in get_args(TokenCode):
            raise SettingsError(f"--token-code is {self.code!r}; give one of {', '.join(get_args(TokenCode))}")
