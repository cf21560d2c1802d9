"""Figures about the compressors, from the manifest and from the files of `python -m pipeline analyze`."""

from __future__ import annotations

import csv
import math
import os
from dataclasses import dataclass, field
from typing import Any

from schemas.errors import ArtifactError, refusing
from schemas.json_files import Count, parse_json, record, typed
from schemas.manifest import read_manifest

AGAIN = "make it again with `python -m pipeline analyze`"
LENGTHS = ("longest", "mean", "shortest")
"""What the common prefix of chunks can be a share of."""
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
    """Share of the codes of several segments whose segments have a common prefix of at least 0.8 of what the key says:
    the longest of them, their mean length, the shortest."""
    prefix_note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Level:
    """What is taken from a table of collisions.json."""

    level: str
    colliding_codes: Count
    prefix_over_longer: dict[str, Any]
    case_prefix_over_longest: dict[str, Any]
    case_prefix_over_mean: dict[str, Any]
    case_prefix_over_shortest: dict[str, Any]


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
    with refusing(path, ArtifactError, AGAIN, csv.Error):
        return {
            row["compressor"]: _number(row, "distance")
            for row in _rows(path, "compressor", "kind", "share", "distance")
            if row["kind"] == "delete" and _number(row, "share") == 0.1
        }


def _document_distance(path: str, bytes_per_symbol: float) -> float | None:
    """Distance in the whole-document row of the frontier whose rate is nearest to a number of bytes per symbol."""
    if not os.path.exists(path):
        return None
    with refusing(path, ArtifactError, AGAIN, csv.Error):
        rows = [row for row in _rows(path, "context", "bytes_per_symbol", "distance") if row["context"] == "document"]
        found = [(abs(_number(row, "bytes_per_symbol") - bytes_per_symbol), _number(row, "distance")) for row in rows]
    return min(found, key=lambda pair: pair[0], default=(0.0, None))[1]


def _long_share(table: dict[str, Any]) -> float:
    share: float = typed(float, table.get("long_share"), "long_share")
    return share


def _rows(path: str, *columns: str) -> list[dict[str, str]]:
    """The rows of a table; ValueError where it lacks a column."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, strict=True)
        found = list(rows)
    for column in columns:
        if column not in (rows.fieldnames or ()) or any(not isinstance(row[column], str) for row in found):
            raise ValueError(f"no column {column!r} in every row")
    return found


def _number(row: dict[str, str], column: str) -> float:
    value = float(row[column])
    if not math.isfinite(value):
        raise ValueError(f"{column} is {row[column]}")
    return value


def _long_prefixes(path: str) -> tuple[dict[str, float], str]:
    if not os.path.exists(path):
        return {}, ""
    with refusing(path, ArtifactError, AGAIN), open(path, "rb") as file:
        tables = [
            record(_Level, table, only=False) for table in typed(list[Any], parse_json(file.read()), "the tables")
        ]
        segments = next((table for table in tables if table.level == "segment"), None)
        if segments is None:
            raise ValueError("no table of level 'segment'")
        shares = {over: _long_share(getattr(segments, f"case_prefix_over_{over}")) for over in LENGTHS}
        pairs = _long_share(segments.prefix_over_longer)
    note = f"of {segments.colliding_codes:,} codes; of pairs over the longer one {pairs:.1%}"
    return shares, f"{note}; what the paper divides by could not be read"
