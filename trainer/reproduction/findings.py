"""Figures about the compressors, from the manifest and from the files of `python -m pipeline analyze`."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import dataclass, field
from typing import Any

from schemas.errors import ArtifactError
from schemas.manifest import read_manifest

STABILITY_NAME, FRONTIER_NAME, COLLISIONS_NAME = "stability.csv", "frontier.csv", "collisions.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class CompressorFindings:
    """Numbers about compressors; empty where they were not measured."""

    bytes_per_symbol: dict[str, float] = field(default_factory=dict)
    """Raw bytes per symbol by compressor."""
    distance: dict[str, float] = field(default_factory=dict)
    """Median normalised distance under deletion of 10 % of the characters, by compressor."""
    document_distance: float | None = None
    """Median normalised distance of neural, cut by whole-document entropy as in the paper, at the tokenizer's rate."""
    long_prefix_share: dict[str, float] = field(default_factory=dict)
    """Share of colliding pairs whose common prefix is at least 0.8 of the longer chunk, by level."""
    prefix_note: str = ""


def read_findings(dataset: str, analysis: str = "") -> CompressorFindings:
    """From a finished dataset and what `analyze` wrote (default: DATASET/analysis); files may be missing."""
    analysis = analysis or os.path.join(dataset, "analysis")
    totals = read_manifest(dataset).totals
    rates = {name: totals.raw_bytes / symbols for name, symbols in sorted(totals.symbols.items()) if symbols}
    shares, note = _long_prefixes(os.path.join(analysis, COLLISIONS_NAME))
    return CompressorFindings(
        bytes_per_symbol=rates,
        distance=_distances(os.path.join(analysis, STABILITY_NAME)),
        document_distance=_document_distance(os.path.join(analysis, FRONTIER_NAME), rates.get("tokenizer", 0.0)),
        long_prefix_share=shares,
        prefix_note=note,
    )


def _distances(path: str) -> dict[str, float]:
    if not os.path.exists(path):
        return {}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return {
                row["compressor"]: float(row["distance"])
                for row in csv.DictReader(file)
                if row["kind"] == "delete" and float(row["share"]) == 0.1
            }
    except (KeyError, ValueError) as error:
        raise ArtifactError(
            f"{path} is not a table of `python -m pipeline analyze` ({error}); make it again"
        ) from error


def _document_distance(path: str, bytes_per_symbol: float) -> float | None:
    """Distance in the whole-document row of the frontier whose rate is nearest to a number of bytes per symbol."""
    if not os.path.exists(path):
        return None
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["context"] == "document"]
        nearest = min(rows, key=lambda row: abs(float(row["bytes_per_symbol"]) - bytes_per_symbol), default=None)
        return None if nearest is None else float(nearest["distance"])
    except (KeyError, ValueError) as error:
        raise ArtifactError(
            f"{path} is not a table of `python -m pipeline analyze` ({error}); make it again"
        ) from error


def _long_prefixes(path: str) -> tuple[dict[str, float], str]:
    if not os.path.exists(path):
        return {}, ""
    try:
        with open(path, encoding="utf-8") as file:
            tables: dict[str, Any] = {table["level"]: table for table in json.load(file)}
        shares = {level: float(table["prefix_over_longer"]["long_share"]) for level, table in tables.items()}
        shorter = {level: float(table["prefix_over_shorter"]["long_share"]) for level, table in tables.items()}
    except (KeyError, ValueError, TypeError) as error:
        raise ArtifactError(f"{path} is not of `python -m pipeline analyze` ({error}); make it again") from error
    over = ", ".join(f"{level}s {share:.1%}" for level, share in sorted(shorter.items()))
    return shares, f"over the shorter one: {over}; windows that begin a segment collide only with their own prefixes"
