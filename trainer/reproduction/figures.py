"""The page's picture: what proxies gain, over size, budget, boundaries and pairing; error bars are standard errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schemas.files import atomic_path
from trainer.curves.draw import COLOURS, matplotlib_or_refuse
from trainer.reproduction.arms import ARMS, CORE, proxy_raw_share
from trainer.reproduction.evidence import Evidence, growth
from trainer.reproduction.result_table import (
    ResultTable,
    Spread,
    bits_saved_by_own_comp,
    raw_bits,
    raw_gain,
)
from trainer.reproduction.results import TranslationPoint
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
MARKERS = ("o", "s", "^", "v", "D", "P", "X", "*")
OVER_SIZE = (*CORE, "gzip")
"""The arms whose gains are drawn over size."""


def draw(evidence: Evidence, file: str) -> None:
    """Write the picture as SVG; equal results give equal bytes. SettingsError where matplotlib is not installed."""
    matplotlib = matplotlib_or_refuse()
    from matplotlib.figure import Figure

    table = evidence.table
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(13, 7.5), layout="constrained")
        (densities, sizes, transfer), (translation, exact, saved) = figure.subplots(2, 3)
        _over_density(densities, table)
        _over_size(sizes, evidence)
        _bars(transfer, table, table.transfer_gain, "saved over as much raw alone, bits per raw byte")
        _bars(translation, table, bits_saved_by_own_comp, "saved by its own comp in context, bits per byte")
        _over_steps(exact, table, lambda point: point.raw_exact, "translated exactly, share of short documents")
        _over_steps(saved, table, lambda point: point.saved_bits_per_byte, "saved by its own comp, bits per byte")
        with atomic_path(file) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None})


def _over_density(axes: Any, table: ResultTable) -> None:
    """Bits over the share of the symbols that is raw: raw-only as a curve, each proxy as a point, below it or not."""
    point = table.last("raw-only", "neural") or table.last("raw-only")
    if point is None:
        return
    densities = sorted({result.density for result in table.results if result.arm == "raw-only"})
    curve = {density: table.at_density(raw_bits, point, density) for density in densities}
    _errorbars(axes, curve, COLOURS[-1], "raw-only, as much", line="-")
    for number, arm in enumerate(arm for arm in ordered(table) if ARMS[arm].is_proxy):
        ratio = table.spread(lambda result: result.raw_per_comp, point, arm)
        if ratio is not None:
            found = {proxy_raw_share(ratio.mean): table.spread(raw_bits, point, arm)}
            _errorbars(axes, found, COLOURS[number % len(COLOURS)], arm, marker=MARKERS[number % len(MARKERS)])
    axes.set_xscale("log", base=2)
    axes.set_xlabel(f"raw bytes' share of the symbols, {point_name(point)}")
    axes.set_ylabel("bits per raw byte, held out")
    _legend(axes, columns=2)


def _errorbars(
    axes: Any, found: Mapping[float, Spread | None], colour: str, label: str, *, line: str = "none", marker: str = "o"
) -> None:
    known = [(place, spread) for place, spread in sorted(found.items()) if spread is not None]
    if known:
        means, errors = [spread.mean for _, spread in known], [_error(spread) for _, spread in known]
        axes.errorbar([place for place, _ in known], means, errors, color=colour, linestyle=line, marker=marker,
                      markersize=4, linewidth=1, capsize=2, label=label)  # fmt: skip


def _over_size(axes: Any, evidence: Evidence) -> None:
    """What proxies save over raw-only at an equal budget, over size, and the line of claim (g)."""
    table = evidence.table
    for number, arm in enumerate(OVER_SIZE):
        found = {
            float(table.body_parameters[size]): table.spread(raw_gain, (size, 1.0), "raw-only", arm)
            for size in table.sizes
        }
        _errorbars(axes, found, COLOURS[number], arm, line="-")
    trend = growth(evidence)
    note = "" if trend is None else f"; neural {trend.per_decade} per tenfold size"
    axes.axhline(0, color="#555555", linewidth=0.8)
    axes.set_xscale("log")
    names = [f"{size}\n{table.body_parameters[size] / 1e6:.2g} M" for size in table.sizes]
    axes.set_xticks([table.body_parameters[size] for size in table.sizes], names)
    axes.minorticks_off()
    axes.set_xlabel(f"size, parameters in blocks{note}")
    axes.set_ylabel("saved over raw-only at ×1, bits per raw byte")
    _legend(axes)


def _bars(axes: Any, table: ResultTable, value: Callable[..., float | None], label: str) -> None:
    """A group of bars for each arm, a bar for each size and budget, a pale one where it is a single seed."""
    arms = [arm for arm in ordered(table) if any(table.spread(value, point, arm) for point in table.points)]
    points = [point for point in table.points if any(table.spread(value, point, arm) for arm in arms)]
    width = 0.8 / max(1, len(points))
    for number, point in enumerate(points):
        spreads = [table.spread(value, point, arm) for arm in arms]
        places = [place + (number - (len(points) - 1) / 2) * width for place in range(len(arms))]
        known = [(place, spread) for place, spread in zip(places, spreads, strict=True) if spread is not None]
        colour = COLOURS[number % len(COLOURS)]
        axes.bar(
            [place for place, _ in known],
            [spread.mean for _, spread in known],
            width,
            yerr=[_error(spread) for _, spread in known],
            color=[(colour, 1.0 if len(spread.values) > 1 else 0.35) for _, spread in known],
            error_kw={"linewidth": 0.8},
            label=point_name(point),
        )
    axes.axhline(0, color="#555555", linewidth=0.8)
    axes.set_xticks(range(len(arms)), arms, rotation=35, ha="right")
    axes.set_ylabel(label)
    _legend(axes)


def _over_steps(axes: Any, table: ResultTable, value: Callable[[TranslationPoint], float], label: str) -> None:
    """The watched runs, a line for each."""
    for number, result in enumerate(table.watched):
        curve = result.translation_curve or []
        name = f"{result.arm}, {point_name((result.size, result.budget))}, seed {result.seed}"
        colour = COLOURS[number % len(COLOURS)]
        axes.plot([point.step for point in curve], list(map(value, curve)), color=colour, marker="o", markersize=3,
                  linewidth=1, label=name)  # fmt: skip
    axes.set_xlabel("optimizer steps done")
    axes.set_ylabel(label)
    _legend(axes)


def _error(spread: Spread) -> float:
    """Length of an error bar; none for a single seed."""
    return spread.standard_error if len(spread.values) > 1 else 0.0


def _legend(axes: Any, columns: int = 1) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(ncols=columns, fontsize=7)
    else:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color="#555555")
