"""Wherever Python and its environment lie, the walls stand or one line says why they cannot."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trainer.evaluation.code.attacks import ATTACKS
from tests.trainer.evaluation.code.test_sandbox import walled

ROOT = Path(__file__).parents[4]
OPEN = """
import os, sys
from schemas.errors import SettingsError
from trainer.evaluation.code.sandbox import open_sandbox
os.umask(int(sys.argv[1], 8))
try:
    box = open_sandbox("namespace")
    code = "import os, sys\\nopen('x', 'w')\\nprint(oct(os.stat('x').st_mode), sys.prefix)\\ndef one(): return 1"
    print(box.run(code, "assert one() == 1", limit_seconds=20))
except SettingsError as error:
    print(error)
"""

pytestmark = walled


@pytest.fixture
def below_tmp() -> Iterator[Path]:
    """A directory below /tmp, wherever this machine's temporary files are."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="place-") as place:
        yield Path(place)


def environment(place: Path, *options: str) -> Path:
    """A virtual environment, without packages; its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", *options, str(place)], check=True)
    return place / "bin" / "python"


def says(python: str | Path, umask: str = "022") -> str:
    """The only line that opening a sandbox and running a sample there prints."""
    done = subprocess.run(
        [str(python), "-c", OPEN, umask], cwd=ROOT, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    return line


def passes(prefix: Path) -> str:
    return f"Outcome(status='passed', output='0o100644 {prefix}\\n')"


@pytest.mark.parametrize("user", ["root", "ordinary"])
def test_attacks_fail_from_an_environment_below_tmp(user: str, below_tmp: Path) -> None:
    if user == "root" and os.getuid() != 0:
        pytest.skip("only root can try what root may do")
    below_tmp.chmod(0o755)
    python = environment(below_tmp / "venv")
    command = [str(python), "-m", "tests.trainer.evaluation.code.attack_runner", user, "namespace", "files"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "unavailable" not in found, found
    for name, (status, output) in found["attacks"].items():
        assert status in ATTACKS[name].status.split() and ATTACKS[name].says in output, (name, output)
    assert len(found["attacks"]) > 20 and found["harm"] == []


@pytest.mark.parametrize("umask", ["022", "077"])
def test_an_environment_below_tmp_and_one_that_a_link_leads_to(below_tmp: Path, umask: str) -> None:
    python = environment(below_tmp / "venv")
    assert says(python, umask) == passes(below_tmp / "venv")
    (below_tmp / "link").symlink_to("venv")
    assert says(below_tmp / "link/bin/python", umask) == passes(below_tmp / "link")


def test_an_environment_elsewhere_that_a_link_below_tmp_leads_to(below_tmp: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        environment(Path(place, "venv"))
        (below_tmp / "link").symlink_to(Path(place, "venv"))
        assert says(below_tmp / "link/bin/python") == passes(below_tmp / "link")


@pytest.mark.parametrize("name", ["base", "base with é", "b\udce9se"])
def test_an_interpreter_below_tmp(below_tmp: Path, name: str) -> None:
    base, python = Path(sys.base_prefix), f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (below_tmp / name / "bin").mkdir(parents=True)
    shutil.copy(base / "bin" / python, below_tmp / name / "bin" / python)
    (below_tmp / name / "lib").symlink_to(base / "lib")
    if subprocess.run(
        [below_tmp / name / "bin" / python, "-c", "import _json"], stderr=subprocess.DEVNULL, check=False
    ).returncode:
        pytest.skip(
            "this Python loads no extensions from there itself, as 3.12.1 does not from names that are no UTF-8"
        )
    assert says(below_tmp / name / "bin" / python).startswith("Outcome(status='passed', output='0o100644 ")


@pytest.mark.skipif(os.getuid() != 0, reason="only root may write there")
@pytest.mark.parametrize("parent", ["/run", "/"])
def test_an_environment_in_other_places(parent: str) -> None:
    with tempfile.TemporaryDirectory(dir=parent, prefix="place-") as place:
        assert says(environment(Path(place, "venv"))) == passes(Path(place, "venv"))


def test_where_it_cannot_be_shown_one_line_says_why(below_tmp: Path) -> None:
    environment(below_tmp / "venv")
    link = Path(f"{below_tmp}-link")
    link.symlink_to(below_tmp / "venv")
    try:
        refused = says(link / "bin/python")
    finally:
        link.unlink()
    assert refused == (
        f"the namespace sandbox cannot be built here: {link}/bin/python leads through the link {link}, which a sample "
        "could replace; have Python, its environment and this program in another directory, named without that link, "
        "or accept less with --sandbox rlimits"
    )
    hidden = f"/proc/{os.getpid()}/root{below_tmp}/venv"
    refused = says(f"{hidden}/bin/python")
    assert f"here: {hidden}/bin/python lies in /proc, which has a sample's own processes only; have Python" in refused
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        refused = says(environment(Path(place, "venv")))
        assert f"here: {place}/venv/bin/python lies in /dev, which has five devices only; have Python" in refused
