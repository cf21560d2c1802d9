"""The few system calls of Linux that the standard library of Python 3.11 lacks, by ctypes."""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND = 2, 4, 8, 4096
MS_REC, MS_PRIVATE = 1 << 14, 1 << 18
MNT_DETACH = 2
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV, ATTR_NOEXEC = 1, 2, 4, 8
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
SYS_MOUNT_SETATTR = 442
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 22, 36, 38


class Libc:
    """The C library of this process."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def call(self, name: str, *arguments: Any) -> None:
        """Call by name; OSError, which names the call, where it fails."""
        if getattr(self._libc, name)(*arguments) < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"{name}: {os.strerror(code)}")

    def prctl(self, option: int, value: int, pointer: Any = None) -> None:
        """Set an attribute of this process."""
        self.call("prctl", option, ctypes.c_ulong(value), pointer or ctypes.c_ulong(0), *(ctypes.c_ulong(0),) * 2)

    def mount(self, kind: str, where: str, flags: int, options: str = "") -> None:
        """A new file system of some kind."""
        self._mount(kind, where, kind, flags, options)

    def bind(self, source: str, where: str) -> None:
        """Show what lies at `source`, with all that is mounted below it, at `where` too."""
        self._mount(source, where, None, MS_BIND | MS_REC)

    def make_private(self, where: str) -> None:
        """Nothing that is mounted below `where` from now on is seen outside."""
        self._mount("none", where, None, MS_REC | MS_PRIVATE)

    def add_attributes(self, where: str, attributes: int) -> None:
        """Add ATTR_ bits to the mount at `where` and to all below it (Linux 5.12)."""
        new = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
        self.call(
            "syscall", ctypes.c_long(SYS_MOUNT_SETATTR), ctypes.c_int(AT_FDCWD), os.fsencode(where),
            ctypes.c_uint(AT_RECURSIVE), ctypes.byref(new), ctypes.c_size_t(ctypes.sizeof(new)),
        )  # fmt: skip

    def _mount(self, source: str, where: str, kind: str | None, flags: int, options: str = "") -> None:
        type_ = kind.encode() if kind else None
        self.call("mount", os.fsencode(source), os.fsencode(where), type_, ctypes.c_ulong(flags), os.fsencode(options))
