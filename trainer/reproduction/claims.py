"""The paper's claims (arXiv 2602.04289), and two of ours: what each is judged by, and the rule that judges it.

    results, findings ──measure──► numbers ──rule──► verdict          report.py puts both into words

A difference counts when it is at least twice its standard error over seeds (paired by seed, three seeds or more). Where
the thing that a claim is about has not appeared at all, it is "out of reach at this scale", not "not reproduced". Each
claim is judged at the last point that has its arms: the size and budget with most parameters times symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trainer.reproduction import evidence as numbers
from trainer.reproduction.evidence import (
    FORMATTED,
    LONG_SEGMENTS,
    PAIRINGS,
    PAPER_BOUNDARIES,
    TRANSFERS,
    Boundaries,
    Evidence,
    Growth,
    Spreads,
    Transfers,
    Translations,
)

REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
AMBIGUOUS = "undecided: it depends on what the paper divides by"
HOLDS, FALLS = "the default holds", "the default falls: take the other one"
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
    rule_text: str
    """The rule in words, for the page."""
    arms: tuple[str, ...] = ()
    """The arms that it compares, at the last point that has them all; empty where it is about no trained model."""


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


def rates_are_near(rates: Mapping[str, float]) -> bool:
    """Whether bytes per symbol are the paper's within the tolerance."""
    return all(
        abs(rates.get(name, 0) - paper) <= BYTES_PER_SYMBOL_TOLERANCE for name, paper in PAPER_BYTES_PER_SYMBOL.items()
    )


def _prefixes_are_long(shares: Mapping[str, float]) -> str:
    """A verdict only where it is the same whatever length the paper divides by."""
    long = {share > PAPER_LONG_PREFIX_SHARE for share in shares.values()}
    return _reproduced_if(long.pop()) if len(long) == 1 else AMBIGUOUS


def _translates(translations: Translations) -> str:
    always, none = translations.exact["neural-always"].mean, translations.exact["neural-none"].mean
    if always < NEVER:
        return OUT_OF_REACH
    low, high = PAPER_UNPAIRED_EXACT
    return REPRODUCED if always > PAPER_PAIRED_EXACT and low <= none <= high else NOT_REPRODUCED


def _only_gzip_fails(transfers: Transfers) -> str:
    signs = {name: gain.sign for name, gain in transfers.gains.items()}
    if signs["gzip"] == 1 or -1 in (signs["tokenizer"], signs["neural"]):
        return NOT_REPRODUCED
    others = {signs["tokenizer"], signs["neural"], *(spread.sign for spread in transfers.over_gzip.values())}
    return REPRODUCED if others == {1} else UNDECIDED


def _grows(growth: Growth) -> str:
    signs = [gain.sign for gain in growth.gains.values()]
    slope = growth.per_decade.sign
    if slope == 1 and signs[-1] == 1:
        return REPRODUCED
    if slope == -1:
        return NOT_REPRODUCED
    return OUT_OF_REACH if slope == 1 and set(signs) == {-1} else UNDECIDED


def _default_holds(boundaries: Boundaries) -> str:
    signs = {boundaries.equal_budget.sign, boundaries.transfer.sign}
    if signs == {-1}:
        return FALLS
    return HOLDS if 1 in signs and -1 not in signs else UNDECIDED


def _all_positive(spreads: Spreads) -> str:
    signs = {spread.sign for spread in spreads.values()}
    return REPRODUCED if signs == {1} else NOT_REPRODUCED if -1 in signs else UNDECIDED


def _reproduced_if(holds: bool) -> str:
    return REPRODUCED if holds else NOT_REPRODUCED


def _default_against(other: str, *, letter: str, text: str, rule_text: str) -> Claim:
    """A claim of ours: the default's boundaries beside those of another arm."""
    return Claim(
        letter=letter,
        text=text,
        paper="not asked",
        measure=lambda evidence: numbers.boundaries(evidence, other),
        rule=_default_holds,
        rule_text=rule_text,
        arms=("neural", other, "raw-only"),
    )


CLAIMS = (
    Claim(
        letter="a",
        text="bytes per symbol on code",
        paper="neural ≈ 2.6, tokenizer ≈ 2.9",
        measure=numbers.rates,
        rule=lambda rates: _reproduced_if(rates_are_near(rates)),
        rule_text=f"reproduced where both are within {BYTES_PER_SYMBOL_TOLERANCE}",
    ),
    Claim(
        letter="b",
        text="colliding segments that share a common prefix of ≥ 0.8 (of a length that the paper's text does not name)",
        paper="over 90 %",
        measure=numbers.long_prefixes,
        rule=_prefixes_are_long,
        rule_text="a verdict only where it is the same whatever length one divides by",
    ),
    Claim(
        letter="c",
        text="distance under 10 % deletion: tokenizer < neural < gzip",
        paper="that order",
        measure=numbers.distances,
        rule=lambda distances: _reproduced_if(distances.tokenizer < distances.document < distances.gzip),
        rule_text="that order of the medians, neural cut as in the paper",
    ),
    Claim(
        letter="d",
        text="translation comp → raw, exact, without pairs and with pairs always",
        paper="30–46 % without, over 95 % always",
        measure=numbers.translations,
        rule=_translates,
        rule_text=f"both in the paper's ranges; out of reach where even pairs to the end give less than {NEVER:.0%}",
        arms=PAIRINGS,
    ),
    Claim(
        letter="e",
        text="pairs in the warm-up only beat none and always, bits per raw byte",
        paper="best of the three",
        measure=numbers.pairing,
        rule=_all_positive,
        rule_text="reproduced where the warm-up saves against both, not where it loses to one",
        arms=PAIRINGS,
    ),
    Claim(
        letter="f",
        text="gzip does not transfer, tokenizer and neural do: bits per raw byte saved over as much raw alone",
        paper="gzip none",
        measure=numbers.transfer,
        rule=_only_gzip_fails,
        rule_text="reproduced where tokenizer and neural gain, each more than gzip, and gzip does not; not where gzip "
        "gains or one of them loses; each against as much raw alone as it saw itself",
        arms=(*TRANSFERS, "raw-only"),
    ),
    Claim(
        letter="g",
        text="the proxy's gain over raw-only at an equal budget grows with model size",
        paper="from behind at 0.5 B to ahead at 14 B",
        measure=numbers.growth,
        rule=_grows,
        rule_text="reproduced where a line over the logarithm of the size rises and the largest size is ahead; out of "
        "reach where it rises and all sizes are behind; not where it falls",
        arms=("raw-only", "neural"),
    ),
    Claim(
        letter="h",
        text="other formatting hurts proxy and byte models less than token models",
        paper="robust pass@1 on ReCode",
        measure=numbers.formatting,
        rule=_all_positive,
        rule_text="reproduced where tokens alone lose more than each of the others, not where they lose less than one",
        arms=FORMATTED,
    ),
    _default_against(
        PAPER_BOUNDARIES,
        letter="i",
        text="ours: stable boundaries (pairs of bytes) serve raw bytes as well as the paper's (entropy given the text)",
        rule_text="the default falls where the paper's is better both at an equal budget and over as much raw alone; "
        "it holds where it is better by one of the two and worse by none",
    ),
    _default_against(
        LONG_SEGMENTS,
        letter="j",
        text="ours: short segments (four bytes, stable, few distinct) serve raw bytes as well as long ones (ten bytes)",
        rule_text="as (i)",
    ),
)
"""The claims, in the order of the page."""
