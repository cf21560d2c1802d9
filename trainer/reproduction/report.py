"""docs/reproduction.md: the claims with their verdicts, then every arm with its spread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from schemas.formats import AS_IS
from trainer.reproduction.arms import StudyScale, proxy_raw_share
from trainer.reproduction.claims import (
    NOT_MEASURED,
    OUT_OF_REACH,
    REPRODUCED,
    UNDECIDED,
    Evidence,
    Judged,
    Translations,
    judge_all,
)
from trainer.reproduction.findings import CompressorFindings
from trainer.reproduction.result_table import ResultTable, Spread, format_harm, raw_bits
from trainer.reproduction.run import Result

HEAD = """# Reproduction of "Proxy Compression for Language Modeling" (arXiv 2602.04289), scale `{scale}`

Written by `make reproduce SCALE={scale}`. {jobs} of {all_jobs} runs: {arms} arms, sizes {sizes}, seeds {seeds}.
Every arm of a size is trained on {symbols:,} symbols ({steps} steps of {batch:,}), `raw-matched` on the
{raw_share:.1%} of them that the neural proxy sees as raw. Held-out documents only; ± is the standard error of the mean
over seeds, and a difference counts where it is at least twice that.

{partial}The paper trains 0.5 B to 14 B parameters on 105 billion symbols. What a model of this size can say about it,
and what not, is in the last column.
"""


PARTIAL = """**This page is partial**: the same command goes on with the runs that are missing. A mean of
fewer than three seeds decides nothing.

"""


def markdown(
    results: Sequence[Result],
    findings: CompressorFindings,
    scale: StudyScale,
    raw_per_comp: float,
    *,
    name: str,
    all_jobs: int,
) -> str:
    """The whole page; equal results give equal bytes."""
    table = ResultTable(sorted(results, key=lambda result: (result.arm, result.size, result.seed)))
    evidence = Evidence(table=table, findings=findings)
    head = HEAD.format(
        scale=name,
        partial="" if len(results) == all_jobs else PARTIAL,
        jobs=len(results),
        all_jobs=all_jobs,
        arms=len(table.arms),
        sizes=", ".join(f"{size} ({_parameters(results, size)})" for size in table.sizes),
        seeds=", ".join(map(str, table.seeds)),
        symbols=scale.symbols,
        steps=scale.steps,
        batch=scale.batch_symbols,
        raw_share=proxy_raw_share(raw_per_comp),
    )
    parts = [
        head,
        "## Claims\n\n" + _claims(judge_all(evidence), evidence),
        "## Bits per raw byte, held out\n\n" + _by_size(table, raw_bits, "raw-only arms and proxies read bytes alone"),
        "## Bits per byte of the same documents as comp\n\n"
        + _by_size(table, lambda result: result.comp_bits_per_byte, "what the compressed encoding costs the model"),
        "## Translation\n\n" + _translations(table),
        "## Formatting\n\n" + _formats(table),
    ]
    return "\n".join(parts)


def _parameters(results: Sequence[Result], size: str) -> str:
    body = next(result.body_parameters for result in results if result.size == size)
    return f"{body / 1e6:.2f} M"


def _claims(rows: Sequence[Judged], evidence: Evidence) -> str:
    lines = ["| | claim | paper | here | verdict |", "|---|---|---|---|---|"]
    for row in rows:
        claim, here, why = row.claim, NOT_MEASURED, ""
        if row.measured is not None:
            here, why = OURS[claim.letter](row.measured), WHY[claim.letter](row, evidence)
        verdict = f"**{row.verdict}**" + (f"; {why}" if why else "")
        lines.append(f"| ({claim.letter}) | {claim.text} | {claim.paper} | {here} | {verdict} |")
    return "\n".join(lines) + "\n"


def _named_spreads(spreads: Mapping[str, Spread], words: str) -> str:
    return "; ".join(words.format(name=name, spread=spread) for name, spread in spreads.items())


def _our_translations(measured: Translations) -> str:
    return "; ".join(
        f"{arm} exact {exact.mean:.1%}, own comp saves {measured.saved[arm]} bits/byte"
        for arm, exact in measured.exact.items()
        if arm in measured.saved
    )


OURS: dict[str, Callable[[Any], str]] = {
    "a": lambda rates: ", ".join(f"{name} {rate:.2f}" for name, rate in sorted(rates.items())),
    "b": lambda shares: ", ".join(f"of the {length} {share:.1%}" for length, share in shares.items()),
    "c": lambda distances: (
        f"tokenizer {distances.tokenizer:.3f}, neural cut by whole-document entropy {distances.document:.3f}, "
        f"gzip {distances.gzip:.3f}; this project's default {distances.neural:.3f}"
    ),
    "d": _our_translations,
    "e": lambda gains: _named_spreads(gains, "saves {spread} over {name}"),
    "f": lambda gains: _named_spreads(gains, "{name} saves {spread}"),
    "g": lambda gains: _named_spreads(gains, "{name} {spread}"),
    "h": lambda harms: "tokens alone lose " + _named_spreads(harms, "{spread} bits/byte more than {name}"),
}
"""What was measured here, in words, by the letter of the claim."""


def _why_translations(row: Judged, evidence: Evidence) -> str:
    size = evidence.table.largest
    if row.verdict == OUT_OF_REACH:
        return f"no document comes out whole at {size}; see the bits saved"
    return f"at {size}"


GROWTH = {
    OUT_OF_REACH: "raw-only is ahead at all sizes trained here",
    UNDECIDED: "too few seeds, or differences within their errors",
}
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
    "e": lambda _, evidence: f"at {evidence.table.largest}",
    "f": lambda _, evidence: (
        f"at {evidence.table.largest}; raw alone has as many raw symbols as the neural proxy, its own schedule, no comp"
    ),
    "g": lambda row, _: GROWTH.get(row.verdict, ""),
    "h": lambda _, evidence: (
        f"at {evidence.table.largest}; no model of this scale solves a problem, so what is compared is the cost of a "
        "text's second half after its first half in four other formats"
    ),
}
"""What the reader of a verdict should know, by the letter of the claim."""


def _by_size(table: ResultTable, value: Callable[[Result], float | None], note: str) -> str:
    lines = [f"{note[0].upper()}{note[1:]}.", "", f"| arm | {' | '.join(table.sizes)} |"]
    lines.append("|---|" + "---|" * len(table.sizes))
    for arm in table.arms:
        spreads = [table.spread(value, size, arm) for size in table.sizes]
        if any(spread is not None for spread in spreads):
            cells = " | ".join("" if spread is None else str(spread) for spread in spreads)
            lines.append(f"| {arm} | {cells} |")
    return "\n".join(lines) + "\n"


MEASURES = {
    "raw_exact": "comp → raw exact",
    "raw_similarity": "1 − distance",
    "comp_exact": "raw → comp exact",
    "comp_similarity": "1 − distance",
    "bits_per_byte": "bits/byte alone",
    "bits_per_byte_given_comp": "after its comp",
    "bits_per_byte_given_other_comp": "after another's",
}


def _translations(table: ResultTable) -> str:
    lines = [f"| size | arm | {' | '.join(MEASURES.values())} |", "|---|---|" + "---|" * len(MEASURES)]
    for size in table.sizes:
        for arm in table.arms:
            cells = []
            for measure in MEASURES:
                spread = table.spread(lambda result, m=measure: result.translation and result.translation[m], size, arm)
                cells.append("" if spread is None else str(spread))
            if any(cells):
                lines.append(f"| {size} | {arm} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


FORMATS_NOTE = """Bits per byte of the second half of a held-out text, given its first half as it is, and what its first
half in another format adds to that. Arms that have seen raw bytes read raw bytes, tokenizer-only reads tokens.
"""


def _formats(table: ResultTable) -> str:
    names = sorted({name for result in table.results for name in result.format_bits or {}} - {AS_IS})
    if not names:
        return "Not measured: no --formats was given.\n"
    columns = ["size", "arm", AS_IS, *names, "mean"]
    lines = [FORMATS_NOTE, f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    measures: list[Callable[[Result], float | None]] = [_as_is, *map(_added_by, names), format_harm]
    for size in table.sizes:
        for arm in table.arms:
            cells = [table.spread(measure, size, arm) for measure in measures]
            if any(cells):
                lines.append(f"| {size} | {arm} | {' | '.join('' if cell is None else str(cell) for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _as_is(result: Result) -> float | None:
    return None if result.format_bits is None else result.format_bits[AS_IS]


def _added_by(name: str) -> Callable[[Result], float | None]:
    """What a format costs over the text as it is."""
    return lambda result: None if result.format_bits is None else result.format_bits[name] - result.format_bits[AS_IS]
