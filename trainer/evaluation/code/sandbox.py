"""Running code that nobody has read: every sample in processes of its own, shut in as far as the system allows.

    Sandbox.run(solution, test) ──► confinement/ (keeper) ──► candidate/ (judge ◄──► solution) ──► Outcome

| what a sample wants | namespace | rlimits |
|---|---|---|
| forge a pass | tests, expected values and verdict are in another process | the same on Linux, unless root |
| read files | Python and libraries only, in a root of its own | all that the user can read |
| write or delete files | 64 MB of its own, in memory | all that the user can write |
| devices | null, zero, full, random, urandom | all that the user may open |
| terminals | none has a name | the user's own |
| network, localhost too | none | no socket, on Linux |
| sockets of the machine by path or name | none has a name | no socket, on Linux |
| signals to other processes | cannot see them | to the user's own, its keeper too |
| look into other processes | cannot see them | refused on Linux, unless root |
| processes that outlive the sample | killed by the kernel | adopted and killed, on Linux |
| number of processes: 64 | limited | limited together with the user's own, not for root |
| memory of one process: 4 GB | limited | limited |
| memory of the whole sample: 4 GB | looked at every 25 ms | the same, unless it hides |
| file size, open files, wall time | limited | limited |
| environment, stdin, open descriptors | a short list, empty, none | the same |
| new namespaces, mounts, tracing, BPF, io_uring, keys | refused | refused on Linux |

"On Linux" of calls that are refused means x86-64 and 64-bit ARM. Root runs samples as nobody where everyone can read
Python's files and root may map users; elsewhere root's processes are not counted. Not defended: faults of the kernel,
what can be learned from time and load, memory that the kernel holds for a sample's pipes and sockets (64 open files
bound it), what a sample takes between two looks at its memory, and tests that trust more of the solution than its
answers (three of HumanEval's call a helper that the prompt defines, and a solution may define it anew).
This is a seat belt for code of language models; for an adversary, run it all in a machine of its own.
"""

from __future__ import annotations

import json
import logging
import math
import os
import secrets
import select
import site
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from schemas.errors import SettingsError
from trainer.evaluation.code.candidate import judge
from trainer.evaluation.code.confinement import filters, keeper, walls

logger = logging.getLogger(__name__)

KINDS = ("auto", "namespace", "rlimits")
PASSED = "passed"
STATUSES = (PASSED, "wrong", "error", "syntax", "memory", "timeout", "exited", "killed")
"""exited: ended on its own before the tests had passed. killed: by a signal, as after a segmentation fault."""
SAID = ("wrong", "error", "syntax", "memory", "exited", "killed")
OUTPUT_BYTES = 2048
ADDRESS_BYTES = 4 << 30
MEMORY_BYTES = 4 << 30
FILE_BYTES = 16 << 20
DIRECTORY_BYTES = 64 << 20
OPEN_FILES, PROCESSES = 64, 64
ROOT = str(Path(__file__).resolve().parents[3])
LAUNCH = """
import sys
path, name = sys.argv[1:3]
package = ""
for part in name.split(".")[:-1]:
    package, path = (package + "." + part).lstrip("."), path + "/" + part
    sys.modules[package] = type(sys)(package)
    sys.modules[package].__path__ = [path]
__import__(name)
sys.modules[name].main()
"""
"""How a module of ours becomes a program: its folders become packages; nothing else of them is run or on the path."""
LIBRARIES = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/nix/store", "/gnu/store", "/usr/share/zoneinfo"),
    *("/etc/ld.so.cache", "/etc/ld-musl-x86_64.path", "/etc/ld-musl-aarch64.path", "/etc/alternatives"),
    "/etc/localtime",
)
"""What Python and NumPy may need of the system, where it is there."""
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

    def run(self, solution: str, test: str, *, limit_seconds: float, entry_point: str = "") -> Outcome:
        """Run a solution and then its tests, both Python source, in at most `limit_seconds` of wall time.

        The tests find the names that the solution defines; of those that Python itself has, `entry_point` only.
        Safe to call from several threads. SettingsError where the sandbox cannot be built.
        """
        # Unpredictable on purpose, the only thing here that is.
        word = secrets.token_hex(16)
        with ExitStack() as stack:
            directory, job, output = walls.INSIDE, *(stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
            if not self.namespaces:
                temporary = tempfile.TemporaryDirectory(prefix="candidate-", ignore_cleanup_errors=True)
                directory = stack.enter_context(temporary)
            words = {"solution": solution, "test": test, "entry_point": entry_point, "word": word}
            job.write(json.dumps(words).encode())
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
        """The keeper's report, and what the judge wrote as its verdict."""
        verdict, say = os.pipe()
        try:
            orders = self._orders(directory, job.fileno(), output.fileno(), say, limit_seconds)
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    "-B",
                    "-c",
                    LAUNCH,
                    ROOT,
                    keeper.__name__,
                    json.dumps(orders),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                pass_fds=(job.fileno(), output.fileno(), say),
                env=_environment(directory),
                start_new_session=True,
            )
            with process:
                report = _report(process, limit_seconds)
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
        command = [sys.executable, "-P", "-s", "-B", "-c", LAUNCH, ROOT, judge.__name__, str(job), str(say)]
        return {
            "command": command,
            "directory": directory,
            "namespaces": self.namespaces,
            "shown": _shown() if self.namespaces else [],
            "limit_seconds": limit_seconds,
            "limits": {
                "CPU": math.ceil(limit_seconds) + 1,
                "AS": ADDRESS_BYTES,
                "FSIZE": FILE_BYTES,
                "NOFILE": OPEN_FILES,
                "NPROC": PROCESSES,
                "CORE": 0,
            },
            "memory_bytes": MEMORY_BYTES,
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
            too = "" if filters.architecture() else " and its network"
            logger.warning("warning: %s. Going on with rlimits: the files of this machine%s are open", error, too)
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


def _shown() -> list[str]:
    """The paths of this machine that a fresh Python with NumPy needs, and the candidate's program."""
    prefixes = (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)
    parts = ("lib", "lib64", "pyvenv.cfg")
    own = [sys.executable, str(Path(judge.__file__).parent), *site.getsitepackages()]
    paths = [*LIBRARIES, *own, *(os.path.join(prefix, part) for prefix in prefixes for part in parts)]
    shown = sorted(set(map(os.path.abspath, paths)))
    for path in shown:
        if reason := walls.why_not(path):
            raise SettingsError(
                f"the namespace sandbox cannot be built here: {reason}; have Python, its environment and this program "
                "in another directory, named without that link, or accept less with --sandbox rlimits"
            )
    return shown


def _report(process: subprocess.Popen[bytes], limit_seconds: float) -> dict[str, Any]:
    """What the keeper printed; its death, or its silence, counts as a time that ran out."""
    assert process.stdout is not None
    if select.select([process.stdout], [], [], limit_seconds + GRACE_SECONDS)[0]:
        line = process.stdout.readline()
        if line:
            return json.loads(line)
    process.kill()
    return {"setup": "", "code": 0, "signal": 0, "timeout": True, "memory": False}


def _status(report: dict[str, Any], said: str, word: str) -> str:
    if report["timeout"]:
        return "timeout"
    if report["memory"]:
        return "memory"
    if report["signal"]:
        return "killed"
    if report["code"] == 0 and said == word:
        return PASSED
    return said if said in SAID else "exited"


def _tail(output: IO[bytes]) -> str:
    size = os.fstat(output.fileno()).st_size
    return os.pread(output.fileno(), OUTPUT_BYTES, max(0, size - OUTPUT_BYTES)).decode(errors="replace")
