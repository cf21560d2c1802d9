"""Figures of distances: against bytes per symbol, and against the share of characters that an edit touches."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.analysis.findings import FrontierRow, StabilityRow
from pipeline.analysis.report.figures import NARROW, WIDE, both_widths, css, marker
from pipeline.analysis.report.markup import element, interval, percent
from pipeline.analysis.report.svg import Plot

DISTANCES = {0.0: "0", 0.2: "0.2", 0.4: "0.4", 0.6: "0.6", 0.8: "0.8", 1.0: "1"}
KINDS = {"delete": "deleted", "insert": "inserted", "substitute": "substituted"}
CONTEXT_WORDS = {"pairs": "byte pairs", "1": "1 byte", "document": "document", "document-codes": "document codes"}
CONTEXTS_DRAWN = ("1", "2", "4", "8", *CONTEXT_WORDS)


def context_class(context: str) -> str:
    """The class of a line of the frontier: shorter contexts are lighter."""
    return f"k-{context if context in CONTEXTS_DRAWN else 'other'}"


def context_words(context: str) -> str:
    """`2` as `2 bytes`; the others in words."""
    return CONTEXT_WORDS.get(context, f"{context} bytes")


def frontier(rows: Sequence[FrontierRow], points: Sequence[StabilityRow], share: float) -> str:
    """Distance against bytes per symbol: a line over θ for each entropy context, the other encodings as points."""
    ratios = [row.bytes_per_symbol for row in rows] + [row.bytes_per_symbol for row in points]
    highest = max(ratios, default=1.0)
    x_high = math.ceil(2 * highest + 0.4) / 2

    def draw(width: float) -> str:
        narrow = width < WIDE
        plot = Plot(
            width=width,
            height=400 if narrow else 470,
            x=(0.5, x_high),
            y=(0.0, 1.0),
            top=28,
            right=44 if narrow else 24,
        )
        steps = [x for x in plot.across.ticks(6) if x >= 0.5]
        plot.axes(
            "bytes per symbol: more is shorter →",
            "distance after the edit: less is more stable",
            {x: f"{x:g}" for x in steps},
            DISTANCES,
        )
        _survival(plot, share, x_high, "" if narrow else ": a run of B bytes is hit")
        ends = [_context_line(plot, context, own) for context, own in _by_context(rows).items()]
        for row in points:
            _encoding(plot, row)
        plot.labels_apart([end for end in ends if end], 9)
        for row in points:
            _encoding_name(plot, row, points)
        return plot.svg("frontier", _frontier_words(rows, points, share))

    return both_widths(draw)


def _survival(plot: Plot, share: float, x_high: float, words: str) -> None:
    """A run of B characters is left whole by the edit with probability (1 − share)^B."""
    low = plot.x[0]
    xs = [low + (x_high - low) * i / 48 for i in range(49)]
    curve = [(x, 1 - (1 - share) ** x) for x in xs]
    plot.curve(curve, "survival")
    x, y = curve[-1]
    # Well below the curve: points of usual encodings have their names beside it.
    plot.label(x, y - 0.2, f"1 − {1 - share:g}^B{words}", "note", anchor="end")


def _by_context(rows: Sequence[FrontierRow]) -> dict[str, list[FrontierRow]]:
    contexts: dict[str, list[FrontierRow]] = {}
    for row in rows:
        contexts.setdefault(str(row.context), []).append(row)
    return {context: sorted(own, key=lambda row: row.theta_bits) for context, own in contexts.items()}


def _context_line(plot: Plot, context: str, rows: Sequence[FrontierRow]) -> tuple[float, float, str, str] | None:
    class_ = context_class(context)
    plot.curve([(row.bytes_per_symbol, row.distance) for row in rows], class_)
    for row in rows:
        plot.whisker(row.bytes_per_symbol, row.low, row.high, class_)
        hint = (
            f"neural, {context_words(context)}, θ {row.theta_bits:.3f} bits: "
            f"{row.bytes_per_symbol:.2f} bytes per symbol, distance {interval(row.distance, row.low, row.high)}"
        )
        plot.point(row.bytes_per_symbol, row.distance, f"small {class_}", "circle", hint)
    if not rows:
        return None
    return rows[-1].bytes_per_symbol, rows[-1].distance, context_words(context), f"name {class_}"


def _encoding_name(plot: Plot, row: StabilityRow, points: Sequence[StabilityRow]) -> None:
    """The name stands to the right of its point, or below it to the left where another point is in the way."""
    words = f"{row.compressor}, as stored" if row.compressor == "neural" else row.compressor
    right = [
        other.bytes_per_symbol - row.bytes_per_symbol for other in points if abs(other.distance - row.distance) < 0.1
    ]
    blocked = any(0 < away < 1.5 for away in right)
    dx, dy, anchor = (-4, 17, "end") if blocked else (11, 0, "start")
    plot.label(row.bytes_per_symbol, row.distance, words, f"name {css(row.compressor)}", anchor=anchor, dx=dx, dy=dy)


def _encoding(plot: Plot, row: StabilityRow) -> None:
    """The point of an encoding of the dataset."""
    class_ = css(row.compressor)
    plot.whisker(row.bytes_per_symbol, row.low, row.high, class_)
    place = f"{row.bytes_per_symbol:.2f} bytes per symbol, distance {interval(row.distance, row.low, row.high)}"
    plot.point(
        row.bytes_per_symbol, row.distance, f"large {class_}", marker(row.compressor), f"{row.compressor}: {place}"
    )


def _frontier_words(rows: Sequence[FrontierRow], points: Sequence[StabilityRow], share: float) -> str:
    told = "; ".join(f"{row.compressor} {row.bytes_per_symbol:.2f}, {row.distance:.3f}" for row in points)
    return f"Distance after {percent(share, 0)} edits against bytes per symbol. {told}. {len(rows)} neural settings."


def edits(rows: Sequence[StabilityRow]) -> str:
    """Distance against the share of edited characters, a panel for each kind of edit."""
    panels = []
    names = list(dict.fromkeys(row.compressor for row in rows))
    for kind in dict.fromkeys(row.kind for row in rows):
        own = [row for row in rows if row.kind == kind]
        plot = Plot(width=NARROW, height=280, x=(0.0, max(row.share for row in own)), y=(0.0, 1.0), top=28, right=84)
        shares = sorted({row.share for row in own})
        ticks = {share: f"{100 * share:g}" for share in shares}
        plot.axes(f"% of characters {KINDS.get(kind, kind)}", "distance", ticks, DISTANCES)
        ends = []
        for name in names:
            series = sorted((row for row in own if row.compressor == name), key=lambda row: row.share)
            _edit_line(plot, name, series)
            ends.append((series[-1].share, series[-1].distance, name, f"name {css(name)}"))
        plot.labels_apart(ends, 9)
        panels.append(plot.svg("edits", f"Distance against the share of characters {KINDS.get(kind, kind)}"))
    return element("div", "".join(panels), class_="panels")


def _edit_line(plot: Plot, name: str, series: Sequence[StabilityRow]) -> None:
    plot.curve([(row.share, row.distance) for row in series], css(name))
    for row in series:
        plot.whisker(row.share, row.low, row.high, css(name))
        hint = f"{name}, {percent(row.share, 0)}: {interval(row.distance, row.low, row.high)}"
        plot.point(row.share, row.distance, f"small {css(name)}", marker(name), hint)
