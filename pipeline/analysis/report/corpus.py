"""The report's section on the corpus: documents, bytes and what was rejected, and its languages."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.analysis.findings import Findings, LanguageRow
from pipeline.analysis.report.figures import key_mark, languages
from pipeline.analysis.report.markup import Column, count, decimal, element, table, text

LANGUAGES_LISTED = 15


def section(findings: Findings) -> str:
    """Totals, a figure of the largest languages and a table of more of them."""
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
