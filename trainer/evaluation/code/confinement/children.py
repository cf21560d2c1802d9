"""Waiting for a child within limits, and killing whoever is left.

A watch is entered before the child is started, so that an early end wakes it too.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from trainer.evaluation.code.confinement import memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOOK_SECONDS = 0.025
"""How often the sample's memory is looked at."""


class Watch:
    """Waits for a child, the clock, too much memory or the end of the lifeline, whichever comes first."""

    def __init__(self, limit_seconds: float, memory_bytes: int, *, namespaces: bool) -> None:
        """memory_bytes: most that all processes of the sample may hold together. namespaces: it has its own."""
        self._limit_seconds, self._memory_bytes, self._namespaces = limit_seconds, memory_bytes, namespaces

    def __enter__(self) -> Watch:
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)

    def wait_for(self, pid: int) -> dict[str, Any]:
        """How the child ended. At a limit, or when the asker is gone, it is killed."""
        look = time.monotonic() + LOOK_SECONDS
        deadline = look - LOOK_SECONDS + self._limit_seconds
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            now = time.monotonic()
            why = "timeout" if now >= deadline else ""
            if now >= look:
                why, look = why or self._too_much_memory(), now + LOOK_SECONDS
            ready = [] if why else select.select([0, self._woken], [], [], max(0.0, min(deadline, look) - now))[0]
            if self._woken in ready:
                os.read(self._woken, 4096)
            elif ready and not os.read(0, 4096):
                why = "deserted"
            if why:
                _kill(pid)
                os.waitpid(pid, 0)
                return {why: True}
        if os.WIFSIGNALED(ended[1]):
            return {"signal": os.WTERMSIG(ended[1])}
        return {"code": os.WEXITSTATUS(ended[1])}

    def _too_much_memory(self) -> str:
        used = memory.used_bytes(memory.processes(self._namespaces), self._memory_bytes)
        return "memory" if used > self._memory_bytes else ""


def _kill(pid: int) -> None:
    """A child, and its process group."""
    for kill in (os.kill, os.killpg):
        _quietly(kill, pid)


def _quietly(kill: Callable[[int, int], None], pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        kill(pid, signal.SIGKILL)


def kill_what_is_left(most_seconds: float = 5.0) -> None:
    """Kill the children, those whom this process adopted too, until there are none."""
    deadline = time.monotonic() + most_seconds
    while time.monotonic() < deadline:
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        children = _children()
        if not children:
            return
        for pid in children:
            _quietly(os.kill, pid)
        time.sleep(0.001)


def _children() -> list[int]:
    """Pids whose parent is this process; empty where there is no /proc."""
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            with suppress(OSError, IndexError), open(f"/proc/{name}/stat", "rb") as file:
                if int(file.read().rpartition(b")")[2].split()[1]) == os.getpid():
                    found.append(int(name))
    return found
