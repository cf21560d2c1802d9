"""Runs the attacks as one user in one sandbox and prints, as JSON, how each ended and what was seen outside.

    python -m tests.trainer.evaluation.code.attack_runner root|ordinary namespace|rlimits|alone [files|sockets|...]

A program of its own, because a user cannot be changed back. `alone` runs, without a sandbox, the attacks that do no
harm: they must reach their end. Outside there are, for this run only: a file, a socket of every kind, a terminal, a
pipe and a process.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from schemas.errors import SettingsError
from tests.trainer.evaluation.code.attacks import ATTACKS, FORGED, Attack
from trainer.evaluation.code import sandbox
from trainer.evaluation.code.confinement.linux import CLONE_NEWNS, Libc

NOBODY = 65534
MARK = "mark3141 is what"
TEST = f"word = '{MARK} the tests say'\nassert isinstance(one(), int), 'no number'\nassert abs(one() - 1) < 1e-9\n"
TEST += "assert math.isclose(one(), 1)\n"
EQUAL_TEST = f"word = '{MARK} the tests say'\nassert one() == 1\n"
REACHED = "\nimport math\nprint('REACHED', flush=True)\ndef one():\n    return 1\n"
MEMORY_BYTES = 320 << 20
"""Of a whole sample here, so that a test of it is small."""


@contextmanager
def outside() -> Iterator[dict[str, Any]]:
    """What an attack could reach. After it, `harm` lists what was reached."""
    with ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="outside-", dir="/tmp"))
        host: dict[str, Any] = {name: f"{place}/{name}" for name in ("secret", "stream", "datagram", "pipe")}
        Path(host["secret"]).write_text("as it was")
        os.mkfifo(host["pipe"])
        shared = stack.enter_context(tempfile.NamedTemporaryFile(dir="/dev/shm"))
        home = stack.enter_context(tempfile.NamedTemporaryFile(dir="/var/tmp"))
        host |= {"shm": shared.name, "home_file": home.name, "abstract": os.path.basename(place), "harm": []}
        stream, datagram, abstract = (socket.socket(socket.AF_UNIX, kind) for kind in (1, 2, 1))
        stream.bind(host["stream"])
        datagram.bind(host["datagram"])
        abstract.bind("\0" + host["abstract"])
        machine = socket.create_server(("127.0.0.1", 0))
        host["port"] = machine.getsockname()[1]
        for one in (stream, abstract):
            one.listen(64)
        leader, terminal = os.openpty()
        host["terminal"] = os.ttyname(terminal)
        os.set_blocking(leader, False)
        secret = {"PATH": os.environ.get("PATH", ""), "TOKEN": "secret"}
        victim = stack.enter_context(subprocess.Popen(["sleep", "1000"], env=secret))
        host["victim"] = victim.pid
        try:
            yield host
            for name, one in (("stream", stream), ("abstract", abstract), ("machine", machine), ("datagram", datagram)):
                one.settimeout(0.01)
                with suppress(TimeoutError):
                    one.recv(16) if name == "datagram" else one.accept()
                    host["harm"].append(f"the {name} socket was reached")
            with suppress(BlockingIOError):
                host["harm"].append(f"the terminal got {os.read(leader, 16)!r}")
            if not os.path.exists(host["secret"]) or Path(host["secret"]).read_text() != "as it was":
                host["harm"].append("the file was changed")
            if victim.poll() is not None:
                host["harm"].append("the process was ended")
        finally:
            victim.kill()
            os.close(leader)
            os.close(terminal)
            for one in (stream, datagram, abstract, machine):
                one.close()


def source(name: str, attack: Attack, host: dict[str, Any]) -> str:
    """The solution that makes an attack."""
    names = {key: value for key, value in host.items() if key != "harm"}
    return f"HOST = {names!r}\n{attack.code}\n" + ("" if name in FORGED else REACHED)


def test_of(name: str) -> str:
    """The tests that an attack has to pass."""
    return EQUAL_TEST if name in FORGED and "equals" in name else TEST


def confined(kind: str, group: str = "") -> dict[str, Any]:
    """Every attack, or those of a group, in a sandbox: its status and output; and the harm that was done."""
    sandbox.MEMORY_BYTES = MEMORY_BYTES
    box = sandbox.Sandbox(namespaces=kind == "namespace")
    chosen = {name: attack for name, attack in ATTACKS.items() if kind == "namespace" or attack.rlimits}
    chosen = {name: attack for name, attack in chosen.items() if name.startswith(group)}
    # By rlimits alone all attacks share the limit on processes of their user, so they go one by one.
    with outside() as host, ThreadPoolExecutor(2 if kind == "namespace" else 1) as pool:

        def run(item: tuple[str, Attack]) -> list[str]:
            name, attack = item
            outcome = box.run(source(name, attack, host), test_of(name), limit_seconds=attack.seconds)
            return [outcome.status, outcome.output]

        box.run(REACHED, TEST, limit_seconds=30)
        found = dict(zip(chosen, pool.map(run, chosen.items()), strict=True))
    return {"attacks": found, "harm": host["harm"]}


def alone() -> dict[str, Any]:
    """Every harmless attack in a process of its own, solution and tests together as they used to be."""
    found = {}
    with outside() as host:
        for name, attack in ATTACKS.items():
            if attack.alone:
                code = source(name, attack, host)
                program = f"namespace = {{}}\nexec({code!r}, namespace)\nexec({test_of(name)!r}, namespace)"
                with tempfile.TemporaryDirectory() as place:
                    found[name] = _ends_well(program, place)
    return {"attacks": found, "harm": []}


def _ends_well(program: str, place: str) -> bool:
    """Whether a program ends with 0, or runs on for some seconds, as those that hold memory do; then it is ended."""
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        return process.wait(6) == 0
    except subprocess.TimeoutExpired:
        return True
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def become_ordinary() -> None:
    """From root to nobody. A directory that only root may enter and Python lies in is opened, for this process only."""
    libc = Libc()
    libc.call("unshare", CLONE_NEWNS)
    libc.make_private("/")
    wanted = [os.path.realpath(path) for path in (sys.base_prefix, sys.prefix, Path(__file__).parents[4])]
    for path in wanted:
        closed = [str(parent) for parent in Path(path).parents if not os.stat(parent).st_mode & 0o001]
        if closed:
            with tempfile.TemporaryDirectory() as aside:
                libc.bind(path, aside)
                libc.mount("tmpfs", closed[-1], 0, "mode=755")
                os.makedirs(path)
                libc.bind(aside, path)
                libc.call("umount2", os.fsencode(aside), 2)
    os.setgroups([])
    os.setresgid(*(NOBODY,) * 3)
    os.setresuid(*(NOBODY,) * 3)
    os.environ["HOME"] = "/nonexistent"


def main() -> None:
    """Run and print."""
    user, kind, *group = sys.argv[1:]
    if user == "ordinary" and os.getuid() == 0:
        become_ordinary()
    try:
        print(json.dumps(alone() if kind == "alone" else confined(kind, *group)))
    except SettingsError as error:
        print(json.dumps({"attacks": {}, "harm": [], "unavailable": str(error)}))


if __name__ == "__main__":
    main()
