"""What a run's metrics.jsonl holds, as the points of its curves."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.errors import ArtifactError

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
    try:
        with open(path, encoding="utf-8") as file:
            # The last line may be half written.
            lines = [dict(json.loads(line)) for line in file if line.endswith("\n")]
        found = {
            key: [(int(line["step"]) + 1, float(line[key])) for line in lines if key in line]
            for key in (LOSS, RAW, HELD_OUT)
        }
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error.strerror}); name the directories of runs") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError(f"{path} is damaged ({error!r}); the run that wrote it can write it again") from error
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
