"""The judge's view of the process of the solution: asks, waits, and notices its end."""

from __future__ import annotations

import builtins
import os
import select
import signal
from contextlib import suppress

from trainer.evaluation.code.candidate.pipe import Pipe
from trainer.evaluation.code.candidate.values import Values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

LAST_SECONDS = 0.5
"""How long a process may take to end after its pipe has: the kernel closes files a little earlier."""


class Gone(BaseException):
    """The process of the solution has ended; no `except Exception` of a test is meant."""


class Solver:
    """The process of the solution."""

    def __init__(self, pid: int, answered: int, ask: int) -> None:
        self.ended = ""
        """How it ended by itself: `exited` or `killed`; empty while it runs."""
        self._pid, self._answered = pid, answered
        self._pipe = Pipe(answered, ask, self._wait)
        self._values = Values(self._ask)
        self._woken, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(self._woken, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def load(self, source: str) -> str:
        """Run the solution's source; its error is raised here. What is wrong where it does not compile, else empty."""
        kind, *parts = self._exchange("load", source)
        if kind == "syntax":
            return str(parts[0]) or "syntax error"
        self._result(kind, *parts)
        return ""

    def names(self, names: list[str]) -> dict[str, Any]:
        """Those of the names that the solution defines, with their values."""
        found = self._ask("names", names)
        return {name: value for name, value in found.items() if name in names} if isinstance(found, dict) else {}

    def _ask(self, kind: str, *parts: Any) -> Any:
        answer, *rest = self._exchange(kind, *parts)
        result, changed = self._result(answer, *rest)
        if kind == "call" and isinstance(changed, tuple):
            for old, new in zip(parts[1], changed, strict=False):
                _copy_back(old, new)
        return result

    def _exchange(self, *request: Any) -> tuple[Any, ...]:
        message = self._values.encode(request)
        try:
            self._pipe.send(message)
            answer = self._pipe.receive()
        except (OSError, EOFError):
            self._end()
        return tuple(self._values.decode(answer))

    def _result(self, kind: str, *parts: Any) -> tuple[Any, Any]:
        if kind == "value":
            result, changed = parts
            return result, changed
        names, words, text = parts
        raise _error(names, words, text)

    def _wait(self) -> None:
        """Until there is something to read, or the process has ended and there is nothing more."""
        self._reap()
        while True:
            ready = select.select([self._answered, self._woken], [], [], 0 if self.ended else None)[0]
            if self._answered in ready:
                return
            if self.ended:
                raise EOFError
            self._reap()

    def _end(self) -> NoReturn:
        if not self.ended:
            select.select([self._woken], [], [], LAST_SECONDS)
            self._reap()
        self.ended = self.ended or "exited"
        raise Gone

    def _reap(self) -> None:
        """Of all that has ended; as the first process of its namespace this one inherits what others leave."""
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._pid:
                    self.ended = "killed" if os.WIFSIGNALED(ended[1]) else "exited"


def _error(names: list[str], words: list[Any], text: str) -> Exception:
    """An error of the solution as the nearest of Python's own, with where it came from as a note."""
    kinds = [getattr(builtins, str(name), None) for name in names]
    error: Exception = RuntimeError(*words)
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, Exception):
            # Some are made of more than words, as a UnicodeDecodeError; then the next that Python has, a ValueError.
            with suppress(TypeError, ValueError):
                error = kind(*words)
                break
    error.add_note(str(text))
    return error


def _copy_back(old: Any, new: Any) -> None:
    """Do to the tests' own argument what the solution did to its copy."""
    if type(old) is not type(new) or old is new:
        return
    if isinstance(old, list | bytearray):
        for own, other in zip(old, new, strict=False) if isinstance(old, list) else ():
            _copy_back(own, other)
        kept = [own if _same(own, other) else other for own, other in zip(old, new, strict=False)]
        old[:] = kept + list(new[len(kept) :])
    elif isinstance(old, dict):
        for key in old.keys() & new.keys():
            _copy_back(old[key], new[key])
            new[key] = old[key] if _same(old[key], new[key]) else new[key]
        old.clear()
        old.update(new)
    elif isinstance(old, set):
        old.clear()
        old.update(new)


def _same(own: Any, other: Any) -> bool:
    """Whether the tests' own container was brought to the state of the other."""
    return type(own) is type(other) and isinstance(own, list | dict | set | bytearray)
