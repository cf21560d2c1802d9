"""What was measured for a claim, and what the reader of its verdict should know, in words, by the claim's letter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trainer.reproduction.claims import OUT_OF_REACH, REPRODUCED, Judged
from trainer.reproduction.evidence import Boundaries, Evidence, Growth, Transfers, Translations
from trainer.reproduction.result_table import Point, Spread


def point_name(point: Point | None) -> str:
    """A size and a budget as the page names them."""
    return "" if point is None else f"{point[0]} ×{point[1]:g}"


def _named_spreads(spreads: Mapping[str, Spread], words: str) -> str:
    return "; ".join(words.format(name=name, spread=spread) for name, spread in spreads.items())


def _our_translations(measured: Translations) -> str:
    return "; ".join(
        f"{arm} exact {exact.mean:.1%}, own comp saves {measured.saved[arm]} bits/byte"
        for arm, exact in measured.exact.items()
    )


def _our_transfers(measured: Transfers) -> str:
    gains = _named_spreads(measured.gains, "{name} saves {spread}")
    return f"{gains}; more than gzip: " + _named_spreads(measured.over_gzip, "{name} by {spread}")


def _our_growth(measured: Growth) -> str:
    return _named_spreads(measured.gains, "{name} {spread}") + f"; per tenfold size {measured.per_decade}"


def _our_boundaries(measured: Boundaries) -> str:
    equal, transfer = measured.equal_budget, measured.transfer
    return f"the default saves {equal} over {measured.other} at an equal budget, {transfer} beyond as much raw alone"


OURS: dict[str, Callable[[Any], str]] = {
    "a": lambda rates: ", ".join(f"{name} {rate:.2f}" for name, rate in sorted(rates.items())),
    "b": lambda shares: ", ".join(f"of the {length} {share:.1%}" for length, share in shares.items()),
    "c": lambda distances: (
        f"tokenizer {distances.tokenizer:.3f}, neural cut by whole-document entropy {distances.document:.3f}, "
        f"gzip {distances.gzip:.3f}; this project's default {distances.neural:.3f}"
    ),
    "d": _our_translations,
    "e": lambda gains: _named_spreads(gains, "saves {spread} over {name}"),
    "f": _our_transfers,
    "g": _our_growth,
    "h": lambda harms: "tokens alone lose " + _named_spreads(harms, "{spread} bits/byte more than {name}"),
    "i": _our_boundaries,
    "j": _our_boundaries,
}
"""What was measured here."""


def _at(row: Judged, evidence: Evidence) -> str:
    return f"at {point_name(evidence.table.last(*row.claim.arms))}"


def _why_translations(row: Judged, evidence: Evidence) -> str:
    what = "; no document comes out whole, see the bits saved" if row.verdict == OUT_OF_REACH else ""
    # What is trained on short documents alone is no arm of the claim, but shows whether copying comes.
    ends = (
        f"; {run.arm} at {point_name((run.size, run.budget))}, pairs to the end: exact {end.raw_exact:.1%}, "
        f"own comp saves {end.saved_bits_per_byte:.3f}"
        for run in evidence.table.watched
        for end in (run.translation_curve or ())[-1:]
    )
    return f"held-out documents of at most 32 bytes, {_at(row, evidence)}{what}{''.join(ends)}"


WHY: dict[str, Callable[[Judged, Evidence], str]] = {
    "a": lambda row, _: (
        "within 0.5 of both"
        if row.verdict == REPRODUCED
        else "θ and the tokenizer's size set both; ours are not the paper's"
    ),
    "b": lambda _, evidence: evidence.findings.prefix_note,
    "c": lambda row, _: (
        "medians over held-out documents"
        + ("; the default is more stable than the tokenizer" if row.measured.neural < row.measured.tokenizer else "")
    ),
    "d": _why_translations,
    "e": _at,
    "f": _at,
    "g": lambda row, _: "raw-only is ahead at all sizes trained here" if row.verdict == OUT_OF_REACH else "",
    "h": lambda row, evidence: (
        f"{_at(row, evidence)}; no model of this scale solves a problem, so what is compared is the cost of a "
        "text's second half after its first half in four other formats"
    ),
    "i": _at,
    "j": _at,
}
"""What the reader of a verdict should know."""
