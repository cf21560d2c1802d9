"""A picture of runs: every point is in it, equal runs give equal bytes, and what is missing is said in one line."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ArtifactError
from trainer.__main__ import main
from trainer.curves import read
from trainer.curves.draw import smoothed
from trainer.curves.read import names_of, read_curves
from trainer.training import metrics
from trainer.training.metrics import MetricsLog

PNG = b"\x89PNG\r\n\x1a\n"


def write_run(directory: Path, bits: list[float], *, held_out: bool = True) -> str:
    """A run with one line a step, and a held-out figure in every second."""
    directory.mkdir(parents=True)
    with MetricsLog(str(directory), step=0, settings={}) as log:
        for step, value in enumerate(bits):
            values = {"step": step, "loss_nats": value * 0.7, "bits_per_raw_byte": value}
            log.write(values | ({metrics.HELD_OUT_KEY: value + 0.1} if held_out and step % 2 else {}))
    return str(directory)


def test_the_keys_are_those_that_a_run_writes() -> None:
    assert (read.METRICS_NAME, read.HELD_OUT) == (metrics.METRICS_NAME, metrics.HELD_OUT_KEY)


def test_points_are_read_with_the_steps_that_were_done(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", [8.0, 6.0, 5.0, 5.5])
    with (tmp_path / "a" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "loss_n')
    curves = read_curves(run, "a")
    assert curves.raw_bits == [(1, 8.0), (2, 6.0), (3, 5.0), (4, 5.5)]
    assert curves.held_out_bits == [(2, 6.1), (4, 5.6)]
    assert curves.best == (4, 5.6)


def test_several_runs_are_one_picture_with_their_names_and_best_points(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [write_run(tmp_path / "runs" / name, bits) for name, bits in (("a", [8.0, 6.0]), ("b", [7.0, 5.0, 4.0]))]
    runs.append(write_run(tmp_path / "runs" / "c", [3.0], held_out=False))
    out = tmp_path / "all.svg"
    assert main(["plot", *runs, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "a: step 2, loss 4.200 nats, best held out 6.1000 bits per raw byte at step 2" in printed
    assert "c: step 1, loss 2.100 nats\n" in printed and "curves of 3 runs" in printed
    texts = [element.text for element in ElementTree.parse(out).iter("{http://www.w3.org/2000/svg}text")]
    assert {"a", "b", "c", "6.100", "5.100", "bits per raw byte", "optimizer steps done"} <= set(texts)
    first = out.read_bytes()
    assert main(["plot", *runs, "--out", str(out)]) == 0
    assert out.read_bytes() == first


def test_one_run_gets_a_png_in_its_directory(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", [8.0 - step / 100 for step in range(200)])
    pictures = []
    for _ in range(2):
        assert main(["plot", run]) == 0
        pictures.append((tmp_path / "a" / "curves.png").read_bytes())
    assert pictures[0].startswith(PNG) and pictures[0] == pictures[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "metrics.jsonl cannot be read (No such file or directory); name the directories of runs"),
        ("", "metrics.jsonl has no step yet"),
        ("[1]\n", "metrics.jsonl cannot be read"),
        ("{\n", "metrics.jsonl cannot be read"),
        ('{"loss_nats": 1}\n', "metrics.jsonl cannot be read"),
        ('{"step": 1, "loss_nats": "x"}\n', "metrics.jsonl cannot be read"),
    ],
)
def test_a_folder_that_is_no_run_is_one_line(
    text: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / "metrics.jsonl").write_text(text)
    assert main(["plot", str(tmp_path)]) == ArtifactError.exit_code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line
    assert not (tmp_path / "curves.png").exists()


def test_another_suffix_and_a_missing_library_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "a", [8.0])
    assert main(["plot", run, "--out", "x.jpg"]) == 2
    assert capsys.readouterr().err == "error: --out x.jpg is no picture; give a name that ends in .png or .svg\n"
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["plot", run]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch("error: pictures need matplotlib, which is not installed; pip install 'matplotlib[^']*'", line)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=200))
def test_a_mean_keeps_steps_and_stays_within_the_values(values: list[float]) -> None:
    points = list(enumerate(values))
    found = smoothed(points)
    assert [step for step, _ in found] == list(range(len(values)))
    assert all(min(values) - 1e-9 <= value <= max(values) + 1e-9 for _, value in found)
    assert smoothed([(step, 1.0) for step, _ in points]) == [(step, 1.0) for step, _ in points]


@pytest.mark.parametrize(
    ("runs", "names"),
    [
        (["runs/a"], ["a"]),
        (["runs/a/", "runs/b"], ["a", "b"]),
        (["x/tiny", "y/tiny"], ["x/tiny", "y/tiny"]),
        (["runs/x/tiny", "runs/y/tiny"], ["x/tiny", "y/tiny"]),
        (["runs/a", "runs/a/b"], ["a", "a/b"]),
    ],
)
def test_names_are_what_tells_runs_apart(runs: list[str], names: list[str]) -> None:
    assert names_of(runs) == names
