"""The report's sample documents: legend, excerpts and the numbers behind them."""

from __future__ import annotations

from pipeline.analysis.findings import Excerpt, Findings
from pipeline.analysis.report.markup import count, element, text
from pipeline.analysis.report.sample_cells import SHADES, THETA_SHADE, cells, data, step_bits


def section(findings: Findings) -> str:
    """Excerpts of documents; empty where there are none."""
    excerpts = findings.excerpts
    if not excerpts:
        return ""
    return _legend(excerpts[0]) + "".join(_excerpt(i, excerpt) for i, excerpt in enumerate(excerpts))


def _legend(excerpt: Excerpt) -> str:
    words = (
        "Point at a byte for its numbers, or go there with the keyboard: Tab to a document, then ← → by byte, "
        "↑ ↓ by segment, Home and End."
    )
    parts = [_mark("s", "segment")]
    if excerpt.window_ends is not None:
        parts.append(_mark("w", "window within a segment"))
    if excerpt.score_bits is not None:
        ramp = "".join(f'<i class="h{i}{" t" * (i == THETA_SHADE)}"></i>' for i in range(SHADES))
        most = step_bits(excerpt.theta_bits) * (SHADES - 1)
        words_after = f"{most:.1f} bits and more; the mark is θ = {excerpt.theta_bits:.3f}"
        parts.append(f"{excerpt.score} 0" + element("span", ramp, class_="ramp") + text(words_after))
    parts.append(text("white space: ↵ → ·   small: bytes without a glyph of their own"))
    legend = "".join(element("span", part) for part in parts)
    return element("p", words) + element("div", legend, class_="legend")


def _mark(kind: str, words: str) -> str:
    return element("span", f'<i class="{kind}">a</i>b', class_="bytes") + text(words)


def _excerpt(number: int, excerpt: Excerpt) -> str:
    name = f"sample-{number}"
    end = excerpt.start + len(excerpt.raw)
    symbols = ", ".join(
        f"{compressor} {excerpt.document_bytes / max(1, n):.2f}" for compressor, n in excerpt.document_symbols.items()
    )
    facts = (
        f"{excerpt.language or 'no language'}; bytes {count(excerpt.start)} to {count(end)} of "
        f"{count(excerpt.document_bytes)}; bytes per symbol of the whole document: {symbols}"
    )
    windows = f", {count(len(excerpt.symbols))} symbols" if excerpt.symbols else ""
    shown = f"{excerpt.compressor}: {count(len(excerpt.segment_ends))} segments{windows} here"
    title = f"{name}-title"
    head = element("h3", text(excerpt.source or excerpt.doc_id), id=title)
    caption = element("div", text(f"{facts}. {shown}."), class_="note")
    named = {"data_of": f"{name}-data", "role": "group", "aria_labelledby": title}
    box = element("pre", cells(excerpt), class_="bytes", **named)
    numbers = f'<script type="application/json" id="{name}-data">{data(excerpt)}</script>'
    return element("article", head + caption + box + numbers, class_="sample", id=name)
