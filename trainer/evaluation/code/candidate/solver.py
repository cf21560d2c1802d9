"""The process of the solution: runs it, and does what the judge asks of it until the judge is gone.

Requests and answers are `values`: ("load", source), ("names", names), ("call", function, arguments, options) and the
other operations of a Remote. Answers: ("value", result, arguments afterwards or None), ("raise", names of the error's
classes, its arguments, traceback) and ("syntax", traceback).
"""

from __future__ import annotations

import builtins
import os
import sys
import types
from collections.abc import Callable
from contextlib import suppress

from trainer.evaluation.code.candidate.pipe import Pipe
from trainer.evaluation.code.candidate.values import Values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

TRACEBACK_CHARACTERS = 1500
MUTABLE = (list, dict, set, bytearray)
_OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda function, arguments, options: function(*arguments, **options),
    "attribute": getattr,
    "iter": iter,
    "next": next,
    "len": len,
    "item": lambda container, key: container[key],
    "contains": lambda container, value: value in container,
    "bool": bool,
    "str": str,
}


def serve(receiving: int, sending: int) -> NoReturn:
    """Answer requests; ends the process when there are no more."""
    _Solver(Pipe(receiving, sending)).run()
    os._exit(0)


class _Solver:
    def __init__(self, pipe: Pipe) -> None:
        self._pipe, self._pid = pipe, os.getpid()
        self._values = Values(_cannot_be_asked)
        self._module = types.ModuleType("solution")
        sys.modules["solution"] = self._module
        sys.argv[:] = ["solution.py"]

    def run(self) -> None:
        """Until the judge is gone. A process that the solution forked ends where it would answer in our place."""
        while True:
            try:
                request = self._pipe.receive()
            except EOFError:
                return
            answer = self._encoded(self._answer(*self._values.decode(request)))
            _flush()
            if os.getpid() != self._pid:
                os._exit(0)
            self._pipe.send(answer)

    def _encoded(self, answer: tuple[Any, ...]) -> bytes:
        try:
            return self._values.encode(answer)
        except Exception as error:
            return self._values.encode(_raised(error))

    def _answer(self, kind: str, *parts: Any) -> tuple[Any, ...]:
        try:
            if kind == "load":
                return self._load(*parts)
            if kind == "names":
                return (
                    "value",
                    {name: vars(self._module)[name] for name in parts[0] if name in vars(self._module)},
                    None,
                )
            before = self._arguments(kind, parts)
            result = _OPERATIONS[kind](*parts)
            return "value", result, parts[1] if before != self._arguments(kind, parts) else None
        except Exception as error:
            return _raised(error)
        except SystemExit as error:
            _flush()
            os._exit(error.code & 255 if isinstance(error.code, int) else error.code is not None)
        except BaseException:
            os._exit(1)

    def _load(self, source: str) -> tuple[Any, ...]:
        try:
            program = compile(source, "solution.py", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return "syntax", _traceback(error)
        exec(program, vars(self._module))
        return "value", None, None

    def _arguments(self, kind: str, parts: tuple[Any, ...]) -> bytes:
        """What shows whether a function changes its arguments, where it could."""
        if kind != "call" or not any(isinstance(argument, MUTABLE) for argument in parts[1]):
            return b""
        return self._values.encode(parts[1])


def _cannot_be_asked(*_: object) -> NoReturn:
    raise TypeError("what the tests keep to themselves cannot be used by a solution")


def _raised(error: Exception) -> tuple[Any, ...]:
    """An error as an answer. Its classes by name, the nearest that Python itself has first."""
    names = [kind.__name__ for kind in type(error).__mro__ if getattr(builtins, kind.__name__, None) is kind]
    try:
        words = [part if isinstance(part, str | int | float) else str(part) for part in error.args]
    except Exception:
        words = []
    return "raise", names, words, _traceback(error)


def _traceback(error: Exception) -> str:
    try:
        import traceback

        return "".join(traceback.format_exception(error))[-TRACEBACK_CHARACTERS:]
    except Exception:
        return ""


def _flush() -> None:
    with suppress(Exception):
        sys.stdout.flush()
