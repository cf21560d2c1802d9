"""The numbers that claims are judged by, from results and findings; None where they were not measured.

Each is taken at the last point that has its arms: the size and budget with most parameters times symbols.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import linear_regression

from trainer.reproduction.findings import CompressorFindings
from trainer.reproduction.result_table import (
    ResultTable,
    Spread,
    bits_saved_by_own_comp,
    exact_share,
    harm_difference,
    raw_gain,
)

MIN_SIZES = 3
"""A line through fewer sizes is no trend."""

Spreads = Mapping[str, Spread]


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """All that claims are judged by."""

    table: ResultTable
    findings: CompressorFindings


def rates(evidence: Evidence) -> dict[str, float] | None:
    """Claim (a): raw bytes per symbol by compressor."""
    return evidence.findings.bytes_per_symbol or None


def long_prefixes(evidence: Evidence) -> dict[str, float] | None:
    """Claim (b): shares of colliding codes with a long common prefix, by what the prefix is divided by."""
    return evidence.findings.long_prefix_share or None


@dataclass(frozen=True, kw_only=True, slots=True)
class Distances:
    """Median normalised distances of encodings after 10 % of the characters were deleted."""

    tokenizer: float
    neural: float
    """The neural compressor as this project cuts by default."""
    document: float
    """The neural compressor cut by whole-document entropy, as in the paper."""
    gzip: float


def distances(evidence: Evidence) -> Distances | None:
    """Claim (c): median distances under deletion."""
    by_name, document = evidence.findings.distance, evidence.findings.document_distance
    if document is None or not {"tokenizer", "neural", "gzip"} <= by_name.keys():
        return None
    return Distances(tokenizer=by_name["tokenizer"], neural=by_name["neural"], document=document, gzip=by_name["gzip"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Translations:
    """Translations comp → raw by arm, at the last point that has them."""

    exact: Spreads
    saved: Spreads
    """Bits per byte that a document's own comp saves over another's."""


PAIRINGS = ("neural-none", "neural", "neural-always")


def translations(evidence: Evidence) -> Translations | None:
    """Claim (d): exact translations and bits saved, by pairing."""
    table, point = evidence.table, evidence.table.last(*PAIRINGS)
    exact = _all_known({arm: table.spread(exact_share, point, arm) for arm in PAIRINGS})
    saved = _all_known({arm: table.spread(bits_saved_by_own_comp, point, arm) for arm in PAIRINGS})
    return Translations(exact=exact, saved=saved) if exact and saved else None


def pairing(evidence: Evidence) -> Spreads | None:
    """Claim (e): bits per raw byte that pairs in the warm-up save over none and over pairs to the end."""
    table, point = evidence.table, evidence.table.last(*PAIRINGS)
    return _all_known(
        {other: table.spread(raw_gain, point, f"neural-{other}", "neural") for other in ("none", "always")}
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfers:
    """What comp is worth to raw bytes, in bits per raw byte."""

    gains: Spreads
    """Saved over as much raw alone, by proxy."""
    over_gzip: Spreads
    """By how much that is more than gzip's."""


TRANSFERS = ("tokenizer", "neural", "gzip")


def transfer(evidence: Evidence) -> Transfers | None:
    """Claim (f): what each kind of comp is worth to raw bytes."""
    table, point = evidence.table, evidence.table.last(*TRANSFERS, "raw-only")
    gains = _all_known({name: table.spread(table.transfer_gain, point, name) for name in TRANSFERS})
    over = _all_known(
        {name: table.spread(table.transfer_difference, point, "gzip", name) for name in TRANSFERS if name != "gzip"}
    )
    return Transfers(gains=gains, over_gzip=over) if gains and over else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """The proxy against raw-only at an equal budget, over model size."""

    gains: Spreads
    """Bits per raw byte that the proxy saves, by size, smallest first."""
    per_decade: Spread
    """Slope of a line through them over log10 of the parameters, fitted for each seed."""


def growth(evidence: Evidence) -> Growth | None:
    """Claim (g): the proxy against raw-only at budget 1, over at least MIN_SIZES sizes."""
    table = evidence.table
    by_size = {size: table.spread(raw_gain, (size, 1.0), "raw-only", "neural") for size in table.sizes}
    gains = {size: spread for size, spread in by_size.items() if spread is not None}
    if len(gains) < MIN_SIZES:
        return None
    sizes = [math.log10(table.body_parameters[size]) for size in gains]
    seeds = zip(*(spread.values for spread in gains.values()), strict=False)
    slopes = tuple(linear_regression(sizes, values).slope for values in seeds)
    return Growth(gains=gains, per_decade=Spread(values=slopes))


@dataclass(frozen=True, kw_only=True, slots=True)
class Boundaries:
    """This project's default against text cut otherwise: bits per raw byte by which the default is better."""

    other: str
    """The arm whose text is cut otherwise."""
    equal_budget: Spread
    """Saved over that arm, which was trained on as many symbols."""
    transfer: Spread
    """By how much its gain over as much raw alone is larger."""


PAPER_BOUNDARIES, LONG_SEGMENTS = "neural-jump", "neural-long"


def boundaries(evidence: Evidence, other: str) -> Boundaries | None:
    """Claims (i) and (j): this project's default against an arm whose text is cut otherwise."""
    table, point = evidence.table, evidence.table.last("neural", other, "raw-only")
    equal = table.spread(raw_gain, point, other, "neural")
    transfer = table.spread(table.transfer_difference, point, other, "neural")
    return Boundaries(other=other, equal_budget=equal, transfer=transfer) if equal and transfer else None


FORMATTED = ("tokenizer-only", "raw-only", "neural", "tokenizer")


def formatting(evidence: Evidence) -> Spreads | None:
    """Claim (h): bits per byte by which other formatting harms tokens alone more than other arms."""
    table, (tokens, *others) = evidence.table, FORMATTED
    point = table.last(*FORMATTED)
    return _all_known({arm: table.spread(harm_difference, point, tokens, arm) for arm in others})


def _all_known(spreads: Mapping[str, Spread | None]) -> dict[str, Spread] | None:
    """The spreads, None unless all were measured."""
    known = {name: spread for name, spread in spreads.items() if spread is not None}
    return known if len(known) == len(spreads) else None
