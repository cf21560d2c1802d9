"""The page's picture: what proxies gain, over size, budget, boundaries and pairing; error bars are standard errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from schemas.files import atomic_path
from trainer.curves.draw import COLOURS, matplotlib_or_refuse
from trainer.reproduction.measures import Evidence, growth
from trainer.reproduction.result_table import (
    Point,
    ResultTable,
    Spread,
    bits_saved_by_own_comp,
    raw_bits,
)
from trainer.reproduction.tables import ordered
from trainer.reproduction.words import point_name

STYLE = {
    "svg.hashsalt": "reproduction",
    "svg.fonttype": "none",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}
OVER_SIZE = ("tokenizer", "neural", "neural-level", "neural-jump")
"""The arms whose gains are drawn over size."""


def draw(evidence: Evidence, file: str) -> None:
    """Write the picture as SVG; equal results give equal bytes. SettingsError where matplotlib is not installed."""
    matplotlib = matplotlib_or_refuse()
    from matplotlib.figure import Figure

    table = evidence.table
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 7.5), layout="constrained")
        (symbols, sizes), (transfer, translation) = figure.subplots(2, 2)
        _over_symbols(symbols, table)
        _over_size(sizes, evidence)
        _bars(transfer, table, table.transfer_gain, "saved over as much raw alone, bits per raw byte")
        _bars(translation, table, bits_saved_by_own_comp, "saved by its own comp in context, bits per byte")
        with atomic_path(file) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None})


def _over_symbols(axes: Any, table: ResultTable) -> None:
    """Bits per raw byte over the budget: raw-only as a curve for each size, proxies as points."""
    for number, size in enumerate(table.sizes):
        colour = COLOURS[number % len(COLOURS)]
        points = [point for point in table.points if point[0] == size]
        _line(axes, table, raw_bits, "raw-only", points, colour, "-", f"raw-only, {size}")
        _line(axes, table, raw_bits, "neural", points, colour, "--", f"neural, {size}")
    axes.set_xscale("log", base=2)
    axes.set_xlabel("budget, multiples of ×1")
    axes.set_ylabel("bits per raw byte, held out")
    _legend(axes, columns=2)


def _line(
    axes: Any,
    table: ResultTable,
    value: Callable[..., float | None],
    arm: str,
    points: Sequence[Point],
    colour: str,
    dash: str,
    label: str,
) -> None:
    found = [(budget, table.spread(value, (size, budget), arm)) for size, budget in points]
    known = [(budget, spread) for budget, spread in found if spread is not None]
    if known:
        means, errors = [spread.mean for _, spread in known], [_error(spread) for _, spread in known]
        axes.errorbar([budget for budget, _ in known], means, errors, color=colour, linestyle=dash, marker="o",
                      markersize=3, linewidth=1, capsize=2, label=label)  # fmt: skip


def _over_size(axes: Any, evidence: Evidence) -> None:
    """What proxies save over raw-only at an equal budget, over size, and the line of claim (g)."""
    table = evidence.table
    for number, arm in enumerate(OVER_SIZE):
        found = [(size, table.spread(_saved, (size, 1.0), "raw-only", arm)) for size in table.sizes]
        known = [(table.body_parameters[size], spread) for size, spread in found if spread is not None]
        if known:
            means, errors = [spread.mean for _, spread in known], [_error(spread) for _, spread in known]
            axes.errorbar([parameters for parameters, _ in known], means, errors, color=COLOURS[number], marker="o",
                          markersize=3, linewidth=1, capsize=2, label=arm)  # fmt: skip
    trend = growth(evidence)
    note = "" if trend is None else f"; neural {trend.per_decade} per tenfold size"
    axes.axhline(0, color="#555555", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel(f"parameters in blocks{note}")
    axes.set_ylabel("saved over raw-only at ×1, bits per raw byte")
    _legend(axes)


def _saved(raw_only: Any, proxy: Any) -> float | None:
    if raw_only.raw_bits_per_byte is None or proxy.raw_bits_per_byte is None:
        return None
    return float(raw_only.raw_bits_per_byte - proxy.raw_bits_per_byte)


def _bars(axes: Any, table: ResultTable, value: Callable[..., float | None], label: str) -> None:
    """A group of bars for each arm, a bar for each size and budget."""
    arms = [arm for arm in ordered(table) if any(table.spread(value, point, arm) for point in table.points)]
    points = [point for point in table.points if any(table.spread(value, point, arm) for arm in arms)]
    width = 0.8 / max(1, len(points))
    for number, point in enumerate(points):
        spreads = [table.spread(value, point, arm) for arm in arms]
        places = [place + (number - (len(points) - 1) / 2) * width for place in range(len(arms))]
        known = [(place, spread) for place, spread in zip(places, spreads, strict=True) if spread is not None]
        axes.bar(
            [place for place, _ in known],
            [spread.mean for _, spread in known],
            width,
            yerr=[_error(spread) for _, spread in known],
            color=COLOURS[number % len(COLOURS)],
            error_kw={"linewidth": 0.8},
            label=point_name(point),
        )
    axes.axhline(0, color="#555555", linewidth=0.8)
    axes.set_xticks(range(len(arms)), arms, rotation=35, ha="right")
    axes.set_ylabel(label)
    _legend(axes)


def _error(spread: Spread) -> float:
    """Length of an error bar; none for a single seed."""
    return spread.standard_error if len(spread.values) > 1 else 0.0


def _legend(axes: Any, columns: int = 1) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(ncols=columns, fontsize=7)
