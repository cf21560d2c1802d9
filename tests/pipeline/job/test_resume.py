"""Killed runs: the same command finishes what is missing, and the result is that of an undisturbed run."""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.job.compress_unit import UnitCompressor
from pipeline.storage import files
from schemas.errors import DatasetError
from schemas.manifest import read_manifest
from tests.pipeline.corpora import jsonl, texts
from tests.pipeline.job.power_cuts import PowerCutError, crashes
from tests.pipeline.runs import Models, Preprocess, content, manifest, times

ROOT = Path(__file__).parents[3]
SHARDS = ("--shards", "4")
SMALL = ("--shards", "2")


def done(output: Path) -> list[Path]:
    """The commit records."""
    return sorted((output / "_work/done").glob("unit-*.json"))


def counted(monkeypatch: pytest.MonkeyPatch, fail_at: int = 0) -> list[int]:
    """The units that are really compressed from now on; the `fail_at`th of them (from 1) crashes."""
    compressed: list[int] = []
    write = UnitCompressor.compress

    def spy(self: UnitCompressor, unit: Any, attempt: str) -> Any:
        compressed.append(unit.index)
        if len(compressed) == fail_at:
            raise PowerCutError
        return write(self, unit, attempt)

    monkeypatch.setattr(UnitCompressor, "compress", spy)
    return compressed


def crash_at_replace(monkeypatch: pytest.MonkeyPatch, number: int) -> list[str]:
    """Make the `number`th os.replace (from 1) fail; the names that were asked to be replaced."""
    asked: list[str] = []
    replace = os.replace

    def cut(source: Any, destination: Any) -> None:
        asked.append(os.path.basename(destination))
        if len(asked) == number:
            raise PowerCutError(f"before {asked[-1]}")
        replace(source, destination)

    monkeypatch.setattr(os, "replace", cut)
    return asked


def check_visible_shards_are_final(output: Path, final: dict[str, bytes]) -> None:
    """Shards get their names between the last commit and the manifest; whatever of them is seen is whole."""
    for path in output.glob("shard-*"):
        assert path.read_bytes() == final[path.name]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, preprocess: Preprocess) -> tuple[Path, dict[str, bytes]]:
    """A corpus of two units, each with a reject, and the content of its dataset."""
    directory = tmp_path_factory.mktemp("small")
    lines = jsonl(*({"text": text} for text in texts(6)))
    (directory / "corpus.jsonl").write_bytes(b"bad\n" + lines + lines.replace(b"1:", b"1;") + b"bad\n")
    assert preprocess(directory / "corpus.jsonl", directory / "out", *SMALL, "--max-reject-fraction", "0.5") == 0
    final = content(directory / "out")
    assert len([name for name in final if name.startswith("rejects")]) == 2
    return directory / "corpus.jsonl", final


@pytest.mark.slow
def test_a_crash_before_any_replacement_of_a_file(
    small: tuple[Path, dict[str, bytes]], tmp_path: Path, preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models, commit records, rejects, final names, report and manifest: all are put in place by os.replace."""
    corpus, final = small
    asked: list[str] = []
    for number in range(1, 100):
        output = tmp_path / str(number)

        def run(output: Path = output) -> int:
            return preprocess(corpus, output, *SMALL, "--max-reject-fraction", "0.5")

        with monkeypatch.context() as patch:
            asked = crash_at_replace(patch, number)
            crashed = crashes(run)
        finished = "manifest.json" in asked[: number - 1]
        if not finished:
            with pytest.raises(DatasetError, match="not a finished dataset"):
                read_manifest(output)
        check_visible_shards_are_final(output, final)
        assert run() == 0
        assert content(output) == final, asked[-1]
        assert not (output / "_work").exists()
        # What dies while the report of a finished dataset gets its last figures leaves this behind, and nothing else.
        assert {path.name for path in output.rglob("*.tmp*")} <= {"report.json.tmp"}
        if not crashed:
            break
    assert not crashed
    assert {"sample.arrow", "compressor.json", "tokenizer.model", "unit-00001.json", "manifest.json"} <= set(asked)
    assert asked.index("unit-00000.json") < asked.index("shard-00000-of-00002.arrow") < asked.index("manifest.json")


@pytest.mark.parametrize("number", [1, 2, 4])
def test_finished_units_are_not_compressed_again(
    number: int, finished: Path, tmp_path: Path, preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        counted(patch, fail_at=number)
        assert crashes(lambda: preprocess(finished / "corpus", tmp_path / "out", *SHARDS))
    assert len(done(tmp_path / "out")) == number - 1
    assert not list((tmp_path / "out").glob("shard-*")), "no shard has its name before all units are done"
    committed = {json.loads(path.read_bytes())["unit"] for path in done(tmp_path / "out")}
    with monkeypatch.context() as patch:
        compressed = counted(patch)
        assert preprocess(finished / "corpus", tmp_path / "out", *SHARDS) == 0
    assert sorted(compressed) == sorted(set(range(4)) - committed)
    assert content(tmp_path / "out") == content(finished / "out")


def test_a_killed_run_may_go_on_under_another_path(
    finished: Path, tmp_path: Path, preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        counted(patch, fail_at=4)
        assert crashes(lambda: preprocess(finished / "corpus", "out", *SHARDS))
    (tmp_path / "out").rename(tmp_path / "moved")
    monkeypatch.chdir("/")
    with monkeypatch.context() as patch:
        compressed = counted(patch)
        assert preprocess(finished / "corpus", tmp_path / "moved", *SHARDS) == 0
    assert len(compressed) == 1
    assert content(tmp_path / "moved") == content(finished / "out")


@pytest.mark.parametrize("other", [("--shards", "3"), ("--shards", "4", "--compression", "none")])
def test_a_run_with_other_settings_takes_over_a_killed_one(
    other: tuple[str, ...], finished: Path, tmp_path: Path, preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the killed run stays, not even shards and rejects that had their final names already."""
    with monkeypatch.context() as patch:
        replace = os.replace

        def cut(source: Any, destination: Any) -> None:
            if os.path.basename(destination) == "report.json":
                raise PowerCutError
            replace(source, destination)

        patch.setattr(os, "replace", cut)
        assert crashes(lambda: preprocess(finished / "corpus", tmp_path / "out", *SHARDS))
    assert len(list((tmp_path / "out").glob("shard-*"))) == 4
    assert preprocess(finished / "corpus", tmp_path / "out", *other) == 0
    assert preprocess(finished / "corpus", tmp_path / "fresh", *other) == 0
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


def test_a_staged_file_that_is_gone_is_made_again(
    finished: Path, tmp_path: Path, preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        counted(patch, fail_at=3)
        assert crashes(lambda: preprocess(finished / "corpus", tmp_path / "out", *SHARDS))
    first = json.loads(done(tmp_path / "out")[0].read_bytes())
    (tmp_path / "out/_work/staged" / first["staged"]).unlink()
    compressed = counted(monkeypatch)
    assert preprocess(finished / "corpus", tmp_path / "out", *SHARDS) == 0
    assert first["unit"] in compressed
    assert content(tmp_path / "out") == content(finished / "out")


def test_too_many_rejects_then_a_higher_limit(
    small: tuple[Path, dict[str, bytes]],
    tmp_path: Path,
    preprocess: Preprocess,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    corpus, final = small
    output = tmp_path / "out"
    for _ in range(2):
        assert preprocess(corpus, output, *SMALL, "--max-reject-fraction", "0.1") == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "2 of 14 documents were rejected (bad_json 2)" in line
        assert "--max-reject-fraction 0.1" in line
        example = line.partition("look at ")[2].partition(",")[0]
        assert json.loads(Path(example).read_text().splitlines()[0])["reason"] == "bad_json"
        assert not (output / "manifest.json").exists()
        assert not list(output.glob("shard-*"))
    compressed = counted(monkeypatch)
    assert preprocess(corpus, output, *SMALL, "--max-reject-fraction", "0.5") == 0
    assert compressed == []
    assert content(output) == final


def test_the_limit_itself_is_allowed(tmp_path: Path, preprocess: Preprocess) -> None:
    (tmp_path / "corpus.jsonl").write_bytes(jsonl({"text": "a"}) * 3 + b"bad\n")
    options = ("--compressors", "gzip", "--max-reject-fraction")
    assert preprocess(tmp_path / "corpus.jsonl", tmp_path / "out", *options, "0.2499") == 1
    assert preprocess(tmp_path / "corpus.jsonl", tmp_path / "out", *options, "0.25") == 0


def test_two_runs_at_once(
    finished: Path, tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    with open(output / ".lock", "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        before = times(output)
        assert preprocess(finished / "corpus", output, *SHARDS) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "another run is writing" in line
        assert times(output) == before
    assert preprocess(finished / "corpus", output, *SHARDS) == 0


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory, preprocess: Preprocess) -> tuple[Path, dict[str, bytes]]:
    """A corpus that keeps a run busy for some seconds, and the content of its dataset."""
    directory = tmp_path_factory.mktemp("long")
    draw = random.Random(7)
    records = [{"text": "".join(draw.choices("etaoin shrdlu\n", k=2000))} for _ in range(LONG_UNITS * 8)]
    (directory / "corpus.jsonl").write_bytes(jsonl(*records) + b"bad\n")
    assert preprocess(directory / "corpus.jsonl", directory / "out", "--shards", str(LONG_UNITS)) == 0
    return directory / "corpus.jsonl", content(directory / "out")


LONG_UNITS = 40


def command(models: Models, corpus: Path, output: Path) -> list[str]:
    """The command line of the run that `long` made undisturbed."""
    arguments = ["--input", str(corpus), "--output", str(output), *models.options, "--workers", "2"]
    arguments += ["--compressors", "neural,tokenizer,gzip,token_bytes", "--shards", str(LONG_UNITS)]
    return [sys.executable, "-m", "pipeline", "preprocess", *arguments]


@pytest.mark.slow
def test_killed_at_random_points(
    long: tuple[Path, dict[str, bytes]],
    models: Models,
    tmp_path: Path,
    preprocess: Preprocess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    corpus, final = long
    output = tmp_path / "out"
    draw = random.Random(2)
    committed: set[str] = set()
    for _ in range(2):
        wanted = len(committed) + draw.randint(1, 10)
        run = subprocess.Popen(command(models, corpus, output), cwd=ROOT, stderr=subprocess.DEVNULL)
        limit = time.monotonic() + 60
        while len(done(output)) < wanted and run.poll() is None and time.monotonic() < limit:
            time.sleep(0.002)
        run.kill()
        assert run.wait() == -9, "the run ended before it was killed; make the corpus longer"
        assert committed <= {path.name for path in done(output)}
        committed = {path.name for path in done(output)}
        assert not (output / "manifest.json").exists()
        assert not list(output.glob("shard-*"))
        assert not list((output / "rejects").glob("*"))
    compressed = counted(monkeypatch)
    assert preprocess(corpus, output, "--shards", str(LONG_UNITS), "--workers", "2") == 0
    assert {f"unit-{index:05d}.json" for index in compressed} == {f"unit-{i:05d}.json" for i in range(40)} - committed
    assert content(output) == final
    assert not (output / "_work").exists()


@pytest.mark.slow
def test_interrupted_from_the_keyboard(
    long: tuple[Path, dict[str, bytes]], models: Models, tmp_path: Path, preprocess: Preprocess
) -> None:
    corpus, final = long
    output = tmp_path / "out"
    # A shell's background jobs ignore the interrupt, and so would everything that they start.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    run = subprocess.Popen(
        command(models, corpus, output), cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=heed
    )
    while not done(output) and run.poll() is None:
        time.sleep(0.002)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.splitlines()[-1] == "stopped; the same command continues"
    assert preprocess(corpus, output, "--shards", str(LONG_UNITS)) == 0
    assert content(output) == final


def test_leftovers_of_a_run_that_died_after_its_manifest(dataset: Path, finished: Path, preprocess: Preprocess) -> None:
    shutil.rmtree(dataset / "rejects")
    shutil.copytree(finished / "out/rejects", dataset / "rejects")
    files.make_directory(str(dataset / "_work" / "staged"))
    (dataset / "_work/staged/unit-00000.1-2.arrow").write_bytes(b"half")
    assert preprocess(finished / "corpus", dataset, *SHARDS) == 0
    assert not (dataset / "_work").exists()
    assert content(dataset) == content(finished / "out")


def test_a_manifest_names_every_shard_that_is_there(dataset: Path) -> None:
    assert [shard["name"] for shard in manifest(dataset)["shards"]] == sorted(p.name for p in dataset.glob("shard-*"))
