"""How much memory a sample's processes hold together, read from /proc.

The limit of each process (RLIMIT_AS) does not bound the sum. A control group would, but its memory controller is
seldom in an ordinary user's hands, so the keeper looks every few hundredths of a second and ends the sample.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_ANONYMOUS_SHARED = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) ...s \S+ (\S+) (\d+) +(?:/dev/zero|/memfd:|/SYSV)", re.M)
"""A mapping whose pages belong to no file: begin, end, device, inode."""


def processes(namespaces: bool) -> list[int]:
    """Pids of the sample's processes: all of /proc where that is its own, else what descends from this process."""
    if not namespaces:
        return list(_descendants(os.getpid()))
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def used_bytes(pids: list[int], enough: int) -> int:
    """Bytes that the processes hold together; an upper bound of them where that is at most `enough`.

    Shared pages count once, and memory shared without a file with its whole size, touched or not.
    """
    at_most = sum(pages for pages, _ in map(_pages, pids)) * _PAGE
    if at_most <= enough:
        return at_most
    shared: dict[tuple[bytes, bytes], int] = {}
    total = 0
    for pid in pids:
        total += _own_bytes(pid)
        for begin, end, device, inode in _ANONYMOUS_SHARED.findall(_read(f"/proc/{pid}/maps")):
            key = (device, inode)
            shared[key] = max(shared.get(key, 0), int(end, 16) - int(begin, 16))
    return total + sum(shared.values())


def _own_bytes(pid: int) -> int:
    """Resident memory, a shared page in equal parts to those who share it; without the kernel's help in full."""
    sizes = {line.split()[0]: int(line.split()[1]) for line in _read(f"/proc/{pid}/smaps_rollup").splitlines()[1:]}
    if b"Pss:" not in sizes:
        return _pages(pid)[1] * _PAGE
    return 1024 * (sizes[b"Pss:"] - sizes.get(b"Pss_Shmem:", 0))


def _pages(pid: int) -> tuple[int, int]:
    """Pages of address space, and resident ones; none for a process that has ended."""
    words = _read(f"/proc/{pid}/statm").split()
    return (int(words[0]), int(words[1])) if len(words) > 1 else (0, 0)


def _descendants(pid: int) -> Iterator[int]:
    for child in map(int, _read(f"/proc/{pid}/task/{pid}/children").split()):
        yield child
        yield from _descendants(child)


def _read(path: str) -> bytes:
    with suppress(OSError), open(path, "rb") as file:
        return file.read()
    return b""
