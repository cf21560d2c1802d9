"""Attacks on the sandbox by root and by an ordinary user: none reaches its end, and nothing outside is touched."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.evaluation.code import test_sandbox
from tests.trainer.evaluation.code.attacks import ATTACKS
from trainer.evaluation.code import sandbox

ROOT = Path(__file__).parents[4]
SLOW = pytest.mark.slow
OWN = "root" if os.getuid() == 0 else "ordinary"
users = pytest.mark.parametrize("user", [OWN, pytest.param("ordinary" if OWN == "root" else "root", marks=SLOW)])


@functools.cache
def ran(user: str, kind: str) -> dict[str, Any]:
    """What became of all attacks by a user."""
    if user == "root" and OWN != "root":
        pytest.skip("only root can try what root may do")
    if sys.platform != "linux":
        pytest.skip("the walls are Linux's")
    command = [sys.executable, "-m", "tests.trainer.evaluation.code.attack_runner", user, kind]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def attacks(user: str, kind: str) -> dict[str, Any]:
    found = ran(user, kind)
    if "unavailable" in found:
        pytest.skip(found["unavailable"])
    return found


def test_there_are_enough() -> None:
    assert len(ATTACKS) >= 100
    assert sum(attack.alone for attack in ATTACKS.values()) >= 30


@users
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_fails_behind_the_walls(name: str, user: str) -> None:
    status, output = attacks(user, "namespace")["attacks"][name]
    assert status in ATTACKS[name].status.split(), output
    assert ATTACKS[name].says in output
    assert "REACHED" not in output


@SLOW
@pytest.mark.parametrize("user", ["root", "ordinary"])
@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.rlimits])
def test_with_rlimits_an_attack_ends_as_the_table_says(name: str, user: str) -> None:
    attack = ATTACKS[name]
    status, output = attacks(user, "rlimits")["attacks"][name]
    expected = attack.rlimits_root if user == "root" and attack.rlimits_root else attack.rlimits
    assert status in expected.split(), output
    assert ("REACHED" in output) == (status == "passed")


@SLOW
@pytest.mark.parametrize("user", ["root", "ordinary"])
def test_without_a_sandbox_they_are_attacks(user: str) -> None:
    found = attacks(user, "alone")["attacks"]
    # Root may start any number of processes, an ordinary user of this machine perhaps not.
    few = {"resources: many processes"} if user == "ordinary" else set()
    assert [name for name, works in found.items() if not works and name not in few] == []


@pytest.mark.parametrize(
    ("user", "kind"),
    [(OWN, "namespace"), *(pytest.param(*pair, marks=SLOW) for pair in (
        ("ordinary" if OWN == "root" else "root", "namespace"), ("root", "rlimits"), ("ordinary", "rlimits")
    ))],
)  # fmt: skip
def test_nothing_outside_was_touched(user: str, kind: str) -> None:
    harm = attacks(user, kind)["harm"]
    if kind == "rlimits":
        # The table says so.
        harm = [what for what in harm if "terminal" not in what]
    assert harm == []


LINES = {
    "forge a pass": ("forgeries: ", "test_root_is_not_stopped_by_rlimits"),
    "read files": ("files: read",),
    "write or delete files": ("files: ", "test_with_rlimits_files_and_processes_of_the_user_are_open"),
    "devices": ("devices: ",),
    "terminals": ("devices: write to the terminal", "devices: read the terminal"),
    "network, localhost too": ("sockets: connect to this machine", "sockets: connect by IPv6"),
    "sockets of the machine by path or name": ("sockets: connect to a socket", "sockets: connect to an abstract"),
    "signals to other processes": (
        "processes: kill", "test_with_rlimits_files_and_processes_of_the_user_are_open",
    ),
    "look into other processes": ("processes: read", "processes: trace", "test_no_environment_of_another_process"),
    "processes that outlive the sample": ("resources: a daemon", "test_a_daemon_does_not_outlive_its_sample"),
    "number of processes: 64": ("resources: many processes", "resources: many threads"),
    "memory of one process: 4 GB": ("resources: 8 GB at once",),
    "memory of the whole sample: 4 GB": ("resources: memory in many children", "resources: memory in mappings"),
    "file size, open files, wall time": (
        "resources: a large file", "resources: many open files", "resources: an endless loop",
    ),
    "environment, stdin, open descriptors": ("test_the_environment_holds_no_secret", "files: read through an open"),
    "new namespaces, mounts, tracing, BPF, io_uring, keys": (
        "processes: make new namespaces", "files: mount", "processes: trace", "processes: load a program",
        "sockets: open sockets by io_uring", "processes: use the keys",
    ),
}  # fmt: skip
"""Each line of the sandbox's table, and what shows that it is true: beginnings of attacks' and tests' names."""


def test_every_line_of_the_table_is_tested() -> None:
    table = [line for line in (sandbox.__doc__ or "").splitlines() if line.startswith("| ")][1:]
    assert [line.split("|")[1].strip() for line in table] == list(LINES)
    there = [*ATTACKS, *vars(test_sandbox)]
    for line, names in LINES.items():
        for name in names:
            assert any(other.startswith(name) for other in there), f"{line}: {name}"
