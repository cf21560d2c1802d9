"""Running code that nobody has read: every sample in a process of its own, shut in as far as the system allows.

    Sandbox.run(solution, test) ──► confinement.py (keeper) ──► candidate.py (solution, test, word) ──► Outcome

| what | namespace | rlimits |
|---|---|---|
| network, localhost too | none | open |
| writing and deleting outside its directory | refused | open |
| processes that outlive the sample | killed by the kernel | adopted and killed, on Linux |
| signals to other processes | cannot see them | to the user's own |
| memory, file size, open files, CPU seconds, wall time | limited | limited |
| environment, stdin, open descriptors | a short list, empty, none | the same |

Number of processes: 64, which the system does not enforce for root; there a fork bomb lives until the wall time is over
(with namespaces and Linux 6.14 it stays below 400). Not defended in either mode: reading files that the user can read,
a solution that searches its own process for the word or tampers with what the tests import. This is a seat belt for
code of language models, not a wall against an adversary; for that, run it all in a machine of its own.
"""

from __future__ import annotations

import json
import logging
import math
import os
import secrets
import select
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from schemas.errors import SettingsError

logger = logging.getLogger(__name__)

KINDS = ("auto", "namespace", "rlimits")
PASSED = "passed"
STATUSES = (PASSED, "wrong", "error", "syntax", "memory", "timeout", "exited", "killed")
"""exited: ended on its own before the tests had passed. killed: by a signal, as after a segmentation fault."""
SAID = ("wrong", "error", "syntax", "memory")
OUTPUT_BYTES = 2048
ADDRESS_BYTES = 4 << 30
FILE_BYTES = 16 << 20
DIRECTORY_BYTES = 64 << 20
OPEN_FILES, PROCESSES = 64, 64
GRACE_SECONDS = 15.0
"""How long the keeper may take beyond the limit before it is killed itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How one run ended."""

    status: str
    """One of STATUSES."""
    output: str
    """The last 2 KB of stdout and stderr together."""

    @property
    def passed(self) -> bool:
        """Whether the tests passed."""
        return self.status == PASSED


@dataclass(frozen=True, kw_only=True, slots=True)
class Sandbox:
    """A way of running samples; `open_sandbox` makes one that works on this machine."""

    namespaces: bool

    @property
    def kind(self) -> str:
        """`namespace` or `rlimits`."""
        return "namespace" if self.namespaces else "rlimits"

    def run(self, solution: str, test: str, *, limit_seconds: float) -> Outcome:
        """Run a solution and then its tests, both Python source, in at most `limit_seconds` of wall time.

        Safe to call from several threads. SettingsError where the sandbox cannot be built.
        """
        # Unpredictable on purpose, the only thing here that is: a solution must not know the word.
        word = secrets.token_hex(16)
        with (
            tempfile.TemporaryDirectory(prefix="candidate-", ignore_cleanup_errors=True) as directory,
            tempfile.TemporaryFile() as job,
            tempfile.TemporaryFile() as output,
        ):
            job.write(json.dumps({"solution": solution, "test": test, "word": word}).encode())
            job.flush()
            report, said = self._keep(directory, job, output, limit_seconds)
            if report["setup"]:
                raise SettingsError(
                    f"the {self.kind} sandbox cannot be built here: {report['setup']}; "
                    "run as a user who may make user namespaces, or accept less with --sandbox rlimits"
                )
            return Outcome(status=_status(report, said, word), output=_tail(output))

    def _keep(
        self, directory: str, job: IO[bytes], output: IO[bytes], limit_seconds: float
    ) -> tuple[dict[str, Any], str]:
        """The keeper's report, and what the candidate wrote as its verdict."""
        verdict, say = os.pipe()
        try:
            orders = self._orders(directory, job.fileno(), output.fileno(), say, limit_seconds)
            keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", str(_file("confinement.py")), json.dumps(orders)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                pass_fds=(job.fileno(), output.fileno(), say),
                env=_environment(directory),
                start_new_session=True,
            )
            with keeper:
                report = _report(keeper, limit_seconds)
            os.set_blocking(verdict, False)
            try:
                said = os.read(verdict, 4096)
            except BlockingIOError:
                said = b""
        finally:
            os.close(verdict)
            os.close(say)
        return report, said.decode("ascii", errors="replace")

    def _orders(self, directory: str, job: int, output: int, say: int, limit_seconds: float) -> dict[str, Any]:
        candidate = [sys.executable, "-P", "-s", "-B", str(_file("candidate.py")), str(job), str(say)]
        return {
            "command": candidate,
            "directory": directory,
            "namespaces": self.namespaces,
            "limit_seconds": limit_seconds,
            "limits": {
                "CPU": math.ceil(limit_seconds) + 1,
                "AS": ADDRESS_BYTES,
                "FSIZE": FILE_BYTES,
                "NOFILE": OPEN_FILES,
                "NPROC": PROCESSES,
                "CORE": 0,
            },
            "directory_bytes": DIRECTORY_BYTES,
            "output": output,
            "keep": [job, say],
        }


def open_sandbox(kind: str = "auto") -> Sandbox:
    """A sandbox that works here; `auto` takes namespaces where they are permitted and warns where they are not."""
    if kind not in KINDS:
        raise SettingsError(f"sandbox {kind!r} is unknown; choose one of {', '.join(KINDS)}")
    if kind != "rlimits":
        try:
            _must_work(Sandbox(namespaces=True))
            return Sandbox(namespaces=True)
        except SettingsError as error:
            if kind == "namespace":
                raise
            logger.warning("warning: %s. Going on with rlimits: network and files of this machine are open", error)
    _must_work(Sandbox(namespaces=False))
    return Sandbox(namespaces=False)


def _must_work(sandbox: Sandbox) -> None:
    """SettingsError unless a right solution passes."""
    outcome = sandbox.run("def one():\n    return 1\n", "assert one() == 1\n", limit_seconds=30)
    if not outcome.passed:
        raise SettingsError(
            f"the {sandbox.kind} sandbox does not let a right solution pass here: {outcome.status}, "
            f"{outcome.output.strip()[-200:]!r}; try the other --sandbox"
        )


def _environment(directory: str) -> dict[str, str]:
    """All that a candidate finds. Isolated mode (-I) would ignore the hash seed; -P -s and this list stand for it."""
    return {
        "HOME": directory,
        "TMPDIR": directory,
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _file(name: str) -> Path:
    return Path(__file__).resolve().with_name(name)


def _report(keeper: subprocess.Popen[bytes], limit_seconds: float) -> dict[str, Any]:
    """What the keeper printed; its death, or its silence, counts as a time that ran out."""
    assert keeper.stdout is not None
    if select.select([keeper.stdout], [], [], limit_seconds + GRACE_SECONDS)[0]:
        line = keeper.stdout.readline()
        if line:
            return json.loads(line)
    keeper.kill()
    return {"setup": "", "code": 0, "signal": 0, "timeout": True}


def _status(report: dict[str, Any], said: str, word: str) -> str:
    if report["timeout"]:
        return "timeout"
    if report["signal"]:
        return "killed"
    if report["code"] == 0 and said == word:
        return PASSED
    return said if said in SAID else "exited"


def _tail(output: IO[bytes]) -> str:
    size = os.fstat(output.fileno()).st_size
    return os.pread(output.fileno(), OUTPUT_BYTES, max(0, size - OUTPUT_BYTES)).decode(errors="replace")
