"""The figures of one job, and the table of all of them, one JSON object in a line, that outlives the machine.

A study of many CPU hours is done in slices, on one machine or on several: what the table holds is not trained again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

from schemas.errors import ArtifactError, refusing
from schemas.files import replace_file
from schemas.formats import AS_IS
from schemas.json_files import parse_json, record
from trainer.evaluation.translation import Translation
from trainer.reproduction.arms import job_name

Arithmetic = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TranslationPoint:
    """Translation comp → raw at one checkpoint of a run."""

    step: int
    raw_exact: float
    """Share of documents whose bytes were all right."""
    saved_bits_per_byte: float
    """What a document's own comp saves over another's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """The figures of one job on the held-out documents."""

    arm: str
    size: str
    budget: float
    """Multiple of the scale's symbols that the arm was trained on."""
    seed: int
    body_parameters: int
    symbols: int
    """Symbols that the model was trained on."""
    raw_per_comp: float | None
    """Raw bytes per symbol of the arm's compressor on the study's documents; None for an arm without comp."""
    raw_bits_per_byte: float | None
    """Bits per byte of raw bytes; None for an arm that never saw any."""
    comp_bits_per_byte: float | None
    """Bits of the same documents encoded as comp, over their raw bytes; None without a compressor."""
    translation: Translation | None
    """Between comp and raw; None for arms that are no proxies."""
    arithmetic: Arithmetic
    """What products were computed in while training."""
    cpu_seconds: float
    """Of training and evaluation, in all slices but those that were killed."""
    identity: str
    """Digest of the documents and of the settings: a result counts for no others."""
    density: float = 1.0
    """Symbols of a step, as a share of the scale's."""
    translation_curve: list[TranslationPoint] | None = None
    """How translation came, for an arm that is watched; else None."""
    format_bits: dict[str, float] | None = None
    """Bits per byte behind a context in each format, see `reproduction.formats`; None where it was not asked for."""

    def __post_init__(self) -> None:
        if self.body_parameters < 1:
            raise ValueError(f"body_parameters is {self.body_parameters}")
        if self.raw_per_comp is not None and not 1e-3 < self.raw_per_comp < 1e6:
            raise ValueError(f"raw_per_comp is {self.raw_per_comp}")
        for name in ("raw_bits_per_byte", "comp_bits_per_byte", "cpu_seconds"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1e9:
                raise ValueError(f"{name} is {value}")
        if self.format_bits is not None and (AS_IS not in self.format_bits or len(self.format_bits) < 2):
            raise ValueError(f"formats {sorted(self.format_bits)}, not {AS_IS} and others")

    @property
    def name(self) -> str:
        """Name of the job that gave this result."""
        return job_name(self.arm, self.size, self.budget, self.density, self.seed)


def read_result(path: str) -> Result:
    """Read a result from its file; ArtifactError where the file is damaged."""
    with refusing(path, ArtifactError, "remove it and run again"), open(path, "rb") as file:
        return record(Result, parse_json(file.read()), whole=False)


def read_results(path: str) -> list[Result]:
    """The results of a table, in its order; none where there is no file, ArtifactError where it is damaged."""
    if not os.path.exists(path):
        return []
    with refusing(path, ArtifactError, "repair or remove it"), open(path, "rb") as file:
        return [record(Result, parse_json(line), whole=False) for line in file if line.strip()]


def write_results(path: str, results: Iterable[Result]) -> None:
    """Write the table anew, by name of the job; equal results give equal bytes."""
    lines = [json.dumps(asdict(result), sort_keys=True) for result in sorted(results, key=lambda result: result.name)]
    replace_file(path, "".join(f"{line}\n" for line in lines).encode())
