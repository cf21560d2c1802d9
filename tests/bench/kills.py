"""Twenty seeded SIGKILLs of training runs on one and two ranks: each continues with the losses of an undisturbed run.

python -m tests.bench.kills [COUNT]
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.trainer.runs import command, environment, losses, make_dataset, metrics, train

COUNT = 20


def main() -> None:
    """Print one line per kill and the largest difference of a loss; exit status 1 if one is above 1e-5."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else COUNT
    worst = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        data = make_dataset(Path(scratch) / "corpus")
        expected = losses(train(data, Path(scratch) / "whole"))
        for seed in range(count):
            rng = random.Random(seed)
            ranks, run = rng.choice((1, 2)), Path(scratch) / f"run-{seed}"
            killed_at = kill(data, run, ranks=ranks, lines=rng.randrange(0, 8), pause_seconds=0.5 * rng.random())
            found = losses(train(data, run, ranks=3 - ranks))
            difference = max(abs(a - b) for a, b in zip(found, expected, strict=True))
            worst = max(worst, difference)
            print(
                f"{seed}: killed {ranks} ranks after {killed_at} steps, went on with {3 - ranks}: "
                f"largest difference {difference:.1e} nats",
                flush=True,
            )
    print(f"{count} kills, largest difference {worst:.1e} nats")
    sys.exit(worst > 1e-5)


def kill(data: Path, run: Path, *, ranks: int, lines: int, pause_seconds: float) -> int:
    """Start a run and kill all its processes a moment after it has logged `lines` steps; returns the steps logged."""
    process = subprocess.Popen(
        command(data, run, ranks=ranks),
        env=environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while len(metrics(run)) < lines and process.poll() is None:
        time.sleep(0.005)
    time.sleep(pause_seconds)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return len(metrics(run))


if __name__ == "__main__":
    main()
