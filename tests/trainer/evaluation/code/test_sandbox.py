"""The sandbox: right code passes; whatever else code may do, it fails, is stopped, and leaves nothing behind."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schemas.errors import SettingsError
from trainer.evaluation.code.sandbox import OUTPUT_BYTES, Outcome, Sandbox, _shown, open_sandbox

ROOT = Path(__file__).parents[4]
RIGHT = "def one():\n    return 1\n"
TEST = "assert one() == 1\n"
TAGS = itertools.count()


def sandboxes() -> list[Sandbox]:
    """Those that work on this machine."""
    found = [Sandbox(namespaces=False)]
    try:
        found.append(open_sandbox("namespace"))
    except SettingsError:
        return found
    return found


SANDBOXES = sandboxes()
WALLED = [sandbox for sandbox in SANDBOXES if sandbox.namespaces]
each = pytest.mark.parametrize("sandbox", SANDBOXES, ids=lambda sandbox: sandbox.kind)
walled = pytest.mark.skipif(not WALLED, reason="this machine does not permit namespaces")


def run(sandbox: Sandbox, solution: str, *, test: str = TEST, seconds: float = 20) -> Outcome:
    return sandbox.run(solution, test, limit_seconds=seconds)


def tagged(solution: str) -> tuple[str, str]:
    """A solution whose processes, and those that they start, carry a name that is new; and that name."""
    tag = f"cand{os.getpid() % 100000}x{next(TAGS)}"
    return f"import ctypes, os, time\nctypes.CDLL(None).prctl(15, b'{tag}', 0, 0, 0)\n{solution}", tag


def alive(tag: str) -> list[str]:
    """The pids of the processes of that name, dead ones that nobody has reaped left out."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = Path(f"/proc/{name}/stat").read_text()
        except OSError:
            continue
        if f"({tag})" in text and text.rpartition(")")[2].split()[0] != "Z":
            found.append(name)
    return found


@each
def test_right_code_passes_and_wrong_code_does_not(sandbox: Sandbox) -> None:
    assert run(sandbox, RIGHT) == Outcome(status="passed", output="")
    for solution, status in (
        ("def one():\n    return 2\n", "wrong"),
        ("def one():\n    return undefined\n", "error"),
        ("", "error"),
        ("def one(:\n", "syntax"),
        ('def one():\n    return 1\nx = """', "syntax"),
        ("def one():\n    return 1\0\n", "syntax"),
    ):
        assert run(sandbox, solution).status == status, solution


@each
def test_as_elsewhere_main_blocks_do_not_run(sandbox: Sandbox) -> None:
    assert run(sandbox, RIGHT + "if __name__ == '__main__':\n    raise SystemExit(3)\n").passed


@each
def test_usual_modules_work(sandbox: Sandbox) -> None:
    solution = """from __future__ import annotations
import dataclasses, tempfile, threading, typing
import numpy as np
@dataclasses.dataclass
class Point:
    x: int
def one():
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * 1000)
    found = []
    thread = threading.Thread(target=lambda: found.append(Point(1)))
    thread.start()
    thread.join()
    return int(np.array([found[0].x]).sum())
"""
    outcome = run(sandbox, solution)
    assert outcome.passed, outcome.output


@each
def test_processes_of_its_own_work(sandbox: Sandbox) -> None:
    solution = """
import asyncio, multiprocessing, subprocess, sys
def one():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map(abs, [-1, 0])
    command = [sys.executable, "-c", "print(1)"]
    said = subprocess.run(command, capture_output=True, text=True, env={}).stdout
    async def later():
        return 1
    return found[0] * int(said) * asyncio.run(later())
"""
    outcome = run(sandbox, solution)
    assert outcome.passed, outcome.output


HOSTILE = {
    "an endless loop": ("while True: pass", "timeout"),
    "an endless loop in C": ("import collections, itertools\ncollections.deque(itertools.repeat(0), 0)", "timeout"),
    "an endless loop that ignores signals": (
        "import signal\nfor s in range(1, 32):\n    try: signal.signal(s, signal.SIG_IGN)\n    except OSError: pass\n"
        "while True: pass",
        "timeout",
    ),
    "an endless sleep": ("import time\ntime.sleep(1000)", "timeout"),
    "a memory hog": ("x = bytearray(8 << 30)", "memory"),
    "a flood of output": ("while True: print('x' * 100000)", "error"),
    "a big file": ("open('big', 'wb').write(bytes(32 << 20))", "error"),
    "an early end": ("import os\nos._exit(0)", "exited"),
    "a polite early end": ("import sys\nsys.exit(0)", "exited"),
    "an early end in the test": ("import os\ndef one(): os._exit(0)", "exited"),
    "a segmentation fault": ("import ctypes\nctypes.string_at(0)", "killed"),
    "abort": ("import os\nos.abort()", "killed"),
    "closed descriptors": (f"import os\nos.closerange(0, 1000)\n{RIGHT}", "exited"),
    "reading stdin": ("input()", "error"),
    "too deep a recursion": ("def one(): return one()", "error"),
    "an exit from a thread": (
        "import os, threading\nthreading.Thread(target=lambda: os._exit(0)).start()\nwhile True: 0",
        "exited",
    ),
    "a forged word": (
        "import os\nfor fd in range(3, 64):\n    for word in (b'passed', b'0' * 32):\n        try: os.write(fd, word)\n"
        "        except OSError: pass\nos._exit(0)",
        "exited",
    ),
}


@each
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_code_fails_in_time(sandbox: Sandbox, case: str) -> None:
    code, status = HOSTILE[case]
    code, tag = tagged(code)
    begun = time.monotonic()
    outcome = run(sandbox, code, seconds=0.7 if status == "timeout" else 20)
    assert outcome.status == status, outcome.output
    assert time.monotonic() - begun < 20
    assert len(outcome.output) <= OUTPUT_BYTES
    assert alive(tag) == []


DAEMON = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(0)
os.wait()
"""
BOMB = "for _ in range(7): os.fork()\ntime.sleep(1000)"
"""128 processes at most: root is not held to a number, and this machine is shared."""


@each
@pytest.mark.parametrize("end", ["os._exit(0)", RIGHT, "time.sleep(1000)"], ids=["exit", "right", "wait"])
def test_a_daemon_does_not_outlive_its_sample(sandbox: Sandbox, end: str) -> None:
    code, tag = tagged(DAEMON + end)
    outcome = run(sandbox, code, seconds=1 if end.startswith("time") else 20)
    assert outcome.passed == (end == RIGHT)
    assert alive(tag) == []


@each
def test_a_fork_bomb_is_cleared_away(sandbox: Sandbox) -> None:
    code, tag = tagged(BOMB)
    assert not run(sandbox, code, seconds=1).passed
    assert alive(tag) == []


@each
@pytest.mark.parametrize(("body", "passed"), [("return 1", True), ("return 2", False)])
def test_a_forked_twin_answers_for_nobody(sandbox: Sandbox, body: str, passed: bool) -> None:
    """It ends where it would answer, and the answers of the first process count."""
    code, tag = tagged(f"pid = os.fork()\nif pid: os.waitpid(pid, 0)\ndef one():\n    {body}\n")
    assert run(sandbox, code).passed == passed
    assert alive(tag) == []


@each
def test_the_environment_holds_no_secret(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    outcome = run(sandbox, "import os, sys\nprint(sorted(os.environ), sys.stdin.read() == '', flush=True)\n1/0")
    known = "['HOME', 'LANG', 'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'PYTHONHASHSEED', 'TMPDIR'] True"
    assert outcome.output.splitlines()[0] == known
    # Where Python lies below /tmp, its place is there too.
    python = sorted({path.split("/")[2] for path in _shown() if path.startswith("/tmp/")} if sandbox.namespaces else ())
    code = "import os\nprint(sorted(os.listdir('.')), os.getcwd() == os.environ['HOME'])\n"
    assert run(sandbox, code + RIGHT).output == f"{python} True\n"


@walled
def test_no_environment_of_another_process_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "30"], env={**os.environ, "HF_TOKEN": "hf_secret"}) as other:
        code = f"""
import glob, os
found = sorted(glob.glob("/proc/[0-9]*"))
assert found == ["/proc/1", f"/proc/{{os.getpid()}}"], found
assert b"secret" not in open("/proc/self/environ", "rb").read()
try:
    open("/proc/1/environ", "rb")
except PermissionError:
    print("cannot be read")
try:
    os.kill({other.pid}, 9)
except ProcessLookupError:
    print("cannot be seen")
{RIGHT}"""
        outcome = run(WALLED[0], code)
        assert (outcome.status, outcome.output) == ("passed", "cannot be read\ncannot be seen\n")
        assert other.poll() is None
        other.kill()


@walled
def test_there_is_no_network_not_even_to_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        code = f"import socket\nsocket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 1)\n{RIGHT}"
        outcome = run(WALLED[0], code)
        assert outcome.status == "error" and "OSError" in outcome.output
        with pytest.raises(TimeoutError):
            server.accept()


@walled
def test_nothing_outside_can_be_written_or_deleted(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("as it was")
    nowhere, fixed = "No such file or directory", "Read-only file system"
    for attempt, says in (
        (f"import os\nos.remove({str(kept)!r})", nowhere),
        (f"open({str(kept)!r}, 'w').write('other')", nowhere),
        (f"open({str(tmp_path / 'new')!r}, 'w')", nowhere),
        (f"import os\nos.chmod({str(kept)!r}, 0)", nowhere),
        (f"import os\nos.rename({str(kept)!r}, {str(tmp_path / 'moved')!r})", nowhere),
        (f"import shutil\nshutil.rmtree({str(tmp_path)!r})", nowhere),
        ("open('/proc/sys/kernel/hostname', 'w').write('other')", nowhere),
        ("open('/new', 'w')", fixed),
        ("import os\nos.mkdir('/dev/new')", fixed),
        ("import os\nos.unlink('/dev/null')", fixed),
        ("import os\nopen(os.path.dirname(os.__file__) + '/new', 'w')", ""),
        ("import os\nopen(os.__file__, 'a')", ""),
    ):
        outcome = run(WALLED[0], f"{attempt}\n{RIGHT}")
        assert outcome.status == "error", attempt
        assert says in outcome.output, attempt
    assert kept.read_text() == "as it was"
    assert os.listdir(tmp_path) == ["kept"]


@walled
def test_what_built_the_walls_cannot_unbuild_them() -> None:
    code = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
for name, words in (("mount", (None, b"/", None, 32, None)), ("umount2", (b"/proc", 2)), ("sethostname", (b"x", 1))):
    assert getattr(libc, name)(*words) == -1 and ctypes.get_errno() == errno.EPERM
caps = [line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapPrm", "CapEff", "CapAmb"))]
assert caps == ["0" * 16] * 3
"""
    outcome = run(WALLED[0], code + RIGHT)
    assert outcome.passed, outcome.output


@walled
def test_files_of_a_sample_stay_in_memory_and_are_few() -> None:
    code = "for i in range(8):\n    open(f'f{i}', 'wb').write(bytes(15 << 20))\n"
    outcome = run(WALLED[0], code + RIGHT)
    assert outcome.status == "error" and "No space left" in outcome.output


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="only root can try what root may do")
def test_root_is_not_stopped_by_rlimits() -> None:
    """As the table says: without walls root can read the judge's memory, and so the tests."""
    code = "import os\nopen(f'/proc/{os.getppid()}/mem', 'rb').close()\n"
    assert run(Sandbox(namespaces=False), code + RIGHT).passed
    assert all(not run(sandbox, code + RIGHT).passed for sandbox in WALLED)


def test_with_rlimits_files_and_processes_of_the_user_are_open(tmp_path: Path) -> None:
    """As the table says: this is what rlimits do not defend."""
    kept = tmp_path / "kept"
    kept.write_text("as it was")
    with subprocess.Popen(["sleep", "30"]) as other:
        code = f"import os\nopen({str(kept)!r}, 'w').write('other')\nos.kill({other.pid}, 15)\n{RIGHT}"
        assert run(Sandbox(namespaces=False), code).passed
        assert other.wait(10) == -15
    assert kept.read_text() == "other"


def test_tests_find_what_the_solution_defines(tmp_path: Path) -> None:
    box = SANDBOXES[-1]
    solution = """
import collections, fractions, math
class Pair:
    def __init__(self, a, b): self.a, self.b = a, b
def widest(pairs): return max(pairs, key=lambda pair: pair.b - pair.a)
def sort(values): values[0]["x"].sort(); values.append(len(values))
def numbers():
    yield from range(3)
def adder(n): return lambda m: m + n
def fails(): raise KeyError("k")
def decodes(): b"\\xff".decode()
def count(text): return collections.Counter(text)
def half(): return fractions.Fraction(1, 2)
def sum(a): return -1
LIMIT = 7
"""
    test = """
pair = widest([Pair(1, 2), Pair(1, 5)])
assert (pair.a, pair.b) == (1, 5) and pair != Pair(1, 5)
values = [{"x": [3, 1, 2]}]
inner = values[0]["x"]
sort(values)
assert values == [{"x": [1, 2, 3]}, 1] and values[0]["x"] is inner
assert list(numbers()) == [0, 1, 2] and 1 in numbers()
assert adder(2)(3) == 5 and LIMIT == 7
try: fails()
except KeyError as error: assert error.args == ("k",)
else: assert False
try: decodes()
except ValueError: pass
else: assert False
assert count("aab") == {"a": 2, "b": 1} and half() == 0.5
assert math.floor(2.5) == 2
"""
    outcome = box.run(solution, test + "assert sum([1]) == 1\n", limit_seconds=20)
    assert outcome.passed, outcome.output
    outcome = box.run(solution, test + "assert sum([1]) == -1\n", limit_seconds=20, entry_point="sum")
    assert outcome.passed, outcome.output


def test_a_failure_shows_where_the_solution_failed() -> None:
    outcome = run(SANDBOXES[-1], "def one():\n    return {}['missing']\n")
    assert outcome.status == "error"
    assert 'File "solution.py", line 2, in one' in outcome.output and "KeyError: 'missing'" in outcome.output


@each
def test_equal_runs_are_equal(sandbox: Sandbox) -> None:
    code = "print(hash('seeded'), {'b', 'a', 'c'})\n" + RIGHT
    assert len({run(sandbox, code).output for _ in range(3)}) == 1


@each
def test_threads_may_share_a_sandbox(sandbox: Sandbox) -> None:
    codes = [RIGHT.replace("1", str(number % 3)) for number in range(9)]
    with ThreadPoolExecutor(3) as pool:
        passed = list(pool.map(lambda code: run(sandbox, code).passed, codes))
    assert passed == [number % 3 == 1 for number in range(9)]


@each
def test_no_directory_is_left(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for code in (RIGHT, "import os\nos.makedirs('a/b')\nopen('a/b/c', 'w')\nos.chmod('a', 0)\n" + RIGHT):
        assert run(sandbox, code).passed
        assert os.listdir(tmp_path) == []


@each
def test_samples_die_with_the_one_who_asked(sandbox: Sandbox, tmp_path: Path) -> None:
    code, tag = tagged("time.sleep(1000)")
    asker = f"""
from trainer.evaluation.code.sandbox import Sandbox
Sandbox(namespaces={sandbox.namespaces}).run({code!r}, "", limit_seconds=60)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", asker], cwd=ROOT, env=environment) as process:
        assert _soon(lambda: bool(alive(tag)))
        process.send_signal(signal.SIGKILL)
    assert _soon(lambda: not alive(tag))
    assert _soon(lambda: not os.listdir(tmp_path)), "its directory is left"


def _soon(holds: object, seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


def test_auto_says_when_it_has_to_take_less(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    whole = Sandbox.run

    def without_namespaces(sandbox: Sandbox, *arguments: str, **options: float) -> Outcome:
        if sandbox.namespaces:
            raise SettingsError("the namespace sandbox cannot be built here: unshare: Operation not permitted")
        return whole(sandbox, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Sandbox, "run", without_namespaces)
    assert open_sandbox("auto") == Sandbox(namespaces=False)
    assert "Going on with rlimits: the files of this machine" in caplog.text
    with pytest.raises(SettingsError, match="unshare: Operation not permitted"):
        open_sandbox("namespace")


@walled
@pytest.mark.skipif(os.getuid() != 0, reason="only root may map the users of a namespace to root alone")
def test_in_a_container_that_maps_one_user_and_where_there_are_no_more_namespaces() -> None:
    """Both for real, in a user namespace of the test's own."""
    program = """
from pathlib import Path
from schemas.errors import SettingsError
from trainer.evaluation.code.confinement.linux import CLONE_NEWUSER, Libc
from trainer.evaluation.code.sandbox import Sandbox, open_sandbox
Libc().call("unshare", CLONE_NEWUSER)
for name, text in (("setgroups", "deny"), ("uid_map", "0 0 1"), ("gid_map", "0 0 1")):
    Path("/proc/self", name).write_text(text)
assert open_sandbox("namespace") == Sandbox(namespaces=True)
Path("/proc/sys/user/max_user_namespaces").write_text("0")
try:
    open_sandbox("namespace")
except SettingsError as error:
    print(error)
assert open_sandbox("auto") == Sandbox(namespaces=False)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith("the namespace sandbox cannot be built here: ") and "--sandbox rlimits" in line
    assert done.stderr.startswith("warning: ") and done.stderr.count("\n") == 1


def test_an_unknown_sandbox_is_refused() -> None:
    with pytest.raises(SettingsError, match="sandbox 'docker' is unknown; choose one of auto, namespace, rlimits"):
        open_sandbox("docker")
