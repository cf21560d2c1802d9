"""What of this machine the process may use: CPUs and memory, by which defaults and refusals go.

A container, SLURM or `taskset` may give a process less than there is: some of the CPUs, a quota of their time for its
control group, or a limit of the group's memory. Threads beyond that wait for each other; memory beyond it ends the
process.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

CGROUPS = Path("/sys/fs/cgroup")
"""Where Linux mounts the control groups."""
OWN_CGROUPS = Path("/proc/self/cgroup")
"""What Linux says of this process's: lines of number:controllers:path, without controllers for version 2."""
MEMORY = Path("/proc/meminfo")
"""What Linux says of the machine's memory."""
_UNREADABLE = (OSError, ValueError, KeyError, ZeroDivisionError)


def usable_cpus() -> int:
    """CPUs that this process may use, at least 1; a quota is rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [allowed]
    for directory, version in _groups("cpu"):
        with suppress(*_UNREADABLE):
            if version == 1:
                quota_us, period_us = _text(directory, "cpu.cfs_quota_us"), _text(directory, "cpu.cfs_period_us")
            else:
                quota_us, period_us = _text(directory, "cpu.max").split()
            if quota_us not in ("-1", "max"):
                quotas.append(math.ceil(int(quota_us) / int(period_us)))
    return max(1, min(quotas))


def memory_bytes() -> int:
    """Memory that this process may use, itself and what else is in its control groups."""
    limits = (limit for _, _, limit in _memory_limits())
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *limits])


def available_memory_bytes() -> int:
    """Memory that this process can still take: without swapping, and within the limits of its control groups.

    Where the system does not say what is free, as macOS does not, all of it.
    """
    try:
        values = dict(line.split(":") for line in MEMORY.read_text("ascii").splitlines())
        free = int(values["MemAvailable"].split()[0]) << 10
    except _UNREADABLE:
        free = memory_bytes()
    for directory, version, limit in _memory_limits():
        with suppress(*_UNREADABLE):
            used = int(_text(directory, "memory.usage_in_bytes" if version == 1 else "memory.current"))
            stat = dict(line.split() for line in _text(directory, "memory.stat").splitlines())
            # Files that were read count as used, and give way.
            used -= int(stat["total_inactive_file" if version == 1 else "inactive_file"])
            free = min(free, limit - used)
    return max(0, free)


def _memory_limits() -> Iterator[tuple[Path, int, int]]:
    """Directory, version and limit, in bytes, of the control groups that have one."""
    for directory, version in _groups("memory"):
        with suppress(*_UNREADABLE):
            limit = _text(directory, "memory.limit_in_bytes" if version == 1 else "memory.max")
            if limit != "max":
                yield directory, version, int(limit)


def _groups(controller: str) -> Iterator[tuple[Path, int]]:
    """Directory and version of this process's control groups with a controller, and of those above them."""
    with suppress(*_UNREADABLE):
        for line in OWN_CGROUPS.read_text("utf-8", errors="replace").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            # In a container the path may be the host's; of its groups the last one is seen, as the root.
            for group in (PurePosixPath(path), *PurePosixPath(path).parents):
                yield CGROUPS / controllers / group.relative_to("/"), 1 if controllers else 2


def _text(directory: Path, name: str) -> str:
    return (directory / name).read_text("utf-8").strip()
