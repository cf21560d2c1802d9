"""A cluster in three processes: a Beam job service, a pool that starts workers, and the command that submits."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[3]
LIMIT_SECONDS = 120
"""Of one job and of every wait: a worker that never comes would hang the suite."""


def environment(**more: str) -> dict[str, str]:
    """One thread, this checkout importable from any directory, and nothing of the user's clouds."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GOOGLE_", "AWS_", "CLOUDSDK_"))}
    python_path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONPATH": python_path, **more}


def wait_for(what: str, found: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Wait until `found()`; an AssertionError where the process ends or the limit passes first."""
    limit = time.monotonic() + LIMIT_SECONDS
    while not found():
        assert process.poll() is None, f"{what}: its process ended with {process.returncode}"
        assert time.monotonic() < limit, f"{what} did not come within {LIMIT_SECONDS} s"
        time.sleep(0.05)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def listens(port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as caller:
        return caller.connect_ex(("localhost", port)) == 0


@contextmanager
def _started(arguments: list[str], directory: Path, log: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own that is gone, with its children, when the body is left."""
    with open(directory / log, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=directory,
            env=environment(**more),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def job_service(directory: Path) -> Iterator[str]:
    """Beam's own job service in another process; its address."""
    port_file, staging = directory / "port", directory / "staging"
    staging.mkdir()
    arguments = ["apache_beam.runners.portability.local_job_service_main"]
    arguments += ["--port_file", str(port_file), "--staging_dir", str(staging)]
    with _started(arguments, directory, "job_service.log") as process:
        wait_for("the job service", lambda: port_file.exists() and bool(port_file.read_text()), process)
        yield f"localhost:{port_file.read_text()}"


@contextmanager
def worker_pool(directory: Path, *, first: str = "") -> Iterator[str]:
    """Beam's EXTERNAL worker pool in another process; its address.

    The pool starts workers by the `python` that it finds on its PATH: here a script, which does `first` (shell) and
    becomes this interpreter.
    """
    programs = directory / "bin"
    programs.mkdir()
    script = programs / "python"
    script.write_text(f'#!/bin/sh\n{first}\necho started >> "{directory}/workers"\nexec "{sys.executable}" "$@"\n')
    script.chmod(0o755)
    port = free_port()
    arguments = ["apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    with _started(arguments, directory, "worker_pool.log", PATH=path) as process:
        wait_for("the worker pool", lambda: listens(port), process)
        yield f"localhost:{port}"


def _says(log: Path, words: bytes) -> bool:
    return words in log.read_bytes()


@contextmanager
def dask_cluster(directory: Path, **more: str) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A Dask scheduler and two workers of one thread, each its own process; the address, and the workers."""
    file = directory / "scheduler.json"
    quiet = ["--no-dashboard", "--scheduler-file", str(file)]
    scheduler = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *quiet]
    worker = ["distributed.cli.dask_worker", *quiet, "--nthreads", "1", "--no-nanny"]
    worker += ["--local-directory", str(directory / "workers")]
    with _started(scheduler, directory, "scheduler.log") as started:
        wait_for("the scheduler", file.exists, started)
        with (
            _started(worker, directory, "one.log", **more) as one,
            _started(worker, directory, "two.log", **more) as two,
        ):
            for log, process in (("one.log", one), ("two.log", two)):
                wait_for(log, partial(_says, directory / log, b"Registered to"), process)
            yield json.loads(file.read_bytes())["address"], [one, two]


def submit(
    arguments: list[str], directory: Path, *, seconds: int = LIMIT_SECONDS, **more: str
) -> subprocess.CompletedProcess[str]:
    """`python -m pipeline` with these arguments, in a directory that holds no code."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=directory,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
