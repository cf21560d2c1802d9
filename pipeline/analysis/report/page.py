"""The report: findings become one HTML file that needs nothing else, neither network nor font nor picture.

    Findings ── sections ──► page   style and script inside, allowed by their digests alone

Every number comes from the findings. Text from documents passes `markup.text` or `samples.cells`; the page's policy
lets no other script run than its own.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from string import Template

from pipeline.analysis.findings import Findings, LanguageRow
from pipeline.analysis.report import samples as report_samples
from pipeline.analysis.report import stability as report_stability
from pipeline.analysis.report.collisions import collision_section
from pipeline.analysis.report.figures import SCORES, histogram, key_mark, languages
from pipeline.analysis.report.markup import Column, count, decimal, element, percent, table, text

LANGUAGES_LISTED = 15
QUANTITY_ORDER = (*SCORES, "segment_bytes", "segment_symbols", "window_bytes")


def report_html(findings: Findings) -> bytes:
    """The page as UTF-8; equal findings give equal bytes."""
    here = Path(__file__).parent
    style, script = ((here / f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    sections = {
        "Stability": report_stability.section(
            findings.stability, findings.frontier, findings.texts_note, findings.frontier_note
        ),
        "Collisions": collision_section(findings.collisions),
        "Corpus": _corpus(findings),
        "Compressors": _compressors(findings),
        "Distributions": _distributions(findings),
        "Samples": report_samples.section(findings.excerpts),
    }
    sections = {title: content for title, content in sections.items() if content}
    page = Template((here / "page.html").read_text("utf-8")).substitute(
        title=text(f"What the compressors do to {findings.dataset}"),
        lead=_lead(findings),
        provenance=_provenance(findings),
        contents="".join(f'<li><a href="#{title.lower()}">{title}</a></li>' for title in sections),
        sections="\n".join(
            element("section", element("h2", title) + content, id=title.lower()) for title, content in sections.items()
        ),
        style=style,
        script=script,
        style_digest=_digest(style),
        script_digest=_digest(script),
    )
    return page.encode()


def _digest(content: str) -> str:
    """sha256 in base64, as a content security policy wants it."""
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _provenance(findings: Findings) -> str:
    words = f"Made by {element('code', text(findings.command))} from the manifest with sha256 "
    return element("p", words + element("code", text(findings.manifest_digest)), class_="made")


def _lead(findings: Findings) -> str:
    totals = findings.manifest.totals
    said = (
        f"{count(totals.written)} documents, {decimal(totals.raw_bytes / 1e6, 1)} MB of UTF-8, "
        f"in {len(findings.manifest.compressors)} compressed encodings. "
        "A good encoding is short, and stays the same where the text does."
    )
    return element("p", text(said), class_="lead") + _glance(findings)


def _glance(findings: Findings) -> str:
    """Shortness and stability of each encoding, side by side."""
    main = {row.compressor: row for row in report_stability.main_rows(findings.stability)}
    columns = [Column(title="encoding", number=False), Column(title="bytes per symbol"), Column(title="distance")]
    columns += [Column(title="95 % interval")]
    ratios = {row.compressor: row.bytes_per_symbol for row in findings.statistics.compressors}
    if "raw" in main:
        ratios["raw"] = main["raw"].bytes_per_symbol
    rows = []
    for name in sorted(ratios, key=lambda name: (-ratios[name], name)):
        distance = main.get(name)
        rows.append(
            [
                name,
                decimal(ratios[name]),
                decimal(distance.distance) if distance else "",
                f"{distance.low:.3f} to {distance.high:.3f}" if distance else "",
            ]
        )
    edit = report_stability.main_edit(findings.stability)
    caption = "Bytes per symbol over the whole corpus"
    caption += f"; median distance of the symbols after {edit}" if edit else ""
    return table(caption, columns, rows, name="glance")


def _corpus(findings: Findings) -> str:
    totals = findings.manifest.totals
    rows = findings.statistics.languages
    reasons = [[reason, count(number)] for reason, number in totals.rejected_by_reason.items()]
    counted = [
        ["read", count(totals.read)],
        ["written", count(totals.written)],
        ["set aside", count(totals.rejected)],
        *([f"set aside: {reason}", number] for reason, number in reasons),
        ["raw bytes", count(totals.raw_bytes)],
        ["shards", count(len(findings.manifest.shards))],
        ["bytes on disk", count(sum(shard.file_bytes for shard in findings.manifest.shards))],
    ]
    columns = [Column(title="what", number=False), Column(title="number")]
    caption = (
        "Bytes per symbol by language, with its number of documents: half of them lie on the bar, "
        "the marker is all bytes over all symbols."
    )
    figure = element("figure", languages(rows) + _keys(rows) + element("figcaption", caption))
    return table("Documents and bytes", columns, counted, name="totals") + figure + _language_table(rows)


def _keys(rows: Sequence[LanguageRow]) -> str:
    names = dict.fromkeys(row.compressor for row in rows)
    items = "".join(element("li", key_mark(name) + text(name)) for name in names)
    return element("ul", items, class_="keys")


def _language_table(rows: Sequence[LanguageRow]) -> str:
    names = list(dict.fromkeys(row.compressor for row in rows))
    columns = [Column(title="language", number=False), Column(title="documents"), Column(title="raw bytes")]
    columns += [Column(title=f"{name}, bytes per symbol") for name in names]
    by_language: dict[str, dict[str, LanguageRow]] = {}
    for row in rows:
        by_language.setdefault(row.language, {})[row.compressor] = row
    lines = []
    for language, own in list(by_language.items())[:LANGUAGES_LISTED]:
        one = next(iter(own.values()))
        ratios = [decimal(own[name].bytes_per_symbol) for name in names]
        lines.append([language or "none", count(one.documents), count(one.raw_bytes), *ratios])
    left = len(by_language) - len(lines)
    caption = "Languages by bytes" + (f"; {left} smaller ones are in languages.csv" if left > 0 else "")
    return table(caption, columns, lines, name="languages")


def _compressors(findings: Findings) -> str:
    columns = [Column(title="compressor", number=False)]
    titles = ("symbols", "bytes per symbol", "segments", "bytes per segment", "alphabet", "of it used")
    columns += [Column(title=title) for title in (*titles, "unigram bits per byte", "digest")]
    rows = [
        [
            row.compressor,
            count(row.symbols),
            decimal(row.bytes_per_symbol),
            count(row.segments),
            decimal(row.bytes_per_segment, 2),
            count(row.alphabet),
            percent(row.alphabet_used / row.alphabet),
            decimal(row.unigram_bits_per_byte, 2),
            findings.manifest.compressors[row.compressor]["digest"][:12],
        ]
        for row in findings.statistics.compressors
    ]
    caption = (
        "Compressors over the whole corpus. Unigram bits per byte: what the symbols would cost a model that knows "
        "only how often each occurs"
    )
    return table(caption, columns, rows, name="compressors") + _details(findings)


def _details(findings: Findings) -> str:
    """A table for each compressor of which there is more to say."""
    columns = [Column(title="setting", number=False), Column(title="value", number=False)]
    return "".join(
        table(f"The {name} compressor, from the manifest", columns, [[*row] for row in rows], name=name)
        for name, rows in findings.compressor_details.items()
    )


def _distributions(findings: Findings) -> str:
    theta = findings.theta_bits
    order = {quantity: i for i, quantity in enumerate(QUANTITY_ORDER)}
    panels = []
    for data in sorted(findings.statistics.histograms, key=lambda data: (order[data.quantity], data.compressor)):
        mark = (theta, f"θ = {theta:.3f}") if data.quantity in SCORES and theta is not None else None
        panels.append(histogram(data, mark))
    if not panels:
        return ""
    words = f"A boundary stands before every byte whose {findings.score} is above θ. "
    words += "Bars are shares; the counts are in histograms.csv and under the pointer."
    return element("p", words) + element("div", "".join(panels), class_="panels")
