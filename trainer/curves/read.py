"""What a run's metrics.jsonl holds, as the points of its curves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.errors import ArtifactError, refusing
from schemas.json_files import Count, parse_object, typed

METRICS_NAME = "metrics.jsonl"
LOSS, RAW, HELD_OUT = "loss_nats", "bits_per_raw_byte", "held_out_bits_per_raw_byte"
"""The keys of a line that are drawn; trainer.training.metrics writes them."""

Points = list[tuple[int, float]]
"""(optimizer steps that were done, value), steps rising."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curves:
    """The curves of one run; a curve without points is one that the run has not measured."""

    name: str
    loss_nats: Points
    raw_bits: Points
    """Bits per raw byte of what was trained on, before each step."""
    held_out_bits: Points

    @property
    def best(self) -> tuple[int, float] | None:
        """The lowest held-out point, the first of equals."""
        return min(self.held_out_bits, key=lambda point: point[1], default=None)


def read_curves(run: str, name: str) -> Curves:
    """The curves of a run, going on or finished; ArtifactError where there are no metrics, or damaged ones."""
    path = os.path.join(run, METRICS_NAME)
    with refusing(path, ArtifactError, "name the directories of runs"), open(path, "rb") as file:
        # The last line may be half written.
        lines = [parse_object(line) for line in file if line.endswith(b"\n")]
        steps = [1 + typed(Count, line.get("step"), f"step of line {number}") for number, line in enumerate(lines, 1)]
        found = {
            key: [(step, typed(float, line[key], key)) for step, line in zip(steps, lines, strict=True) if key in line]
            for key in (LOSS, RAW, HELD_OUT)
        }
    if not found[LOSS]:
        raise ArtifactError(f"{path} has no step yet; wait for its first line")
    return Curves(name=name, loss_nats=found[LOSS], raw_bits=found[RAW], held_out_bits=found[HELD_OUT])


def names_of(runs: Sequence[str]) -> list[str]:
    """What tells runs apart: their paths without the folders that all of them begin with."""
    paths = [os.path.normpath(run).split(os.sep) for run in runs]
    common = 0
    shortest = min(len(path) for path in paths) - 1
    while common < shortest and len({path[common] for path in paths}) == 1:
        common += 1
    return [os.sep.join(path[common:]) for path in paths]
