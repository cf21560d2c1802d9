"""The options of `python -m pipeline reformat`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.cli.models import make_room


def add_reformat_options(options: argparse.ArgumentParser) -> None:
    """The command's options."""
    options.add_argument("dataset", metavar="DIR", help="finished dataset, whose held-out documents are taken")
    options.add_argument("--out", required=True, metavar="FILE", help="JSON lines for preprocess --id-field id")
    options.add_argument("--texts", type=int, default=1000, metavar="N", help="documents at most")
    options.set_defaults(run=_run)


def _run(options: argparse.Namespace, extra: Sequence[str]) -> int:
    from pipeline.analysis.reformat import FORMATS, write_reformatted
    from schemas.errors import SettingsError

    if options.texts < 1:
        raise SettingsError(f"--texts is {options.texts}; give at least 1")
    make_room(options.out)
    count = write_reformatted(options.dataset, options.out, limit=options.texts)
    print(f"{options.out}: {count:,} texts in {len(FORMATS)} formats ({', '.join(FORMATS)})")
    return 0
