"""CPUs and memory of this process: less than the machine's where it is kept to a part of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schemas import machine
from schemas.machine import available_memory_bytes, memory_bytes, usable_cpus

SAY = "from schemas.machine import *; print(usable_cpus(), memory_bytes(), available_memory_bytes())"
ROOT = Path(__file__).parents[2]
MB = 1 << 20
SOME = 10 * MB
"""Less than any machine has."""

Group = Callable[..., None]


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Group:
    """groups(own, path=…, name__of_file=text): what the kernel says of this process, and a control group's files."""
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)

    def write(own: str, path: str = "", **files: str) -> None:
        (tmp_path / "own").write_text(f"{own}\n")
        (tmp_path / path).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (tmp_path / path / name.replace("__", ".")).write_bytes(f"{text}\n".encode(errors="surrogateescape"))

    return write


def test_without_limits_it_is_the_machine(groups: Group) -> None:
    everything = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert (usable_cpus(), memory_bytes()) == (64, everything)
    assert SOME < available_memory_bytes() <= everything
    groups("0::/pod\n3:memory:/other", "pod", cpu__max="max 100000", memory__max="max")
    assert (usable_cpus(), memory_bytes()) == (64, everything)


@pytest.mark.parametrize(("maximum", "count"), [("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1)])
def test_limits_of_version_2(groups: Group, maximum: str, count: int) -> None:
    stat = f"anon 5\ninactive_file {MB}\nactive_file 7"
    limits = {"memory__max": f"{SOME}", "memory__current": f"{4 * MB}", "memory__stat": stat}
    groups("0::/pod/one", "pod/one", cpu__max=maximum, **limits)
    groups("0::/pod/one", "pod", cpu__max="6400000 100000", memory__max=f"{2 * SOME}")
    assert (usable_cpus(), memory_bytes(), available_memory_bytes()) == (count, SOME, SOME - 3 * MB)


def test_limits_of_version_1(groups: Group) -> None:
    own = "4:cpuset:/\n3:memory:/pod\n2:cpu,cpuacct:/pod\n0::/"
    groups(own, "cpu,cpuacct/pod", cpu__cfs_quota_us="250000", cpu__cfs_period_us="100000")
    stat = f"inactive_file 1\ntotal_inactive_file {2 * MB}"
    limits = {"memory__limit_in_bytes": f"{SOME}", "memory__usage_in_bytes": f"{4 * MB}", "memory__stat": stat}
    groups(own, "memory/pod", **limits)
    assert (usable_cpus(), memory_bytes(), available_memory_bytes()) == (3, SOME, SOME - 2 * MB)
    unlimited = {"memory__limit_in_bytes": "9223372036854771712"}
    groups(own, "cpu,cpuacct/pod", cpu__cfs_quota_us="-1")
    groups(own, "memory/pod", **unlimited)
    assert usable_cpus() == 64 and memory_bytes() > SOME


def test_a_system_that_says_nothing(groups: Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As macOS: no /proc, no affinity."""
    monkeypatch.setattr(machine, "MEMORY", tmp_path / "nothing")
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert usable_cpus() == 5
    assert available_memory_bytes() == memory_bytes()


def test_a_group_above_may_have_less(groups: Group) -> None:
    groups("0::/pod/one", "pod/one", cpu__max="800000 100000", memory__max=f"{2 * SOME}")
    groups("0::/pod/one", "pod", cpu__max="300000 100000", memory__max=f"{SOME}")
    assert (usable_cpus(), memory_bytes()) == (3, SOME)


def test_in_a_container_the_group_is_the_root(groups: Group) -> None:
    groups("0::/docker/0123/of the host", "", cpu__max="400000 100000", memory__max=f"{SOME}")
    assert (usable_cpus(), memory_bytes()) == (4, SOME)


@pytest.mark.parametrize("text", ["", "max", "two 100000", "1 0", "1 2 3", "\udce9"])
def test_what_cannot_be_read_is_no_limit(groups: Group, text: str) -> None:
    groups("nothing\n0::/")
    assert usable_cpus() == 64
    groups("0::/", "", cpu__max=text, memory__max=text)
    assert usable_cpus() == 64 and memory_bytes() > SOME
    groups("0::/", "", cpu__max=text, memory__max=f"{SOME}", memory__current=text)
    assert SOME == memory_bytes() < available_memory_bytes()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone keeps a process to some CPUs")
def test_a_process_that_is_kept_to_one() -> None:
    def keep() -> None:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    said = subprocess.run([sys.executable, "-c", SAY], cwd=ROOT, preexec_fn=keep, capture_output=True, check=True)
    assert said.stdout.split()[0] == b"1"


@contextmanager
def kernels_group(*kinds: tuple[str, str, str]) -> Iterator[Path]:
    """A control group of the kernel's own, of the first kind (mount, file, limit) that can be made here."""
    for mount, name, limit in kinds:
        place = Path(mount, f"test-machine-{os.getpid()}")
        try:
            place.mkdir()
        except OSError:
            continue
        try:
            try:
                (place / name).write_text(limit)
            except OSError:
                continue
            yield place
            return
        finally:
            place.rmdir()
    pytest.skip("no such control group can be made here")


def said_in(group: Path) -> list[int]:
    """CPUs, memory and available memory, as a process in the control group finds them."""
    join = f"echo $$ > {group}/cgroup.procs && exec {sys.executable} -c '{SAY}'"
    return [int(word) for word in subprocess.check_output(["sh", "-c", join], cwd=ROOT).split()]


def test_a_quota_of_the_kernels_own() -> None:
    kinds = ("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "50000"), ("/sys/fs/cgroup", "cpu.max", "50000 100000")
    with kernels_group(*kinds) as group:
        assert said_in(group)[0] == 1


def test_a_memory_limit_of_the_kernels_own() -> None:
    limit = f"{200 * MB}"
    kinds = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", limit), ("/sys/fs/cgroup", "memory.max", limit)
    with kernels_group(*kinds) as group:
        _, most, available = said_in(group)
        assert most == 200 * MB and 100 * MB < available < most
