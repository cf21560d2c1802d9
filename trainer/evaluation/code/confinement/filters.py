"""Which system calls a sample may make: a seccomp filter, in the kernel, for x86-64 and 64-bit ARM.

A list of what is refused rather than of what is allowed: Python and NumPy must run on kernels and C libraries that are
not known here. Refused are all sockets but those of the sample's own (path names lead nowhere in the small root), and
what reaches into other processes, mounts, loads, traces, or holds memory that belongs to no process. A refused call
fails with an error, as it would where the kernel lacks it; nobody is killed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Iterator

from trainer.evaluation.code.confinement.linux import PR_SET_SECCOMP, Libc

SECCOMP_MODE_FILTER = 2
AF_UNIX, SOCK_STREAM, SOCK_TYPE_MASK = 1, 1, 0xF
S_IFMT, S_IFCHR, S_IFBLK = 0o170000, 0o020000, 0o060000
NEW_NAMESPACES = 0x7E020080
"""The bits of clone's flags that ask for a namespace."""
TIOCSTI, TIOCLINUX = 0x5412, 0x541C

_LOAD, _EQUAL, _SET, _AND, _RETURN = 0x20, 0x15, 0x45, 0x54, 0x06
"""Of classic BPF: load a word, jump if equal, jump if any bit is set, and, return."""
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COMMON = {
    "pidfd_getfd": 438, "process_madvise": 440,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442, "quotactl_fd": 443,
    "memfd_secret": 447, "process_mrelease": 448, "statmount": 457, "listmount": 458, "open_tree_attr": 467,
}  # fmt: skip
REFUSED = {
    "x86_64": _COMMON | {
        "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "mount": 165, "umount2": 166,
        "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308, "bpf": 321, "perf_event_open": 298,
        "userfaultfd": 323, "keyctl": 250, "add_key": 248, "request_key": 249, "kexec_load": 246,
        "kexec_file_load": 320, "init_module": 175, "finit_module": 313, "delete_module": 176, "reboot": 169,
        "swapon": 167, "swapoff": 168, "quotactl": 179, "acct": 163, "syslog": 103, "settimeofday": 164,
        "clock_settime": 227, "adjtimex": 159, "clock_adjtime": 305, "sethostname": 170, "setdomainname": 171,
        "iopl": 172, "ioperm": 173, "modify_ldt": 154, "name_to_handle_at": 303, "open_by_handle_at": 304,
        "fanotify_init": 300, "vhangup": 153, "memfd_create": 319, "shmget": 29, "msgget": 68, "semget": 64,
        "mq_open": 240, "personality": 135, "uselib": 134, "vmsplice": 278, "move_pages": 279, "migrate_pages": 256,
    },
    "aarch64": _COMMON | {
        "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "mount": 40, "umount2": 39,
        "pivot_root": 41, "chroot": 51, "unshare": 97, "setns": 268, "bpf": 280, "perf_event_open": 241,
        "userfaultfd": 282, "keyctl": 219, "add_key": 217, "request_key": 218, "kexec_load": 104,
        "kexec_file_load": 294, "init_module": 105, "finit_module": 273, "delete_module": 106, "reboot": 142,
        "swapon": 224, "swapoff": 225, "quotactl": 60, "acct": 89, "syslog": 116, "settimeofday": 170,
        "clock_settime": 112, "adjtimex": 171, "clock_adjtime": 266, "sethostname": 161, "setdomainname": 162,
        "name_to_handle_at": 264, "open_by_handle_at": 265, "fanotify_init": 262, "vhangup": 58, "memfd_create": 279,
        "shmget": 194, "msgget": 186, "semget": 190, "mq_open": 180, "personality": 92, "vmsplice": 75,
        "move_pages": 239, "migrate_pages": 238,
    },
}  # fmt: skip
"""Architecture to the numbers of calls that fail with EPERM."""
JUDGED = {
    "x86_64": {"socket": 41, "socketpair": 53, "clone": 56, "clone3": 435, "ioctl": 16, "mknod": 133, "mknodat": 259},
    "aarch64": {"socket": 198, "socketpair": 199, "clone": 220, "clone3": 435, "ioctl": 29, "mknodat": 33},
}
"""Architecture to the numbers of calls that depend on their arguments."""
Step = tuple[int, int, int, int]
"""An instruction: code, jump where true, jump where false, constant."""


def architecture() -> str:
    """The machine's, where there is a filter for it; else empty, as on other systems and 32-bit programs."""
    if sys.platform != "linux" or sys.maxsize < 1 << 32:
        return ""
    machine = os.uname().machine
    return machine if machine in ARCHITECTURES else ""


def install(libc: Libc, *, unix_sockets: bool) -> bool:
    """Filter this process and all that it starts; needs PR_SET_NO_NEW_PRIVS. unix_sockets: whether path names are safe.

    False where there is no filter for this machine or its kernel has none.
    """
    machine = architecture()
    if not machine:
        return False
    steps = list(program(machine, unix_sockets=unix_sockets))
    packed = b"".join(
        code.to_bytes(2, sys.byteorder) + bytes([true, false]) + value.to_bytes(4, sys.byteorder)
        for code, true, false, value in steps
    )
    buffer = ctypes.create_string_buffer(packed, len(packed))
    header = _Program(len(steps), ctypes.addressof(buffer))
    try:
        libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(header))
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOSYS):
            return False
        raise
    return True


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]


def program(machine: str, *, unix_sockets: bool) -> Iterator[Step]:
    """The filter's instructions. Every rule loads what it looks at, so they can stand in any order."""
    yield from _unless(_ARCHITECTURE, ARCHITECTURES[machine], errno.EPERM)
    yield _load(_NUMBER)
    if machine == "x86_64":
        # Calls of the x32 kind have other numbers.
        yield from ((_SET, 0, 1, 0x40000000), _refuse(errno.EPERM))
    for number in sorted(REFUSED[machine].values()):
        yield from ((_EQUAL, 0, 1, number), _refuse(errno.EPERM))
    for name, number in sorted(JUDGED[machine].items()):
        rule = list(_rule(name, unix_sockets))
        yield from ((_EQUAL, 0, len(rule), number), *rule)
    yield (_RETURN, 0, 0, _ALLOW)


def _rule(name: str, unix_sockets: bool) -> Iterator[Step]:
    """What follows once the call is known to be `name`; ends by allowing."""
    if name == "clone3":
        # Its flags lie in memory, where a filter cannot look; the C library then takes clone.
        yield _refuse(errno.ENOSYS)
        return
    if name == "clone":
        yield from (_load(_argument(0)), (_SET, 0, 1, NEW_NAMESPACES), _refuse(errno.EPERM))
    elif name == "ioctl":
        yield _load(_argument(1))
        for request in (TIOCSTI, TIOCLINUX):
            yield from ((_EQUAL, 0, 1, request), _refuse(errno.EPERM))
    elif name in ("mknod", "mknodat"):
        yield from (_load(_argument(2 if name == "mknodat" else 1)), (_AND, 0, 0, S_IFMT))
        for kind in (S_IFCHR, S_IFBLK):
            yield from ((_EQUAL, 0, 1, kind), _refuse(errno.EPERM))
    elif name == "socket" and not unix_sockets:
        yield _refuse(errno.EAFNOSUPPORT)
        return
    else:
        yield from _unless(_argument(0), AF_UNIX, errno.EAFNOSUPPORT)
        if name == "socketpair" and not unix_sockets:
            # One end of a pair of datagram sockets can send to any path.
            yield from (_load(_argument(1)), (_AND, 0, 0, SOCK_TYPE_MASK), (_EQUAL, 1, 0, SOCK_STREAM))
            yield _refuse(errno.EAFNOSUPPORT)
    yield (_RETURN, 0, 0, _ALLOW)


def _unless(where: int, value: int, code: int) -> tuple[Step, ...]:
    return _load(where), (_EQUAL, 1, 0, value), _refuse(code)


def _load(where: int) -> Step:
    return (_LOAD, 0, 0, where)


def _argument(number: int) -> int:
    """Where the lower 32 bits of an argument lie; both architectures are little-endian."""
    return _ARGUMENTS + 8 * number


def _refuse(code: int) -> Step:
    return (_RETURN, 0, 0, _ERRNO | code)
