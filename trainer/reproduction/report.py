"""docs/reproduction.md: the claims with their verdicts, then every arm with its spread."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas.formats import AS_IS
from trainer.reproduction.arms import StudyScale, proxy_raw_share
from trainer.reproduction.claims import Claim, Table, claims, format_harm, raw_bits
from trainer.reproduction.findings import CompressorFindings
from trainer.reproduction.run import Result

HEAD = """# Reproduction of "Proxy Compression for Language Modeling" (arXiv 2602.04289), scale `{scale}`

Written by `make reproduce SCALE={scale}`. {jobs} of {all_jobs} runs: {arms} arms, sizes {sizes}, seeds {seeds}.
Every arm of a size is trained on {symbols:,} symbols ({steps} steps of {batch:,}), `raw-matched` on the
{raw_share:.1%} of them that the neural proxy sees as raw. Held-out documents only; ± is the standard error of the mean
over seeds, and a difference counts where it is at least twice that.

{partial}The paper trains 0.5 B to 14 B parameters on 105 billion symbols. What a model of this size can say about it,
and what not, stands in the last column.
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
    table = Table(sorted(results, key=lambda result: (result.arm, result.size, result.seed)))
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
        raw_share=proxy_raw_share(scale, raw_per_comp),
    )
    parts = [
        head,
        "## Claims\n\n" + _claims(claims(results, findings)),
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


def _claims(rows: Sequence[Claim]) -> str:
    lines = ["| | claim | paper | here | verdict |", "|---|---|---|---|---|"]
    for row in rows:
        why = f"; {row.why}" if row.why else ""
        lines.append(f"| ({row.letter}) | {row.text} | {row.paper} | {row.ours} | **{row.verdict}**{why} |")
    return "\n".join(lines) + "\n"


def _by_size(table: Table, value: Callable[[Result], float | None], note: str) -> str:
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


def _translations(table: Table) -> str:
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


def _formats(table: Table) -> str:
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
