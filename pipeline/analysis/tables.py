"""The findings as files for other programs: CSV for rows of numbers, JSON for what is nested."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from pipeline.analysis.findings import Findings
from schemas.files import canonical_json

DIGITS = 6
"""Decimals of a floating-point number in a table."""


def table_files(findings: Findings) -> dict[str, bytes]:
    """File name to content; equal findings give equal bytes."""
    counted = findings.statistics
    about = {"command": findings.command, "manifest_sha256": findings.manifest_digest, "texts": findings.texts_note}
    return {
        "about.json": canonical_json(about),
        "collisions.json": canonical_json([_plain(table) for table in findings.collisions]),
        "compressors.csv": rows_csv(counted.compressors),
        "frontier.csv": rows_csv(findings.frontier),
        "histograms.csv": rows_csv(bins(counted.histograms), header=BIN_COLUMNS),
        "languages.csv": rows_csv(counted.languages),
        "stability.csv": rows_csv(findings.stability),
    }


BIN_COLUMNS = ("quantity", "compressor", "low", "high", "count")


def bins(histograms: Iterable[Any]) -> list[dict[str, Any]]:
    """One row per bin; the last bin of an open-ended histogram has no upper edge."""
    rows = []
    for data in histograms:
        for i, number in enumerate(data.counts):
            low = data.first + i * data.width
            last = data.open_ended and i == len(data.counts) - 1
            high = "" if last else low + data.width
            rows.append(dict(zip(BIN_COLUMNS, (data.quantity, data.compressor, low, high, number), strict=True)))
    return rows


def rows_csv(rows: Sequence[Any], header: Sequence[str] = ()) -> bytes:
    """Dataclasses or dictionaries, all of one kind, as CSV with a header; nothing where there are neither."""
    names = list(header) or ([field.name for field in fields(rows[0])] if rows else [])
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if names:
        writer.writerow(names)
    for row in rows:
        values = asdict(row) if is_dataclass(row) and not isinstance(row, type) else row
        writer.writerow([_cell(values[name]) for name in names])
    return out.getvalue().encode()


def _cell(value: Any) -> Any:
    return round(value, DIGITS) if isinstance(value, float) else value


def _plain(value: Any) -> Any:
    """Dataclasses, tuples, bytes and numbers as JSON values; bytes as text with what is not UTF-8 escaped."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return _cell(value)
