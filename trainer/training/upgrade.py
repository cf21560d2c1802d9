"""Checkpoints of before, read as those of today: version 1 under today's names, and settings that came later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.training.sizes import SIZES

MIXING = {"comp_share": "compressed_fraction", "start_share": "initial_compressed_fraction"}
SETTINGS = {"row_symbols": "sequence_length", "warmup_steps": "lr_warmup_steps"}
SETTINGS_THEN_FIXED = {"adam_beta1": 0.9, "adam_beta2": 0.95, "adam_eps": 1e-15, "interleave": 4}
"""Settings that version 1 had no name for."""
ADDED = {"optimizer": "adamw", "matrix_lr": 0.02, "matrix_momentum": 0.95, "look_back": False, "literals": False}
"""Settings that came later, as every run was before."""
LOADER = {"row_symbols": "sequence_length", "batch_rows": "global_batch_size"}
MODEL = {"window": "attention_window"}


def with_added_settings(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state with what its settings had no name for yet; a state without settings stays as it is."""
    if not isinstance(state.get("settings"), dict):
        return dict(state)
    return {**state, "settings": {**ADDED, **state["settings"]}}


def from_version_1(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state of a checkpoint of version 1, renamed to version 2; parts that are missing or damaged stay so."""
    new = {**state, "version": 2}
    if isinstance(state.get("settings"), dict):
        settings = {**SETTINGS_THEN_FIXED, **_with_mixing(state["settings"], SETTINGS)}
        if not settings.get("peak_lr") and settings.get("size") in SIZES:
            settings["peak_lr"] = SIZES[settings["size"]].run.peak_lr
        new["settings"] = settings
    if isinstance(state.get("config"), dict):
        new["config"] = _renamed(state["config"], MODEL)
    loader = state.get("loader")
    if isinstance(loader, dict) and isinstance(loader.get("identity"), dict):
        new["loader"] = {**loader, "identity": _with_mixing(loader["identity"], LOADER)}
    return new


def _with_mixing(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    renamed = _renamed(values, names)
    if isinstance(renamed.get("mixing"), dict):
        renamed["mixing"] = _renamed(renamed["mixing"], MIXING)
    return renamed


def _renamed(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in values.items()}
