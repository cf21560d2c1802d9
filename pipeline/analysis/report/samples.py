"""The report's sample documents: legend, excerpts and the numbers behind them."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.analysis.report.markup import count, element, text
from pipeline.analysis.samples import SHADES, THETA_SHADE, Sample, cells, data, step_bits


def section(samples: Sequence[Sample]) -> str:
    """Excerpts of documents; empty where there are none."""
    if not samples:
        return ""
    return _legend(samples[0]) + "".join(_sample(i, sample) for i, sample in enumerate(samples))


def _legend(sample: Sample) -> str:
    words = (
        "Point at a byte for its numbers, or go there with the keyboard: Tab to a document, then ← → by byte, "
        "↑ ↓ by segment, Home and End."
    )
    parts = [_mark("s", "segment")]
    if sample.window_ends is not None:
        parts.append(_mark("w", "window within a segment"))
    if sample.score_bits is not None:
        ramp = "".join(f'<i class="h{i}{" t" * (i == THETA_SHADE)}"></i>' for i in range(SHADES))
        most = step_bits(sample.theta_bits) * (SHADES - 1)
        words_after = f"{most:.1f} bits and more; the mark is θ = {sample.theta_bits:.3f}"
        parts.append(f"{sample.score} 0" + element("span", ramp, class_="ramp") + text(words_after))
    parts.append(text("white space: ↵ → ·   small: bytes without a glyph of their own"))
    legend = "".join(element("span", part) for part in parts)
    return element("p", words) + element("div", legend, class_="legend")


def _mark(kind: str, words: str) -> str:
    return element("span", f'<i class="{kind}">a</i>b', class_="bytes") + text(words)


def _sample(number: int, sample: Sample) -> str:
    name = f"sample-{number}"
    end = sample.start + len(sample.raw)
    symbols = ", ".join(
        f"{compressor} {sample.document_bytes / max(1, n):.2f}" for compressor, n in sample.document_symbols.items()
    )
    facts = (
        f"{sample.language or 'no language'}; bytes {count(sample.start)} to {count(end)} of "
        f"{count(sample.document_bytes)}; bytes per symbol of the whole document: {symbols}"
    )
    windows = f", {count(len(sample.symbols))} symbols" if sample.symbols else ""
    shown = f"{sample.compressor}: {count(len(sample.segment_ends))} segments{windows} here"
    title = f"{name}-title"
    head = element("h3", text(sample.source or sample.doc_id), id=title)
    caption = element("div", text(f"{facts}. {shown}."), class_="note")
    named = {"data_of": f"{name}-data", "role": "group", "aria_labelledby": title}
    box = element("pre", cells(sample), class_="bytes", **named)
    numbers = f'<script type="application/json" id="{name}-data">{data(sample)}</script>'
    return element("article", head + caption + box + numbers, class_="sample", id=name)
