"""The picture: loss above, bits per raw byte below, a colour for each run.

Points of the training are noisy, each being one batch, so they are drawn thin, and a mean of the neighbours over them.
Held-out points are measured on the same bytes every time and drawn as they are, the best of each run with a ring.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schemas.errors import SettingsError
from schemas.files import atomic_path
from trainer.curves.read import Curves, Points

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Okabe and Ito's, which people who see fewer colours can tell apart; yellow is left out, it is faint on white."""
DASHES = ("-", "--", ":", "-.")
NEIGHBOURS = 0.03
"""Share of a run's points that the mean reaches over on either side."""


def draw(runs: Sequence[Curves], file: str) -> None:
    """Write the picture of some runs, PNG or SVG by the file's suffix; equal curves give equal bytes.

    SettingsError where matplotlib is not installed.
    """
    matplotlib = matplotlib_or_refuse()
    from matplotlib.figure import Figure

    style = {"svg.hashsalt": "curves", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False,
             "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25, "legend.frameon": False}  # fmt: skip
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7.5, 6.5), layout="constrained")
        loss, bits = figure.subplots(2, 1, sharex=True)
        for number, run in enumerate(runs):
            colour = COLOURS[number % len(COLOURS)]
            dash = DASHES[number // len(COLOURS) % len(DASHES)]
            _noisy(loss, run.loss_nats, colour, dash, label=run.name)
            _noisy(bits, run.raw_bits, colour, dash, faint=bool(run.held_out_bits))
            _held_out(bits, run, colour, dash)
        loss.set_ylabel("training loss, nats per position")
        bits.set_ylabel("bits per raw byte")
        bits.set_xlabel("optimizer steps done")
        loss.legend(title="run")
        _key(bits, any(run.held_out_bits for run in runs))
        with atomic_path(file) as temporary:
            kind = file.rpartition(".")[2]
            metadata = {"Date": None} if kind == "svg" else {"Software": None}
            figure.savefig(temporary, format=kind, dpi=150, metadata=metadata)


def smoothed(points: Points) -> Points:
    """Each value replaced by the mean of it and its neighbours, of which there are fewer at the ends."""
    reach = int(len(points) * NEIGHBOURS)
    means = []
    for at, (step, _) in enumerate(points):
        near = [value for _, value in points[max(0, at - reach) : at + reach + 1]]
        means.append((step, sum(near) / len(near)))
    return means


def matplotlib_or_refuse() -> Any:
    """matplotlib; SettingsError where it is not installed."""
    try:
        import matplotlib
    except ImportError as error:
        raise SettingsError(
            "pictures need matplotlib, which is not installed; pip install 'matplotlib>=3.10'"
        ) from error
    return matplotlib


def _noisy(axes: Any, points: Points, colour: str, dash: str, *, label: str = "", faint: bool = False) -> None:
    """A curve of single batches."""
    if not points:
        return
    mean = smoothed(points)
    if mean != points:
        axes.plot(*zip(*points, strict=True), color=colour, linewidth=0.5, alpha=0.3)
    axes.plot(
        *zip(*mean, strict=True), color=colour, linestyle=dash, linewidth=1, alpha=0.4 if faint else 1, label=label
    )


def _held_out(axes: Any, run: Curves, colour: str, dash: str) -> None:
    """The held-out curve of a run, and a ring with its value around the best point."""
    if run.best is None:
        return
    points = zip(*run.held_out_bits, strict=True)
    axes.plot(*points, color=colour, linestyle=dash, linewidth=1.6, marker="o", markersize=3.5)
    axes.plot(*run.best, color=colour, marker="o", markersize=9, fillstyle="none", linestyle="none")
    place = {"textcoords": "offset points", "xytext": (0, 8), "ha": "center"}
    axes.annotate(f"{run.best[1]:.3f}", run.best, color=colour, **place)


def _key(axes: Any, any_held_out: bool) -> None:
    """What the two kinds of lines are, in grey, since colours name runs."""
    if any_held_out:
        axes.plot([], [], color="#555555", linewidth=1.6, marker="o", markersize=3.5, label="held out, the best ringed")
    axes.plot([], [], color="#555555", linewidth=1, alpha=0.4 if any_held_out else 1, label="trained on")
    axes.legend()
