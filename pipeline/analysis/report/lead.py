"""The head of the report: what the dataset is, and how short and how stable each of its encodings is."""

from __future__ import annotations

from pipeline.analysis.findings import Findings
from pipeline.analysis.report.markup import Column, count, decimal, element, table, text
from pipeline.analysis.report.stability import main_edit, main_rows


def lead(findings: Findings) -> str:
    """A sentence about the dataset, and a table of its encodings."""
    totals = findings.manifest.totals
    said = (
        f"{count(totals.written)} documents, {decimal(totals.raw_bytes / 1e6, 1)} MB of UTF-8, "
        f"in {len(findings.manifest.compressors)} compressed encodings. "
        "A good encoding is short, and stays the same where the text does."
    )
    return element("p", text(said), class_="lead") + _glance(findings)


def _glance(findings: Findings) -> str:
    """Shortness and stability of each encoding, side by side."""
    main = {row.compressor: row for row in main_rows(findings.stability)}
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
    edit = main_edit(findings.stability)
    caption = "Bytes per symbol over the whole corpus"
    caption += f"; median distance of the symbols after {edit}" if edit else ""
    return table(caption, columns, rows, name="glance")
