"""Figures of counts: histograms, bars of categories, bytes per symbol by language. And what all figures share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from pipeline.analysis.findings import Histogram, LanguageRow
from pipeline.analysis.report.markup import count, decimal, element, text
from pipeline.analysis.report.svg import MARKERS, Plot, line

MARKS = {"raw": "cross", "neural": "circle", "tokenizer": "diamond", "gzip": "square", "token_bytes": "triangle"}
"""Every compressor has one marker and one colour on the whole page."""
WIDE, NARROW = 760.0, 360.0
SCORES = ("entropy_bits", "surprisal_bits")
QUANTITIES = {
    "entropy_bits": ("Entropy of a byte, bits", "bytes"),
    "surprisal_bits": ("Surprisal of a byte, bits", "bytes"),
    "segment_bytes": ("Segment length, bytes", "segments"),
    "segment_symbols": ("Windows of a segment", "segments"),
    "window_bytes": ("Window length, bytes", "windows"),
}
LANGUAGES_DRAWN = 8
MAX_NAMES = 10
"""More bars than these have a name at every second one."""
MIN_DOCUMENTS = 4
"""Fewer documents have no quartiles worth a bar."""
LANE = 13.0
"""Pixels of one compressor in the figure of languages."""


def marker(compressor: str) -> str:
    """The marker of a compressor."""
    return MARKS.get(compressor, "circle")


def key_mark(compressor: str) -> str:
    """A compressor's marker for a line of text."""
    shape = element("g", element("path", d=MARKERS[marker(compressor)]), class_=f"point {css(compressor)}")
    return element("svg", shape, viewBox="-8 -8 16 16", class_="mark", aria_hidden="true")


def css(compressor: str) -> str:
    """The class that colours a compressor; names that this page does not know share one colour."""
    return f"c-{compressor if compressor in MARKS else 'other'}"


def both_widths(draw: Callable[[float], str]) -> str:
    """A figure drawn for a screen and for a phone; the page's style shows one."""
    return element("div", draw(WIDE), class_="wide") + element("div", draw(NARROW), class_="narrow")


def histogram(data: Histogram, mark: tuple[float, str] | None = None) -> str:
    """Shares of values in bins; `mark` is a value and its name to be drawn as a line."""
    title, unit = QUANTITIES[data.quantity]
    if data.quantity == "segment_symbols" and data.compressor != "neural":
        title = "Symbols of a segment"
    shares = [n / max(1, data.total) for n in data.counts]
    last = data.first + data.width * len(shares)
    plot = Plot(width=NARROW, height=230, x=(data.first, last), y=(0.0, max(shares, default=1.0) * 1.08), top=28)
    centre = 0.0 if data.quantity in SCORES else data.width / 2
    plot.axes(title, f"% of {unit}", _bin_ticks(data, plot, centre), _share_ticks(plot))
    for i, share in enumerate(shares):
        low = data.first + i * data.width
        span = f"{low:g} to {low + data.width:g}" if data.quantity in SCORES else f"{low:g}"
        more = " and more" if data.open_ended and i == len(shares) - 1 else ""
        plot.bar(low, low + data.width, share, css(data.compressor), f"{span}{more}: {count(data.counts[i])} {unit}")
    if mark:
        x = plot.across(mark[0])
        plot.parts.append(line(x, plot.top, x, plot.height - plot.bottom, "threshold"))
        plot.label(mark[0], plot.y[1] * 0.95, mark[1], "note", dx=5)
    words = f"{data.compressor}, mean {decimal(data.mean, 2)}, {count(data.total)} {unit}"
    caption = element("figcaption", key_mark(data.compressor) + text(words))
    drawing = plot.svg("histogram", f"{title}: {words}", f"h-{data.quantity.replace('_', '-')}")
    return element("figure", drawing + caption, class_="panel")


def _bin_ticks(data: Histogram, plot: Plot, centre: float) -> dict[float, str]:
    ticks = [x for x in plot.across.ticks(8) if x == int(x) and data.first <= x + centre < plot.x[1] + 1e-9]
    last = data.first + data.width * (len(data.counts) - 1)
    labels = {x + centre: f"{x:g}" for x in ticks}
    if data.open_ended:
        labels = {x: words for x, words in labels.items() if x < last - (last - data.first) * 0.13}
        labels[last + centre] = f"{last:g}+"
    return labels


def _share_ticks(plot: Plot) -> dict[float, str]:
    return {y: f"{100 * y:g}" for y in plot.up.ticks(5)}


def categories(counts: Mapping[str, int], title: str, unit: str, compressor: str) -> str:
    """Shares of named things, a bar each, in the order given."""
    total = sum(counts.values())
    shares = [number / max(1, total) for number in counts.values()]
    plot = Plot(width=NARROW, height=230, x=(0.0, len(shares) or 1), y=(0.0, max(shares, default=1.0) * 1.08), top=28)
    every = 1 if len(counts) <= MAX_NAMES else 2
    last = len(counts) - 1
    names = {
        i + 0.5: name.replace(" or more", "+")
        for i, name in enumerate(counts)
        if i == last or (i % every == 0 and i < last - every + 1)
    }
    plot.axes(title, f"% of {unit}", names, _share_ticks(plot))
    for i, (name, number) in enumerate(counts.items()):
        plot.bar(i, i + 1, shares[i], css(compressor), f"{name}: {count(number)} {unit}")
    return plot.svg("categories", f"{title}: " + ", ".join(f"{name} {number}" for name, number in counts.items()))


def languages(rows: Sequence[LanguageRow]) -> str:
    """Bytes per symbol of the largest languages: the whole, and the quartiles over documents."""
    drawn = list(dict.fromkeys(row.language for row in rows))[:LANGUAGES_DRAWN]
    own = [row for row in rows if row.language in drawn]
    names = list(dict.fromkeys(row.compressor for row in own))
    step = LANE * len(names) + 16
    # A few documents that gzip shrinks to nothing would press all others against the axis; their bars end at the edge.
    highest = 1.15 * max((row.bytes_per_symbol for row in own), default=1.0)

    def draw(width: float) -> str:
        left = 112 if width < WIDE else 150
        height = 56 + step * len(drawn)
        plot = Plot(width=width, height=height, x=(0.0, math.ceil(highest)), y=(0.0, 1.0), left=left, top=8)
        plot.axes("bytes per symbol", "", {x: f"{x:g}" for x in plot.across.ticks(6)}, {})
        for i, language in enumerate(drawn):
            _language(plot, language, [row for row in own if row.language == language], plot.top + step * i, names)
        return plot.svg("languages", "Bytes per symbol by language: " + ", ".join(drawn))

    return both_widths(draw)


def _language(plot: Plot, language: str, rows: Iterable[LanguageRow], top: float, names: Sequence[str]) -> None:
    height = plot.height - plot.bottom - plot.top

    def at(pixels: float) -> float:
        return 1 - (pixels - plot.top) / height

    rows = list(rows)
    middle = top + 4 + LANE * len(names) / 2
    longest = 13 if plot.width < WIDE else 18
    shown = language if len(language) <= longest else language[: longest - 1] + "…"
    plot.label(0, at(middle), shown or "none", "row", anchor="end", dx=-10)
    plot.label(0, at(middle + 14), count(rows[0].documents), "tick", anchor="end", dx=-10)
    for row in rows:
        y = at(top + 8 + LANE * names.index(row.compressor))
        low, high = (plot.across(min(value, plot.x[1])) for value in (row.low, row.high))
        pixels = plot.up(y)
        if row.documents >= MIN_DOCUMENTS:
            plot.parts.append(line(low, pixels, high, pixels, f"span {css(row.compressor)}"))
        hint = (
            f"{language}, {row.compressor}: {row.bytes_per_symbol:.2f} bytes per symbol over all; "
            f"half of the documents between {row.low:.2f} and {row.high:.2f}, median {row.middle:.2f}"
        )
        plot.point(row.bytes_per_symbol, y, f"small {css(row.compressor)}", marker(row.compressor), hint)
