"""The keeper of one sample: a program of its own that shuts a candidate in, waits, kills and reports.

    sandbox.py ──argv, job, lifeline──► this file ──fork, exec──► candidate/

With namespaces the candidate is pid 1 of its own and has no network, no capabilities, a root of its own and nothing to
write on but a small tmpfs; it cannot see or signal this process, and when it ends, the kernel kills all that it
started. Root becomes nobody for it. Without them there are resource limits and, on Linux, the filter of system calls
only, and this process adopts and kills what is left.

argv[-1] is JSON, see `Orders`. stdin is the lifeline: when it closes, the one who asked is gone and the candidate dies.
stdout gets one line of JSON: {"setup": error or "", "code": exit status, "signal": number, "timeout": bool, "memory":
bool}.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from contextlib import suppress
from types import SimpleNamespace

from trainer.evaluation.code.confinement import filters, walls
from trainer.evaluation.code.confinement.children import Watch, kill_what_is_left
from trainer.evaluation.code.confinement.linux import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    Libc,
)

INSIDE_ID, NOBODY = 1000, 65534
"""User and group inside: not 0, so that exec drops the capabilities that building the walls took. Whose they are."""


class Orders(SimpleNamespace):
    """What the asker wants."""

    command: list[str]
    """Of the candidate."""
    directory: str
    """Where the candidate works: inside the small root, or an empty directory of this machine."""
    namespaces: bool
    shown: list[str]
    """With namespaces: paths of this machine that the candidate may see."""
    limit_seconds: float
    limits: dict[str, int]
    """Names of `resource`, RLIMIT_ left out, and their values."""
    memory_bytes: int
    """Most memory that all processes of the sample may hold together."""
    directory_bytes: int
    """Size of the tmpfs over `directory`."""
    output: int
    """File descriptor for the candidate's stdout and stderr."""
    keep: list[int]
    """Further descriptors that the candidate inherits."""


def main() -> int:
    """Run the candidate under the orders and print the report."""
    orders = Orders(**json.loads(sys.argv[-1]))
    libc = Libc() if sys.platform == "linux" else None
    report = {"setup": "", "code": 0, "signal": 0, "timeout": False, "memory": False}
    try:
        becomes = False
        if orders.namespaces:
            becomes = _leave_namespaces(libc, orders)
        elif libc:
            libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
        with Watch(orders.limit_seconds, orders.memory_bytes, namespaces=orders.namespaces) as watch:
            report |= watch.wait_for(_start(orders, libc, becomes))
    except OSError as error:
        report["setup"] = str(error)
    if not orders.namespaces:
        kill_what_is_left()
        if report.pop("deserted", False):
            _remove(orders.directory)
    print(json.dumps(report), flush=True)
    return 0


def _leave_namespaces(libc: Libc | None, orders: Orders) -> bool:
    """Into fresh ones; whether the candidate must still change its user. The pid namespace is for children only."""
    if libc is None:
        raise OSError("namespaces are Linux's")
    user, group = os.getuid(), os.getgid()
    mapper = _Mapper() if user == 0 and _everyone_can_run(orders) else None
    flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
    try:
        libc.call("unshare", flags)
    finally:
        mapped = mapper.finish() if mapper else False
    if not mapped:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{INSIDE_ID} {user} 1")
        _write("/proc/self/gid_map", f"{INSIDE_ID} {group} 1")
    return mapped


def _everyone_can_run(orders: Orders) -> bool:
    """Whether users other than root can read Python and the candidate's program."""
    paths = [orders.command[0], os.__file__, __file__, *orders.shown]
    return all(os.stat(path).st_mode & 0o004 for path in paths if os.path.exists(path))


class _Mapper:
    """A child that stays outside and tells the kernel who is who inside: root is root, the candidate is nobody.

    Only root of the outer user namespace may map a user other than itself.
    """

    def __init__(self) -> None:
        keeper = os.getpid()
        asked, self._ask = os.pipe()
        self._pid = os.fork()
        if self._pid:
            os.close(asked)
            return
        os.close(self._ask)
        code = 1
        with suppress(OSError):
            os.read(asked, 1)
            for name in ("uid_map", "gid_map"):
                _write(f"/proc/{keeper}/{name}", f"0 0 1\n{INSIDE_ID} {NOBODY} 1\n")
            code = 0
        os._exit(code)

    def finish(self) -> bool:
        """Map now; whether it was permitted."""
        os.close(self._ask)
        return os.waitpid(self._pid, 0)[1] == 0


def _start(orders: Orders, libc: Libc | None, becomes: bool) -> int:
    """Fork the candidate; its pid once it runs its own program, OSError where its walls could not be built."""
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(told)
            _become_candidate(orders, libc, becomes)
        except BaseException as error:
            os.write(tell, (str(error) or type(error).__name__).encode(errors="replace")[:1000])
        finally:
            os._exit(125)
    os.close(tell)
    with os.fdopen(told, "rb") as file:
        problem = file.read()
    if problem:
        os.waitpid(pid, 0)
        raise OSError(problem.decode(errors="replace"))
    return pid


def _become_candidate(orders: Orders, libc: Libc | None, becomes: bool) -> None:
    """Build the walls from inside and exec; returns only by an exception."""
    os.setsid()
    # Whatever it is outside, everyone inside can walk the small root, and equal samples make equal files.
    os.umask(0o022)
    with suppress(OSError):
        # Where the machine runs out of memory, the sample goes first.
        _write("/proc/self/oom_score_adj", "1000")
    os.fchmod(orders.output, 0o666)
    if orders.namespaces and libc:
        walls.build_root(libc, orders.shown, size=orders.directory_bytes, owner=INSIDE_ID)
    if becomes:
        os.setgroups([])
        os.setresgid(*(INSIDE_ID,) * 3)
        os.setresuid(*(INSIDE_ID,) * 3)
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
    if libc:
        # After the change of user, which would clear it.
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1)
        filters.install(libc, unix_sockets=orders.namespaces)
    os.execv(orders.command[0], orders.command)


def _limit(which: int, value: int) -> None:
    """Lower a limit, soft and hard; never above the hard limit in force."""
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    # macOS refuses some of them; what can be set is set.
    with suppress(ValueError, OSError):
        resource.setrlimit(which, (value, value))


def _remove(directory: str) -> None:
    """What the asker would have removed, had it not been killed."""
    import shutil

    shutil.rmtree(directory, ignore_errors=True)


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
