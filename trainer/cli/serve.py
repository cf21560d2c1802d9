"""The command `python -m trainer serve`: its options are the fields of ServeSettings."""

from __future__ import annotations

import argparse

from schemas.config import from_options
from schemas.options import add_options
from trainer.serving.settings import ServeSettings


def add(options: argparse.ArgumentParser) -> None:
    """Add the options of `serve` to its parser."""
    add_options(options, ServeSettings)
    options.set_defaults(run=_run, stopped="requests that were not done are lost")


def _run(options: argparse.Namespace) -> int:
    from trainer.serving.server import serve

    serve(from_options(ServeSettings, options))
    return 0
