"""The report's section on distributions: histograms of scores and of the lengths of segments and windows."""

from __future__ import annotations

from pipeline.analysis.findings import Findings
from pipeline.analysis.report.figures import SCORES, histogram
from pipeline.analysis.report.markup import element

QUANTITY_ORDER = (*SCORES, "segment_bytes", "segment_symbols", "window_bytes")


def section(findings: Findings) -> str:
    """A histogram for each quantity and compressor; empty where there are none."""
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
