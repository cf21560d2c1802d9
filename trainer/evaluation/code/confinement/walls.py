"""The small root: all that a sample can name. Built in namespaces of its own, where the keeper may mount.

    /                 a tmpfs, read-only, with these in it and nothing else
    Python's places   bound, read-only, no devices, no set-user-id; the symbolic links that lead to them are made again
    /dev              null, zero, full, random, urandom; fd, stdin, stdout, stderr; shm, which is /tmp
    /proc             the sample's own processes and no more; empty where the system permits no new one
    /tmp              a tmpfs, the only place to write; working directory, home, temporary files. Where Python lies
                      below /tmp, each name that leads there is a mount of its own, read-only, that stays where it is

The old root is left by pivot_root and unmounted, so no path, no working directory and no descriptor leads back to it:
sockets, terminals, home and temporary files of the machine have no name here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

from trainer.evaluation.code.confinement.linux import (
    ATTR_NODEV,
    ATTR_NOEXEC,
    ATTR_NOSUID,
    ATTR_RDONLY,
    MNT_DETACH,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    Libc,
)

BUILT_AT = "/proc"
"""Where the new root is mounted until it is the root: every system has this directory, and nothing is shown from it."""
INSIDE = "/tmp"
DEVICES = ("null", "zero", "full", "random", "urandom")
LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "shm": INSIDE}
FILES = 16384
"""Most files in `INSIDE`: the kernel's memory for their names counts nowhere else."""
MOST_LINKS = 40
TAKEN = {"/proc": "which has a sample's own processes only", "/dev": "which has five devices only"}
"""Places of the small root that cannot show what this machine has there."""


def why_not(path: str) -> str:
    """Why what lies at an absolute path cannot be shown to a sample; empty where it can."""
    for step, target in _steps(path):
        place = "/" + step.split("/")[1]
        if place in TAKEN:
            return f"{path} lies in {place}, {TAKEN[place]}"
        if target and (step == INSIDE or os.path.dirname(step) == INSIDE):
            return f"{path} leads through the link {step}, which a sample could replace"
    return f"{path} is all of {INSIDE}" if os.path.realpath(path) in ("/", INSIDE) else ""


def _steps(path: str) -> Iterator[tuple[str, str]]:
    """What leads to an absolute path: (name, where it points if it is a link), the place itself last.

    Without a link on the way this is /a, /a/b, /a/b/c. Links that run in a circle lead nowhere, to no steps at all.
    """
    todo, here, found = path.split("/")[::-1], "", list[tuple[str, str]]()
    links = 0
    while todo:
        name = todo.pop()
        step = f"{here}/{name}"
        if name in ("", "."):
            continue
        if name == "..":
            here = here.rpartition("/")[0]
        elif os.path.islink(step):
            links += 1
            if links > MOST_LINKS:
                return
            target = os.readlink(step)
            found.append((step, target))
            here = "" if target.startswith("/") else here
            todo += target.split("/")[::-1]
        else:
            here = step
            found.append((step, ""))
    yield from found


def build_root(libc: Libc, shown: Iterable[str], *, size: int, owner: int) -> None:
    """Make the small root that of this mount namespace. shown: absolute paths; size: of /tmp in bytes; owner: of /tmp.

    OSError names the step that the system refuses.
    """
    libc.make_private("/")
    root = _Root(libc, BUILT_AT)
    for path in sorted(shown, key=lambda path: (len(path), path)):
        root.show(path)
    root.make_devices()
    root.make_proc()
    root.make_inside(f"size={size},nr_inodes={FILES},mode=700,uid={owner},gid={owner}")
    os.chdir(root.at)
    libc.call("pivot_root", b".", b".")
    libc.call("umount2", b".", MNT_DETACH)
    os.chdir("/")


class _Root:
    """A tmpfs that becomes the root."""

    def __init__(self, libc: Libc, at: str) -> None:
        self._libc, self.at = libc, at
        self._bound: list[str] = []
        libc.mount("tmpfs", at, MS_NOSUID | MS_NODEV, "size=1m,mode=755")

    def show(self, path: str) -> None:
        """Bind what lies at a path, and make the links and directories on the way; nothing where there is nothing."""
        here = ""
        for step, target in _steps(path):
            if not target:
                here = step
            elif not self._covered(step) and not os.path.lexists(self.at + step):
                os.makedirs(self.at + os.path.dirname(step), exist_ok=True)
                os.symlink(target, self.at + step)
        if here and os.path.exists(here) and not self._covered(here):
            self._bind(here, self.at + here, ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV)
            self._bound.append(here)

    def make_devices(self) -> None:
        """Five device files that hold nothing, and the usual links. Everything else is mounted without devices."""
        for name in DEVICES:
            if os.path.exists(f"/dev/{name}"):
                self._bind(f"/dev/{name}", f"{self.at}/dev/{name}", ATTR_RDONLY | ATTR_NOSUID | ATTR_NOEXEC)
        for name, target in LINKS.items():
            os.symlink(target, f"{self.at}/dev/{name}")

    def make_proc(self) -> None:
        """Processes only (Linux 5.8), else all of it; some containers mask parts of /proc and so forbid a new one."""
        os.mkdir(f"{self.at}/proc")
        for options in ("subset=pid", ""):
            with suppress(OSError):
                self._libc.mount("proc", f"{self.at}/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, options)
                return

    def make_inside(self, options: str) -> None:
        """Close the root and lay the one place to write over it; what is shown below that place stays in sight.

        The sample owns the place, but a name where something is mounted can be neither renamed nor removed.
        """
        place = self.at + INSIDE
        os.makedirs(place, exist_ok=True)
        self._libc.add_attributes(self.at, ATTR_RDONLY | ATTR_NOSUID)
        shown = os.listdir(place)
        # The working directory stays below the new mount.
        os.chdir(place)
        self._libc.mount("tmpfs", place, MS_NOSUID | MS_NODEV, options)
        for name in shown:
            self._bind(name, f"{place}/{name}", ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV)

    def _covered(self, path: str) -> bool:
        return any(path == bound or path.startswith(bound + "/") for bound in self._bound)

    def _bind(self, source: str, place: str, attributes: int) -> None:
        if os.path.isdir(source):
            os.makedirs(place, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o444))
        self._libc.bind(source, place)
        self._libc.add_attributes(place, attributes)
