"""`make soak`: seeded disasters, each followed by the laws of tests/soak/laws.py.

    python -m tests.soak kills --count 100 --seed 0      SIGKILLs at any moment, then the same command
    python -m tests.soak items --count 100000 --seed 0   hostile input: JSON lines, gzip, zstd, Parquet, Arrow, text
    python -m tests.soak faults --seed 0                 full disks, damaged shards, units that are run twice
    python -m tests.soak mutations --count 2000 --seed 0 crafted shards: one value of one buffer is another one
    python -m tests.soak files --count 3000 --seed 0     every file that commands read, one value of it another one

One line per case and a last one of totals; exit status 1 if a law was broken. Files of failed cases stay in --scratch.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.soak.laws import Case

Cases = Callable[..., Iterator["Case"]]
COUNTS = {"kills": 100, "items": 100_000, "faults": 60, "mutations": 2_000, "files": 3_000}


def main() -> int:
    """Run one kind of soak; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("kind", choices=sorted(COUNTS))
    parser.add_argument(
        "--count", type=int, default=None, help="kills, items, faults, mutations or files (default: as above)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of all draws (default: 0)")
    parser.add_argument("--minutes", type=float, default=120.0, help="no new case after that (default: 120)")
    parser.add_argument("--scratch", default=None, metavar="DIR", help="an empty directory (default: a temporary one)")
    parser.add_argument("--only", default="", metavar="TEXT", help="of files: those whose path has it")
    options = parser.parse_args()
    # Before torch is imported: children must not wait for each other's threads.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as temporary:
        scratch = Path(options.scratch or temporary)
        scratch.mkdir(parents=True, exist_ok=True)
        count = COUNTS[options.kind] if options.count is None else options.count
        return _report(
            options.kind, _cases(options.kind, options.only), scratch, count, options.seed, 60 * options.minutes
        )


def _cases(kind: str, only: str) -> Cases:
    from tests.soak.child import warm_up

    warm_up()
    if kind == "kills":
        from tests.soak.kills import kills

        return kills
    if kind == "items":
        from tests.soak.items import items

        return items
    if kind == "mutations":
        from tests.soak.mutations import mutations

        return mutations
    if kind == "files":
        from tests.soak.files import files

        return partial(files, only=only)
    from tests.soak.faults import faults

    return faults


def _report(kind: str, cases: Cases, scratch: Path, count: int, seed: int, limit_seconds: float) -> int:
    begin = time.monotonic()
    number = amount = failed = 0
    for case in cases(scratch, count=count, seed=seed, limit_seconds=limit_seconds):
        print(case.line, flush=True)
        number, amount, failed = number + 1, amount + case.amount, failed + (not case.holds)
    minutes = (time.monotonic() - begin) / 60
    short = f", stopped by --minutes before {count:,}" if amount < count else ""
    print(
        f"{kind}, seed {seed}: {amount:,} in {number} cases, {failed} failed, {minutes:.1f} minutes{short}", flush=True
    )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
