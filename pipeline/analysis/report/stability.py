"""The report's section on stability: how far the symbols of a text move when the text is edited."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.analysis.findings import Findings, FrontierRow, StabilityRow
from pipeline.analysis.report.distance_figures import KINDS, context_words, edits, frontier
from pipeline.analysis.report.markup import Column, decimal, element, interval, percent, table, text

MAIN_KIND, MAIN_SHARE = "delete", 0.10
"""The edit of the main figure, the one that the method's authors report."""


def main_rows(rows: Sequence[StabilityRow]) -> list[StabilityRow]:
    """The rows of the main edit, or of the first one that there is, nearest first."""
    wanted = [row for row in rows if row.kind == MAIN_KIND and row.share == MAIN_SHARE]
    if not wanted and rows:
        wanted = [row for row in rows if (row.kind, row.share) == (rows[0].kind, rows[0].share)]
    return sorted(wanted, key=lambda row: (row.distance, row.compressor))


def main_edit(rows: Sequence[StabilityRow]) -> str:
    """`10 % of the characters were deleted`; empty where nothing was measured."""
    main = main_rows(rows)
    return f"{_share(main[0].share)} of the characters were {KINDS.get(main[0].kind, main[0].kind)}" if main else ""


def section(findings: Findings) -> str:
    """Figures and tables; empty where nothing was measured."""
    stability, frontier_rows = findings.stability, findings.frontier
    main = main_rows(stability)
    if not main:
        return ""
    order = " < ".join(f"{row.compressor} {row.distance:.3f}" for row in main)
    words = (
        f"Characters of {main[0].documents} texts are edited at random places, and the symbols before and after "
        "compared: Levenshtein distance over the longer length, 0 for no change, 1 for nothing in common. "
        f"Where {main_edit(stability)}: {order}."
    )
    caption = (
        "Up and down: the median distance over texts with its 95 % interval. Left to right: how short the encoding is. "
        f"Points: {findings.texts_note}. Lines: neural encodings by the same byte LM along rising θ, one for each "
        f"score that boundaries are cut at, on {findings.frontier_note}: the surprisal of a byte after the byte before "
        "it, or its entropy given so much before it. Dotted: what an edit of this share does to runs of B characters."
    )
    main_figure = element("figure", frontier(frontier_rows, main, main[0].share) + element("figcaption", text(caption)))
    parts = [element("p", text(words)), main_figure, _frontier_table(frontier_rows)]
    parts += [element("h3", "Other edits"), edits(stability), _stability_table(stability)]
    return "".join(parts)


def _share(share: float) -> str:
    return percent(share, 0 if round(100 * share, 6) == round(100 * share) else 1)


def _frontier_table(rows: Sequence[FrontierRow]) -> str:
    if not rows:
        return ""
    titles = ("quantile", "θ, bits", "bytes per symbol", "distance [95 %]")
    columns = [Column(title="boundaries by", number=False), *(Column(title=title) for title in titles)]
    lines = [
        [
            context_words(str(row.context)),
            decimal(row.quantile, 2),
            decimal(row.theta_bits),
            decimal(row.bytes_per_symbol),
            interval(row.distance, row.low, row.high),
        ]
        for row in rows
    ]
    drawn = table("The lines of the figure", columns, lines, name="frontier")
    return element("details", element("summary", "The figure as a table") + drawn)


def _stability_table(rows: Sequence[StabilityRow]) -> str:
    titles = ("share", "texts", "bytes per symbol", "median [95 %]", "mean", "standard error")
    columns = [Column(title="encoding", number=False), Column(title="edit", number=False)]
    columns += [Column(title=title) for title in titles]
    lines = [
        [
            row.compressor,
            row.kind,
            _share(row.share),
            str(row.documents),
            decimal(row.bytes_per_symbol),
            interval(row.distance, row.low, row.high),
            decimal(row.mean),
            decimal(row.standard_error, 4),
        ]
        for row in rows
    ]
    drawn = table("Distance by encoding, edit and share of characters", columns, lines, name="stability-all")
    return element("details", element("summary", "All distances as a table") + drawn)
