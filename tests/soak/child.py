"""Runs in child processes that may be killed, may hang and may crash, without anyone else being hurt.

A child is forked from a process that has imported everything and started no thread, so it costs no imports; it has a
session of its own, and its output goes to files.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

UNCAUGHT = 70
"""Exit status of a child that ended in an exception; its traceback is in its standard error."""
POLL_SECONDS = 0.001


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a child ended."""

    status: int
    """Exit status, or minus the signal that ended it."""
    stdout: str
    stderr: str
    seconds: float
    peak_bytes: int
    """Most memory that it held."""

    @property
    def last_line(self) -> str:
        """Of standard error."""
        return (self.stderr.splitlines() or [""])[-1]


class Child:
    """`work()` in a forked process; its result is the exit status."""

    def __init__(self, work: Callable[[], int], log: Path) -> None:
        self._log, self._begin = log, time.monotonic()
        self._outcome: Outcome | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            _become(work, log)

    def running(self) -> bool:
        """Whether it has not ended yet."""
        if self._outcome is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self._outcome = Outcome(
                    status=os.waitstatus_to_exitcode(status),
                    stdout=_read(self._log.with_suffix(".out")),
                    stderr=_read(self._log.with_suffix(".err")),
                    seconds=time.monotonic() - self._begin,
                    peak_bytes=usage.ru_maxrss << 10,
                )
        return self._outcome is None

    def kill(self) -> bool:
        """SIGKILL to all of its processes; False if it had ended before."""
        if not self.running():
            return False
        self._end()
        return self.wait(limit_seconds=60).status == -signal.SIGKILL

    def _end(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            # It has not come to lead a group of its own yet.
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, *, limit_seconds: float) -> Outcome:
        """Its end; after the limit it is killed, and the status says so."""
        limit = time.monotonic() + limit_seconds
        while self.running():
            if time.monotonic() > limit:
                self._end()
                limit = float("inf")
            time.sleep(POLL_SECONDS)
        assert self._outcome is not None
        return self._outcome


def pipeline_child(arguments: Sequence[str], log: Path, *, before: Callable[[], object] | None = None) -> Child:
    """`python -m pipeline ARGUMENTS` in a child, which calls `before` first."""
    from pipeline.__main__ import main

    def work() -> int:
        if before is not None:
            before()
        return main(list(arguments))

    return Child(work, log)


def warm_up() -> None:
    """Import all that runs import, so that children need not."""
    import sentencepiece  # noqa: F401

    import trainer.data.dataset  # noqa: F401


def _become(work: Callable[[], int], log: Path) -> None:
    """The child's whole life."""
    status = UNCAUGHT
    try:
        os.setsid()
        for number, suffix in ((1, ".out"), (2, ".err")):
            file = os.open(log.with_suffix(suffix), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(file, number)
        status = work()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _read(path: Path) -> str:
    return path.read_text("utf-8", errors="replace") if path.exists() else ""
