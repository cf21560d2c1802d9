"""The state of a loader as JSON values: one rank's part, all parts merged, and read again.

    rank 0 of 2: {"version": 1, "step": 7, "identity": {…}, "lanes": {"0": […], "2": […]}}
    merged:      {"version": 1, "step": 7, "identity": {…}, "lanes": {"0": […], "1": […], "2": […], "3": […]}}

`identity` is what decides the batches; a state is read only where it is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from schemas.errors import SettingsError, one_line
from schemas.json_files import said
from trainer.data.lanes import MAX_COUNT, LanePosition

STATE_VERSION = 1
"""Raise it when equal settings give other batches than before."""


def rank_state(step: int, identity: dict[str, Any], positions: Mapping[int, LanePosition]) -> dict[str, Any]:
    """One rank's part of the state before `step`."""
    lanes = {str(lane): position.to_json() for lane, position in positions.items()}
    return {"version": STATE_VERSION, "step": step, "identity": identity, "lanes": lanes}


def merge_states(states: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The state of the whole run from those of all its ranks at the same step."""
    states = list(states)
    first = states[0]
    assert all(state["step"] == first["step"] and state["identity"] == first["identity"] for state in states)
    return {**first, "lanes": {lane: position for state in states for lane, position in state["lanes"].items()}}


def read_state(
    state: Mapping[str, Any], identity: Mapping[str, Any], lanes: int
) -> tuple[int, dict[int, LanePosition]]:
    """The next step and the positions of all lanes; SettingsError where the state is damaged or another run's."""
    try:
        version, step = state["version"], state["step"]
        if type(step) is not int or not 0 <= step < MAX_COUNT:
            raise ValueError(f"step is {step!r}")
        theirs = {name: state["identity"][name] for name in identity} if version == STATE_VERSION else {}
        positions = {int(lane): LanePosition.from_json(value) for lane, value in state["lanes"].items()}
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise SettingsError(
            f"the checkpoint's loader state is damaged ({one_line(error)}): take an earlier one"
        ) from error
    if version != STATE_VERSION:
        raise SettingsError(
            f"the checkpoint's loader state has version {said(version)}, this program reads {STATE_VERSION}: "
            "resume it with the release that wrote it"
        )
    for name, value in theirs.items():
        if value != identity[name]:
            raise SettingsError(
                f"the checkpoint was made with {name} {str(value)[:80]}, this run has {identity[name]}: "
                "resume with the settings of that run, or begin a new one"
            )
    if sorted(positions) != list(range(lanes)):
        raise SettingsError(
            f"the checkpoint's loader state has {len(positions)} of {lanes} lanes: "
            "merge the states of all its ranks, or take an earlier one"
        )
    return step, positions
