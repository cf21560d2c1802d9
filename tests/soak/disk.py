"""A disk that is full at some moment of a run, and then has room again.

It is a small tmpfs where this user may mount one, else a limit on the size of a file.
"""

from __future__ import annotations

import random
import resource
import shutil
import signal
import subprocess
import tempfile
from functools import partial
from pathlib import Path

from pipeline.dataset import shard_writer
from pipeline.dataset.spill import Spill
from tests.pipeline.runs import content
from tests.soak.laws import check_finished, check_unfinished, law
from tests.soak.runs import LIMIT_SECONDS, Subject


def full_disk(rng: random.Random, subject: Subject, place: Path) -> str:
    """The disk of the output, or that of temporary files, is full at some moment; then it has room again."""
    output, log = place / "disk" / "out", place / "log"
    small = place / "disk" if rng.random() < 0.7 else place / "temporary"
    (place / "disk").mkdir()
    (place / "temporary").mkdir()
    needed_bytes = sum(map(len, subject.final.values())) if small.name == "disk" else 60_000
    limit_bytes = int(needed_bytes * rng.uniform(0.05, 0.9))
    mounted = _mount(small, limit_bytes)
    try:
        before = partial(_be_small, None if mounted else limit_bytes // 10, place / "temporary")
        outcome = subject.start(output, log, before=before).wait(limit_seconds=LIMIT_SECONDS)
        law(outcome.status in (1, 2), f"exit {outcome.status} with {limit_bytes} bytes: {outcome.last_line}")
        law("no room" in outcome.last_line, f"a full disk is told of by: {outcome.last_line!r}")
        state = check_unfinished(output, subject.final)
        if mounted:
            subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        subject.finish(output, log)
        check_finished(output)
        law(content(output) == subject.final, "the final bytes differ from the undisturbed run's")
    finally:
        if mounted:
            subprocess.run(["umount", str(small)], check=True)
    what = f"tmpfs of {limit_bytes:,} bytes for {small.name}" if mounted else f"files up to {limit_bytes // 10:,} bytes"
    return f"{what}: exit {outcome.status}, {state}; with more room the same bytes"


def _mount(directory: Path, limit_bytes: int) -> bool:
    """A tmpfs of about that size; False where mounting is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={limit_bytes}", "tmpfs", str(directory)]
    return (
        shutil.which("mount") is not None and not subprocess.run(command, check=False, capture_output=True).returncode
    )


def _be_small(most_file_bytes: int | None, temporary: Path) -> None:
    """In the child: its own temporary directory, used from the first batch on; without a tmpfs a limit on files."""
    tempfile.tempdir = str(temporary)
    shard_writer.Spill = partial(Spill, memory_bytes=0)  # type: ignore[misc,assignment]
    if most_file_bytes is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_file_bytes, resource.RLIM_INFINITY))
