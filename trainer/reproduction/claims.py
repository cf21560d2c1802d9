"""The paper's claims (arXiv 2602.04289) as a table: what each is judged by, and the rule that judges it.

    results, findings ──measure──► numbers ──rule──► verdict          report.py puts both into words

A difference counts when it is at least twice its standard error over seeds (paired by seed, three seeds or more). Where
the thing that a claim is about has not appeared at all, it is "out of reach at this scale", not "not reproduced".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from trainer.reproduction.findings import CompressorFindings
from trainer.reproduction.result_table import (
    ResultTable,
    Spread,
    bits_saved_by_own_comp,
    exact_share,
    harm_difference,
    raw_gain,
)

REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
AMBIGUOUS = "undecided: it depends on what the paper divides by"
OUT_OF_REACH, UNDECIDED, NOT_MEASURED = "out of reach at this scale", "undecided: within the spread", "not measured"

NEVER = 0.01
"""A share of exact answers below this is none."""

PAPER_BYTES_PER_SYMBOL = {"neural": 2.6, "tokenizer": 2.9}
BYTES_PER_SYMBOL_TOLERANCE = 0.5
"""Rates this near to the paper's are the paper's."""
PAPER_LONG_PREFIX_SHARE = 0.9
"""Share of colliding chunks with a long common prefix, at least."""
PAPER_UNPAIRED_EXACT = (0.3, 0.46)
"""Exact translations, lowest and highest share, of models that saw no pairs."""
PAPER_PAIRED_EXACT = 0.95
"""Exact translations, at least, of models that saw pairs to the end."""

Spreads = Mapping[str, Spread]


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """All that claims are judged by."""

    table: ResultTable
    findings: CompressorFindings


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One claim of the paper, and how it is judged."""

    letter: str
    text: str
    paper: str
    """The paper's own figures, in short."""
    measure: Callable[[Evidence], Any]
    """The numbers that the claim is about; None where they were not measured."""
    rule: Callable[[Any], str]
    """A verdict from what `measure` returned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A claim with its numbers and its verdict."""

    claim: Claim
    measured: Any
    """What the claim's `measure` returned, None where nothing was measured."""
    verdict: str


def judge(claim: Claim, evidence: Evidence) -> Judged:
    """Measure one claim and apply its rule."""
    measured = claim.measure(evidence)
    return Judged(claim=claim, measured=measured, verdict=NOT_MEASURED if measured is None else claim.rule(measured))


def judge_all(evidence: Evidence) -> list[Judged]:
    """Every claim of CLAIMS with its verdict, in order."""
    return [judge(claim, evidence) for claim in CLAIMS]


def _rates(evidence: Evidence) -> dict[str, float] | None:
    return evidence.findings.bytes_per_symbol or None


def rates_are_near(rates: Mapping[str, float]) -> bool:
    """Whether bytes per symbol are the paper's within the tolerance."""
    return all(
        abs(rates.get(name, 0) - paper) <= BYTES_PER_SYMBOL_TOLERANCE for name, paper in PAPER_BYTES_PER_SYMBOL.items()
    )


def _long_prefixes(evidence: Evidence) -> dict[str, float] | None:
    return evidence.findings.long_prefix_share or None


def _prefixes_are_long(shares: Mapping[str, float]) -> str:
    """A verdict only where it is the same whatever length the paper divides by."""
    long = {share > PAPER_LONG_PREFIX_SHARE for share in shares.values()}
    return _reproduced_if(long.pop()) if len(long) == 1 else AMBIGUOUS


@dataclass(frozen=True, kw_only=True, slots=True)
class Distances:
    """Median normalised distances of encodings after 10 % of the characters were deleted."""

    tokenizer: float
    neural: float
    """The neural compressor as this project cuts by default."""
    document: float
    """The neural compressor cut by whole-document entropy, as in the paper."""
    gzip: float


def _distances(evidence: Evidence) -> Distances | None:
    by_name, document = evidence.findings.distance, evidence.findings.document_distance
    if document is None or not {"tokenizer", "neural", "gzip"} <= by_name.keys():
        return None
    return Distances(tokenizer=by_name["tokenizer"], neural=by_name["neural"], document=document, gzip=by_name["gzip"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Translations:
    """Translations comp → raw by arm, at the largest size."""

    exact: Spreads
    saved: Spreads
    """Bits per byte that a document's own comp saves over another's."""


PAIRINGS = ("neural-none", "neural", "neural-always")


def _translations(evidence: Evidence) -> Translations | None:
    table = evidence.table
    exact = _known({arm: table.spread(exact_share, table.largest, arm) for arm in PAIRINGS})
    saved = _known({arm: table.spread(bits_saved_by_own_comp, table.largest, arm) for arm in PAIRINGS})
    return Translations(exact=exact, saved=saved) if {"neural-none", "neural-always"} <= exact.keys() else None


def _translates(translations: Translations) -> str:
    always, none = translations.exact["neural-always"].mean, translations.exact["neural-none"].mean
    if always < NEVER:
        return OUT_OF_REACH
    low, high = PAPER_UNPAIRED_EXACT
    return REPRODUCED if always > PAPER_PAIRED_EXACT and low <= none <= high else NOT_REPRODUCED


def _pairing(evidence: Evidence) -> Spreads | None:
    table = evidence.table
    return _all_known({o: table.spread(raw_gain, table.largest, f"neural-{o}", "neural") for o in ("none", "always")})


def _transfer(evidence: Evidence) -> Spreads | None:
    table, proxies = evidence.table, ("tokenizer", "neural", "gzip")
    return _all_known({name: table.spread(raw_gain, table.largest, "raw-matched", name) for name in proxies})


def _only_gzip_fails(gains: Spreads) -> str:
    signs = {name: gain.sign for name, gain in gains.items()}
    if signs == {"tokenizer": 1, "neural": 1, "gzip": -1}:
        return REPRODUCED
    return UNDECIDED if 0 in signs.values() else NOT_REPRODUCED


def _growth(evidence: Evidence) -> Spreads | None:
    table = evidence.table
    gains = _known({size: table.spread(raw_gain, size, "raw-only", "neural") for size in table.sizes})
    return gains if len(gains) > 1 else None


def _grows(gains: Spreads) -> str:
    signs = [gain.sign for gain in gains.values()]
    growing = [_difference(smaller, larger).sign for smaller, larger in pairwise(gains.values())]
    if signs[-1] == 1 and all(sign == 1 for sign in growing):
        return REPRODUCED
    if all(sign == -1 for sign in signs):
        return OUT_OF_REACH
    return UNDECIDED if 0 in (*signs, *growing) else NOT_REPRODUCED


def _formatting(evidence: Evidence) -> Spreads | None:
    table, arms = evidence.table, ("raw-only", "neural", "tokenizer")
    return _all_known({arm: table.spread(harm_difference, table.largest, "tokenizer-only", arm) for arm in arms})


def _all_positive(spreads: Spreads) -> str:
    signs = {spread.sign for spread in spreads.values()}
    return REPRODUCED if signs == {1} else NOT_REPRODUCED if -1 in signs else UNDECIDED


def _reproduced_if(holds: bool) -> str:
    return REPRODUCED if holds else NOT_REPRODUCED


def _known(spreads: Mapping[str, Spread | None]) -> dict[str, Spread]:
    """The spreads without those that were not measured."""
    return {name: spread for name, spread in spreads.items() if spread is not None}


def _all_known(spreads: Mapping[str, Spread | None]) -> dict[str, Spread] | None:
    """The spreads, None unless all were measured."""
    known = _known(spreads)
    return known if len(known) == len(spreads) else None


def _difference(a: Spread, b: Spread) -> Spread:
    """b - a, paired by seed as far as both go."""
    return Spread(values=tuple(y - x for x, y in zip(a.values, b.values, strict=False)))


CLAIMS = (
    Claim(
        letter="a",
        text="bytes per symbol on code",
        paper="neural ≈ 2.6, tokenizer ≈ 2.9",
        measure=_rates,
        rule=lambda rates: _reproduced_if(rates_are_near(rates)),
    ),
    Claim(
        letter="b",
        text="colliding segments that share a common prefix of ≥ 0.8 (of a length that the paper's text does not name)",
        paper="over 90 %",
        measure=_long_prefixes,
        rule=_prefixes_are_long,
    ),
    Claim(
        letter="c",
        text="distance under 10 % deletion: tokenizer < neural < gzip",
        paper="that order",
        measure=_distances,
        rule=lambda distances: _reproduced_if(distances.tokenizer < distances.document < distances.gzip),
    ),
    Claim(
        letter="d",
        text="translation comp → raw, exact, without pairs and with pairs always",
        paper="30–46 % without, over 95 % always",
        measure=_translations,
        rule=_translates,
    ),
    Claim(
        letter="e",
        text="pairs in the warm-up only beat none and always, bits per raw byte",
        paper="best of the three",
        measure=_pairing,
        rule=_all_positive,
    ),
    Claim(
        letter="f",
        text="gzip does not transfer, tokenizer and neural do: bits per raw byte saved over as much raw alone",
        paper="gzip none",
        measure=_transfer,
        rule=_only_gzip_fails,
    ),
    Claim(
        letter="g",
        text="the proxy's gain over raw-only at an equal budget grows with model size",
        paper="from behind at 0.5 B to ahead at 14 B",
        measure=_growth,
        rule=_grows,
    ),
    Claim(
        letter="h",
        text="other formatting hurts proxy and byte models less than token models",
        paper="robust pass@1 on ReCode",
        measure=_formatting,
        rule=_all_positive,
    ),
)
"""The claims, in the order of the page."""
