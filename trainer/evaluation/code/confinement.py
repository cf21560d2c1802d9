"""The keeper of one sample: a program of its own that shuts a candidate in, waits, kills and reports.

    sandbox.py ──argv, job, lifeline──► this file ──fork, exec──► candidate.py

With namespaces the candidate is pid 1 of its own and has no network, no capabilities and nothing to write on but a
small tmpfs; it cannot see or signal this process, and when it ends, the kernel kills all that it started. Without them
there are resource limits only, and this process adopts and kills what is left.

argv[1] is JSON, see `Orders`. stdin is the lifeline: when it closes, the one who asked is gone and the candidate dies.
stdout gets one line of JSON: {"setup": error or "", "code": exit status, "signal": number, "timeout": bool}.
Only the standard library, as it runs before anything else is there, and is not imported by the rest.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_REC, MS_PRIVATE = 1 << 14, 1 << 18
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, AT_FDCWD, AT_RECURSIVE = 1, 2, -100, 0x8000
SYS_MOUNT_SETATTR = 442
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
COVERED = ("/run", "/tmp/.X11-unix")
"""Sockets live here: a read-only mount does not keep anyone from connecting to them."""
INSIDE_ID = 1000
"""User and group inside: not 0, so that exec drops the capabilities that building the walls took."""
MAX_PIDS = 400
"""Of a pid namespace, where the kernel (6.14) counts them per namespace; it keeps the first 300 numbers to itself."""


class Orders(NamedTuple):
    """What the asker wants."""

    command: list[str]
    """Of the candidate."""
    directory: str
    """An empty directory, the only one that the candidate may write to."""
    namespaces: bool
    limit_seconds: float
    limits: dict[str, int]
    """Names of `resource`, RLIMIT_ left out, and their values."""
    directory_bytes: int
    """Size of the tmpfs over `directory`."""
    output: int
    """File descriptor for the candidate's stdout and stderr."""
    keep: list[int]
    """Further descriptors that the candidate inherits."""


class Libc:
    """The few system calls that the standard library of Python 3.11 lacks."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def call(self, name: str, *arguments: Any) -> None:
        """Call by name; OSError, which names the call, where it fails."""
        if getattr(self._libc, name)(*arguments) < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"{name}: {os.strerror(code)}")

    def prctl(self, option: int, value: int) -> None:
        """Set an attribute of this process."""
        self.call("prctl", option, ctypes.c_ulong(value), *(ctypes.c_ulong(0),) * 3)

    def mount(self, kind: str | None, where: str, flags: int, options: str = "") -> None:
        """Mount a file system of some kind, or with kind None change the mount at `where`."""
        words = (kind or "none", where, kind) if kind else ("none", where, None)
        source, target, type_ = (word.encode() if word is not None else None for word in words)
        self.call("mount", source, target, type_, ctypes.c_ulong(flags), options.encode())

    def make_read_only(self) -> None:
        """Every mount below the root."""
        attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0, 0, 0)
        self.call(
            "syscall", ctypes.c_long(SYS_MOUNT_SETATTR), ctypes.c_int(AT_FDCWD), b"/", ctypes.c_uint(AT_RECURSIVE),
            ctypes.byref(attributes), ctypes.c_size_t(ctypes.sizeof(attributes)),
        )  # fmt: skip


def main() -> int:
    """Run the candidate under the orders and print the report."""
    orders = Orders(**json.loads(sys.argv[1]))
    libc = Libc() if sys.platform == "linux" else None
    report = {"setup": "", "code": 0, "signal": 0, "timeout": False}
    try:
        if orders.namespaces:
            _leave_namespaces(libc)
        elif libc:
            libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
        with _Children() as children:
            pid = _start(orders, libc)
            report |= children.wait_for(pid, orders.limit_seconds)
    except OSError as error:
        report["setup"] = str(error)
    if not orders.namespaces:
        _kill_what_is_left()
    print(json.dumps(report), flush=True)
    return 0


def _leave_namespaces(libc: Libc | None) -> None:
    """Into fresh ones. The pid namespace takes effect for children only."""
    if libc is None:
        raise OSError("namespaces are Linux's")
    user, group = os.getuid(), os.getgid()
    libc.call("unshare", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{INSIDE_ID} {user} 1")
    _write("/proc/self/gid_map", f"{INSIDE_ID} {group} 1")


def _start(orders: Orders, libc: Libc | None) -> int:
    """Fork the candidate; its pid once it runs its own program, OSError where its walls could not be built."""
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(told)
            _become_candidate(orders, libc)
        except BaseException as error:
            os.write(tell, str(error).encode()[:1000])
        finally:
            os._exit(125)
    os.close(tell)
    with os.fdopen(told, "rb") as file:
        problem = file.read()
    if problem:
        os.waitpid(pid, 0)
        raise OSError(problem.decode(errors="replace"))
    return pid


def _become_candidate(orders: Orders, libc: Libc | None) -> None:
    """Build the walls from inside and exec; returns only by an exception."""
    os.setsid()
    if libc:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if orders.namespaces and libc:
        _build_walls(orders, libc)
    if libc:
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1)
    os.chdir(orders.directory)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(orders.output, 1)
    os.dup2(orders.output, 2)
    os.set_inheritable(orders.output, False)
    for descriptor in orders.keep:
        os.set_inheritable(descriptor, True)
    for name, value in sorted(orders.limits.items()):
        _limit(getattr(resource, f"RLIMIT_{name}"), value)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.execv(orders.command[0], orders.command)


def _build_walls(orders: Orders, libc: Libc) -> None:
    """Nothing can be written, but a tmpfs over the directory; /proc shows this pid namespace only, and no socket."""
    libc.mount(None, "/", MS_REC | MS_PRIVATE)
    libc.make_read_only()
    inner = MS_NOSUID | MS_NODEV
    for path in COVERED:
        if os.path.isdir(path) and not os.path.islink(path) and not orders.directory.startswith(path + "/"):
            libc.mount("tmpfs", path, inner | MS_NOEXEC | MS_RDONLY, "size=4096")
    libc.mount("tmpfs", orders.directory, inner, f"size={orders.directory_bytes},mode=700")
    try:
        libc.mount("proc", "/proc", inner | MS_NOEXEC)
    except OSError:
        # Some containers mask parts of /proc and so forbid a new one. None at all hides the machine's just as well.
        libc.mount("tmpfs", "/proc", inner | MS_NOEXEC | MS_RDONLY, "size=4096")
        return
    with suppress(OSError):
        _write("/proc/sys/kernel/pid_max", str(MAX_PIDS))
    libc.mount(None, "/proc", MS_REMOUNT | MS_RDONLY | MS_NOEXEC | inner)


def _limit(which: int, value: int) -> None:
    """Lower a limit, soft and hard; never above the hard limit in force."""
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    # macOS refuses some of them; what can be set is set.
    with suppress(ValueError, OSError):
        resource.setrlimit(which, (value, value))


class _Children:
    """Waits for a child, the clock or the end of the lifeline, whichever comes first."""

    def __enter__(self) -> _Children:
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)

    def wait_for(self, pid: int, limit_seconds: float) -> dict[str, Any]:
        """How the child ended. At the limit, or when the asker is gone, it is killed."""
        deadline = time.monotonic() + limit_seconds
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            left = deadline - time.monotonic()
            ready = select.select([0, self._woken], [], [], left)[0] if left > 0 else []
            if self._woken in ready:
                os.read(self._woken, 4096)
            elif not ready or not os.read(0, 4096):
                _kill(pid)
                os.waitpid(pid, 0)
                return {"timeout": True}
        if os.WIFSIGNALED(ended[1]):
            return {"signal": os.WTERMSIG(ended[1])}
        return {"code": os.WEXITSTATUS(ended[1])}


def _kill(pid: int) -> None:
    """A child, and its process group."""
    for kill in (os.kill, os.killpg):
        _quietly(kill, pid)


def _quietly(kill: Callable[[int, int], None], pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        kill(pid, signal.SIGKILL)


def _kill_what_is_left(most_seconds: float = 5.0) -> None:
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


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


if __name__ == "__main__":
    sys.exit(main())
