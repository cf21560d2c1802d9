"""The programs of docs/examples run, on a small dataset, as their docstrings say."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = sorted((ROOT / "docs/examples").glob("*.py"))


def test_there_are_three_short_examples() -> None:
    assert len(EXAMPLES) == 3
    assert all(len(path.read_text("utf-8").splitlines()) <= 30 for path in EXAMPLES)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_command_of_an_example_runs(path: Path, workplace: Path) -> None:
    pytest.importorskip("pandas")
    (command,) = re.findall(r"^ *python (-m docs\.examples\..*)$", path.read_text("utf-8"), re.MULTILINE)
    words = [str(workplace / word) if word.startswith("data/") else word for word in shlex.split(command)]
    assert words[1] == f"docs.examples.{path.stem}"
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 3
