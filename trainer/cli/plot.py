"""The command `python -m trainer plot`: its options are the fields of PlotSettings."""

from __future__ import annotations

import argparse

from schemas.config import from_options
from schemas.options import add_options
from trainer.curves.settings import PlotSettings


def add(options: argparse.ArgumentParser) -> None:
    """Add the options of `plot` to its parser."""
    options.add_argument("runs", metavar="RUN", nargs="+", help="directories of runs, going on or finished")
    add_options(options, PlotSettings, omit=["runs"])
    options.set_defaults(run=_run, stopped="no picture was written")


def _run(options: argparse.Namespace) -> int:
    from schemas.files import make_room
    from trainer.curves.draw import draw
    from trainer.curves.read import names_of, read_curves

    settings = from_options(PlotSettings, options)
    make_room(settings.file)
    curves = [read_curves(run, name) for run, name in zip(settings.runs, names_of(settings.runs), strict=True)]
    draw(curves, settings.file)
    for run in curves:
        step, loss = run.loss_nats[-1]
        best = f", best held out {run.best[1]:.4f} bits per raw byte at step {run.best[0]}" if run.best else ""
        print(f"{run.name}: step {step}, loss {loss:.3f} nats{best}")
    print(f"{settings.file}: the curves of {len(curves)} runs" if len(curves) > 1 else f"{settings.file}: its curves")
    return 0
