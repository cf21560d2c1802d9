"""What stands before raw text, by how a model was trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.errors import SettingsError
from schemas.vocabulary import BOS, RAW_OPEN


def mixing_mode(run: Mapping[str, Any]) -> str:
    """How a run mixed its encodings, by its settings; empty for an export, which has none."""
    return str(run.get("mixing", {}).get("mode", ""))


def opening(mode: str) -> tuple[int, ...]:
    """The ids before a prompt, by the mixing mode of the model's run; SettingsError where it never saw raw bytes."""
    if mode == "comp-only":
        raise SettingsError("this model was trained in mode comp-only and never saw raw bytes; take another model")
    return (BOS,) if mode == "none" else (BOS, RAW_OPEN)
