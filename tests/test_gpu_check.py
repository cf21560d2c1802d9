"""gpu-check on a CPU: what a row lacks, breaks or takes too long for stops no other row."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.gpu_check.table import ROWS

ROOT = Path(__file__).parent.parent
BAD_ROWS = """
import os, time

def fails(scale, scratch):
    yield "one", 1
    raise ValueError("\\n\\nno | good\\nsecond line")

def dies(scale, scratch):
    yield "two", 2.5
    os._exit(3)

def hangs(scale, scratch):
    os.system("sleep 300 &")
    yield "three", "3"
    time.sleep(300)
"""
SCRIPT = """
import sys
from tests.gpu_check import __main__ as program
from tests.gpu_check.table import Row
bad = [Row(name=name, what="", module="bad_rows", program=name, limit_seconds=2) for name in ("fails", "dies", "hangs")]
slow = {row.name: row for row in program.ROWS}
first = slow.pop("machine")
program.ROWS = (first, *bad, *(row for name, row in slow.items() if name not in ("train-1.5b", "kept-0.5b")))
sys.exit(program.main(sys.argv[1:]))
"""
"""Every program once, after rows that go wrong."""


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, list[str], dict[str, Any]]:
    """Exit status, lines and JSON of a check on a machine that lacks Beam."""
    folder = tmp_path_factory.mktemp("gpu-check")
    (folder / "bad_rows.py").write_text(BAD_ROWS)
    (folder / "apache_beam.py").write_text("raise ModuleNotFoundError(\"No module named 'apache_beam'\")")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "--device", "cpu", "--out", str(folder / "out.json")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert (folder / "out.json").exists(), done.stderr
    return done.returncode, done.stdout.splitlines(), json.loads((folder / "out.json").read_text())


@pytest.mark.slow
def test_every_other_row_is_measured(checked: tuple[int, list[str], dict[str, Any]]) -> None:
    status, lines, whole = checked
    rows = {row["row"]: row for row in whole["rows"]}
    assert (status, whole["format"], whole["device"]) == (1, 1, "cpu")
    assert [row["status"] for row in rows.values()][:4] == ["ok", "failed", "failed", "stopped"]
    later = {name: (row["status"], row["reason"]) for name, row in list(rows.items())[4:]}
    assert later.pop("preprocess") == ("missing", "No module named 'apache_beam'")
    assert set(later.values()) == {("ok", "")} and len(later) == len(ROWS) - 4, later
    for row in rows.values():
        assert row["figures"] or row["status"] == "missing"
        values = [value for value in row["figures"].values() if not isinstance(value, str)]
        assert all(math.isfinite(value) for value in values)
        assert f"| {row['row']} | | {row['status']}, {row['seconds']:.1f} s" in "\n".join(lines)
        if row["status"] in ("ok", "missing"):
            assert "torch" in row["packages"] and row["cpu_seconds"] > 0
    assert rows["codes"]["figures"]["as committed, int8 products"] == "8 of 8"
    assert rows["codes"]["figures"]["steps between products"] == "FusedRows"
    assert rows["train-0.5b"]["figures"]["graph breaks"] == 0
    assert "numba" not in rows["attention"]["packages"], "torch alone is enough for it"


@pytest.mark.slow
def test_what_goes_wrong_is_one_line_and_keeps_its_figures(checked: tuple[int, list[str], dict[str, Any]]) -> None:
    _, lines, whole = checked
    rows = {row["row"]: row for row in whole["rows"]}
    assert rows["fails"]["reason"] == "ValueError: no / good"
    assert rows["dies"]["reason"] == "the process ended with 3"
    assert rows["hangs"]["reason"] == "not done within 2 s"
    assert [rows[name]["figures"] for name in ("fails", "dies", "hangs")] == [{"one": 1}, {"two": 2.5}, {"three": "3"}]
    assert all(line.count("|") == 4 for line in lines), "a table of three columns"
    assert "| dies | two | 2.5 |" in lines
    assert rows["hangs"]["seconds"] < 30, "what it started is killed too, and holds nothing up"


def test_an_unknown_row_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    from tests.gpu_check.__main__ import main

    assert len({row.name for row in ROWS}) == len(ROWS)
    with pytest.raises(SystemExit, match="2"):
        main(["--rows", "machine,moon"])
    assert "--rows names moon; there are machine, codes" in capsys.readouterr().err


def test_no_row_starts_without_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.gpu_check.run import Check
    from tests.gpu_check.scale import SCALES

    check = Check(SCALES["cpu"], out=str(tmp_path / "out.json"), limit_seconds=1)
    assert check.run(ROWS) == 0
    whole = json.loads((tmp_path / "out.json").read_text())
    assert {row["status"] for row in whole["rows"]} == {"skipped"} and len(whole["rows"]) == len(ROWS)
    assert "no time was left" in capsys.readouterr().out
