"""`python -m trainer COMMAND`: lm, train, generate, serve, evaluate, reproduce, plot, export."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from schemas.errors import UserError, tell
from schemas.machine import usable_cpus


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    from schemas.files import check_temporary_directory
    from trainer.cli import parser as cli

    options = cli.parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        check_temporary_directory()
        return options.run(options)
    except (UserError, OSError) as error:
        return tell(error)
    except KeyboardInterrupt:
        what_is_left = getattr(options, "stopped", "the same command continues from the last checkpoint")
        print(f"stopped; {what_is_left}", file=sys.stderr)
        return 130


if __name__ == "__main__":
    # Before torch is loaded: its threads then sleep while they wait for each other, and leave their core to the one
    # that they wait for. Spinning, two of them beside other work take more than twice as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if (cpus := usable_cpus()) < (os.cpu_count() or 1):
        os.environ.setdefault("OMP_NUM_THREADS", str(cpus))
    sys.exit(main())
