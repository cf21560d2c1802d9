"""docs/reproduction.md: the claims with their rules and verdicts, the figures, then every arm with its spread."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.reproduction import tables
from trainer.reproduction.arms import StudyScale
from trainer.reproduction.claims import NOT_MEASURED, Judged, judge_all
from trainer.reproduction.evidence import Evidence
from trainer.reproduction.findings import CompressorFindings
from trainer.reproduction.result_table import MIN_SEEDS, ResultTable, raw_bits
from trainer.reproduction.results import Result
from trainer.reproduction.words import OURS, WHY

HEAD = """# Reproduction of "Proxy Compression for Language Modeling" (arXiv 2602.04289), scale `{scale}`

Written by `make reproduce SCALE={scale}`. {jobs} of {all_jobs} runs: {arms} arms, sizes {sizes}, seeds {seeds};
{cpu_hours:.1f} CPU hours, {bf16} of the runs with products in bfloat16. Budget ×1 is {symbols:,} symbols ({steps} steps
of {batch:,}), ×4 four times as many. Held-out documents only; ± is the standard error of the mean over seeds, and a
difference counts where it is at least twice that and there are {min_seeds} seeds.

{partial}The paper trains 0.5 B to 14 B parameters on 105 billion symbols. What models of this size can say about it,
and what not, is in the last column.
"""
PARTIAL = """**This page is partial**: the same command goes on with the runs that are missing.

"""
RULES_NOTE = """Written before the numbers. How as much raw alone is trained was mended after a first look at one seed
(docs/decisions.md, 2026-11-30).
"""
FIGURES_NOTE = """Error bars are standard errors over seeds; a pale bar or a point without one is a single seed.
"""
RAW_NOTE = """Raw-only and proxies read bytes alone. All arms of a column were trained on equally many symbols.
"""
TRANSFER_NOTE = """What comp is worth: bits per raw byte that a proxy saves over as much raw alone, which is raw-only
trained in as many steps, with as many symbols in each as the proxy was shown as raw bytes on average. That density lies
between two at which raw-only was trained, and its bits are read off the line between them (over the logarithm of the
density, seed by seed).
"""
TRANSLATION_NOTE = """Held-out documents of at most {bytes} bytes, {documents} of them, greedy.
"""
WATCHED_NOTE = """Pairs to the end, of documents so short that translating them can be learnt, with held-out documents
of their own; greedy, at checkpoints.
"""
FORMATS_NOTE = """Bits per byte of the second half of a held-out text, given its first half as it is, and what its first
half in another format adds to that. Arms that have seen raw bytes read raw bytes, tokenizer-only reads tokens.
"""


def markdown(
    results: Sequence[Result],
    findings: CompressorFindings,
    scale: StudyScale,
    *,
    name: str,
    all_jobs: int,
    figure: str = "",
) -> str:
    """The whole page; equal results give equal bytes. figure: file of the picture, beside the page; empty: none."""
    table = ResultTable(results)
    evidence = Evidence(table=table, findings=findings)
    translation_note = TRANSLATION_NOTE.format(bytes=scale.translated_bytes, documents=scale.translated_documents)
    rows = judge_all(evidence)
    parts = [
        _head(table, scale, name, all_jobs),
        "## Claims\n\n" + _claims(rows, evidence),
        f"## Rules\n\n{RULES_NOTE}\n" + _rules(rows),
        *([f"## Figures\n\n![gains over size, budget and boundaries]({figure})\n\n{FIGURES_NOTE}"] if figure else []),
        "## Bits per raw byte, held out\n\n" + tables.by_point(table, raw_bits, RAW_NOTE),
        "## Saved over as much raw alone\n\n" + tables.by_point(table, table.transfer_gain, TRANSFER_NOTE),
        "## Raw alone, in smaller batches\n\nBits per raw byte, held out.\n\n" + tables.raw_alone(table),
        "## Encodings\n\n" + tables.encodings(table),
        "## Bits per byte of the same documents as comp\n\n"
        + tables.by_point(table, lambda result: result.comp_bits_per_byte, "What the encoding costs the model.\n"),
        f"## Translation\n\n{translation_note}\n" + tables.translations(table),
        f"## Translation over training\n\n{WATCHED_NOTE}\n" + tables.translation_curves(table),
        f"## Formatting\n\n{FORMATS_NOTE}\n" + tables.formats(table),
    ]
    return "\n".join(parts)


def _head(table: ResultTable, scale: StudyScale, name: str, all_jobs: int) -> str:
    results = table.results
    return HEAD.format(
        scale=name,
        partial="" if len(results) == all_jobs else PARTIAL,
        jobs=len(results),
        all_jobs=all_jobs,
        arms=len(table.arms),
        sizes=", ".join(f"{size} ({parameters / 1e6:.2f} M)" for size, parameters in table.body_parameters.items()),
        seeds=", ".join(map(str, table.seeds)),
        cpu_hours=sum(result.cpu_seconds for result in results) / 3600,
        bf16=sum(result.arithmetic == "bfloat16" for result in results),
        symbols=scale.symbols,
        steps=scale.steps,
        batch=scale.batch_symbols,
        min_seeds=MIN_SEEDS,
    )


def _claims(rows: Sequence[Judged], evidence: Evidence) -> str:
    lines = ["| | claim | paper | here | verdict |", "|---|---|---|---|---|"]
    for row in rows:
        claim, here, why = row.claim, NOT_MEASURED, ""
        if row.measured is not None:
            here, why = OURS[claim.letter](row.measured), WHY[claim.letter](row, evidence)
        verdict = f"**{row.verdict}**" + (f"; {why}" if why else "")
        lines.append(f"| ({claim.letter}) | {claim.text} | {claim.paper} | {here} | {verdict} |")
    return "\n".join(lines) + "\n"


def _rules(rows: Sequence[Judged]) -> str:
    lines = ["| | rule |", "|---|---|"]
    return "\n".join([*lines, *(f"| ({row.claim.letter}) | {row.claim.rule_text} |" for row in rows)]) + "\n"
