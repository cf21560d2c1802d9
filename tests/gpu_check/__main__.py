"""`make gpu-check`: what a GPU has to show, row by row, in at most ten minutes of one GPU, and without a network.

    python -m tests.gpu_check [--device cuda|cpu] [--rows NAME,NAME] [--out FILE] [--minutes 10]

Every figure is printed when it is measured, as a row of a Markdown table; the JSON file is written again after each
row, so a stop at any moment leaves what was done. A row runs in a process of its own, within a limit of its own: it may
fail, hang or lack a package, and the others go on. Exit status 1 if one failed or ran out of time. On a CPU everything
is small and says only that the rows run.
"""

from __future__ import annotations

import argparse
import signal
import sys

from tests.gpu_check.run import Check
from tests.gpu_check.scale import SCALES
from tests.gpu_check.table import ROWS


def main(arguments: list[str] | None = None) -> int:
    """Measure the rows that are asked for; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.gpu_check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=sorted(SCALES), default="cuda", help="what to measure (default: cuda)")
    names = ", ".join(row.name for row in ROWS)
    parser.add_argument("--rows", default="", metavar="NAME,NAME", help=f"of {names} (default: all)")
    parser.add_argument("--out", default="gpu-check.json", metavar="FILE", help="the figures (default: gpu-check.json)")
    parser.add_argument("--minutes", type=float, default=10.0, help="limit of all rows together (default: 10)")
    options = parser.parse_args(arguments)
    wanted = options.rows.split(",") if options.rows else [row.name for row in ROWS]
    if unknown := sorted(set(wanted) - {row.name for row in ROWS}):
        parser.error(f"--rows names {', '.join(unknown)}; there are {names}")
    # Else a row would live on.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    check = Check(SCALES[options.device], out=options.out, limit_seconds=60 * options.minutes)
    return check.run([row for row in ROWS if row.name in wanted])


if __name__ == "__main__":
    sys.exit(main())
