"""SIGKILLs on a small cluster: the launcher, a worker, or all of it, and then the same run on this machine.

A job outlives its launcher: the workers go on with units that the next run is doing too, and both of them publish.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.pipeline.job.portable import environment, job_service, worker_pool
from tests.pipeline.runs import content
from tests.soak.laws import check_finished, check_unfinished, law
from tests.soak.runs import LIMIT_SECONDS, UNITS, Subject

VICTIMS = ("launcher", "worker", "everything")
WORKER = b"SdkHarness("
HANG_SECONDS = 5.0
"""A job service may wait for a dead worker for ever; after this its launcher is killed too."""


def cluster_kill(rng: random.Random, subject: Subject, place: Path) -> str:
    """Kill a part of a cluster in the middle of its job, run the command here, and compare."""
    output, victim, wanted = place / "out", rng.choice(VICTIMS), rng.randrange(UNITS)
    with job_service(place) as service, worker_pool(place) as pool:
        options = ["--runner", "PortableRunner", f"--job_endpoint={service}", "--environment_type=EXTERNAL"]
        options += [f"--environment_config={pool}", "--output", str(output)]
        with (place / "launcher.log").open("wb") as log:
            launcher = subprocess.Popen(
                [sys.executable, "-m", "pipeline", *subject.arguments, *options],
                env=environment(), stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            workers = _wait_for(output, wanted, launcher, place)
            killed = _kill(victim, launcher, workers)
            state = check_unfinished(output, subject.final)
            if victim == "launcher":
                # Its job lives on, at work in the same directory.
                subject.finish(output, place / "log")
        finally:
            if launcher.poll() is None:
                launcher.kill()
            launcher.wait()
    subject.finish(output, place / "log")
    check_finished(output)
    law(content(output) == subject.final, "the final bytes differ from the undisturbed run's")
    return f"{victim} of a cluster ({killed} processes) at {wanted} units: {state}; the same bytes"


def _wait_for(output: Path, units: int, launcher: subprocess.Popen[bytes], place: Path) -> list[int]:
    """Wait for so many commit records; the process ids of the workers, looked up before, for that takes a while."""
    limit = time.monotonic() + LIMIT_SECONDS
    done = output / "_work" / "done"
    workers: list[int] = []
    while launcher.poll() is None and time.monotonic() < limit and not workers:
        workers = list(_workers(place)) if done.exists() else []
        time.sleep(0.001)
    while launcher.poll() is None and time.monotonic() < limit and len(list(done.glob("unit-*.json"))) < units:
        time.sleep(0.0005)
    return workers


def _kill(victim: str, launcher: subprocess.Popen[bytes], workers: list[int]) -> int:
    """Kill them; how many processes that were."""
    pids = workers if victim == "worker" else [launcher.pid] if victim == "launcher" else [launcher.pid, *workers]
    killed = 0
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    if victim == "worker":
        try:
            launcher.wait(HANG_SECONDS)
        except subprocess.TimeoutExpired:
            launcher.kill()
    launcher.wait()
    return killed


def _workers(place: Path) -> Iterator[int]:
    """Process ids of the workers that the pool in `place` has started."""
    ours = f"PATH={place}/".encode()
    for process in sorted(Path("/proc").glob("[0-9]*")):
        try:
            command, variables = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue
        if WORKER in command and ours in variables:
            yield int(process.name)
