"""The report's section on the compressors: what each makes of the corpus, and what the manifest says about it."""

from __future__ import annotations

from pipeline.analysis.findings import Findings
from pipeline.analysis.report.markup import Column, count, decimal, percent, table


def section(findings: Findings) -> str:
    """A table of all compressors, and one for each that has settings."""
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
