"""A small soak, and that its laws can be broken: a law that nothing breaks proves nothing."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.compressors.gzip import GzipCompressor
from pipeline.corpus.read import read_documents
from pipeline.corpus.records import Record
from pipeline.corpus.settings import ReadSettings
from pipeline.job.compress_unit import Commit, UnitCompressor
from pipeline.storage import files
from schemas.errors import SettingsError
from tests.pipeline.corpora import jsonl, plan_units, texts, whole
from tests.pipeline.job.jobs import gzip_job
from tests.pipeline.runs import content
from tests.soak.hostile_lines import MAX_DOCUMENT_BYTES, draw_lines, read_lines
from tests.soak.laws import BrokenLawError, check_finished, check_unfinished

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset of two shards with a reject in each; not to be changed."""
    directory = tmp_path_factory.mktemp("soak")
    lines = jsonl(*({"text": text} for text in texts(8)))
    (directory / "corpus.jsonl").write_bytes(b"bad\n" + lines + lines.replace(b"1:", b"1;") + b"bad\n")
    arguments = ["--input", str(directory / "corpus.jsonl"), "--output", str(directory / "out"), "--shards", "2"]
    options = ["--compressors", "gzip", "--workers", "1", "--max-reject-fraction", "0.5"]
    assert main(["preprocess", *arguments, *options]) == 0
    return directory / "out"


def soak(*arguments: str) -> list[str]:
    """The lines of a soak that must hold."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", *arguments],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_a_few_kills(tmp_path: Path) -> None:
    *kills, totals = soak("kills", "--count", "2", "--seed", "1", "--scratch", str(tmp_path))
    assert len(kills) == 2 and all(re.match(r"kill \d: \w+-\d at ", line) for line in kills)
    assert re.fullmatch(r"kills, seed 1: 2 in 2 cases, 0 failed, [\d.]+ minutes", totals)


@pytest.mark.slow
def test_a_few_hundred_items(tmp_path: Path) -> None:
    *cases, totals = soak("items", "--count", "300", "--seed", "0", "--scratch", str(tmp_path))
    assert all(
        re.match(r"case \d: \d+ items in .*: (read \d+ = \d+ written \+ \d+ rejected|refused)", c) for c in cases
    )
    assert ", 0 failed," in totals


def _shard(output: Path) -> Path:
    return sorted(output.glob("shard-*"))[0]


def _lose_reject(output: Path) -> None:
    sorted((output / "rejects").glob("*"))[0].write_bytes(b"")


def _double_shard(output: Path) -> None:
    first, second = sorted(output.glob("shard-*"))
    shutil.copyfile(first, second)


def _leave_temporary(output: Path) -> None:
    (output / "manifest.json.tmp").write_bytes(b"")


def _leave_artifact(output: Path) -> None:
    (output / "compressors" / "tokenizer.model.tmp123").write_bytes(b"")


def _leave_work(output: Path) -> None:
    (output / "_work/staged").mkdir(parents=True)
    (output / "_work/staged/unit-00000.1-2.arrow").write_bytes(b"half")


@pytest.mark.parametrize(
    "damage, words",
    [
        (_lose_reject, r"2 rejected in the manifest, 1 in rejects"),
        (_double_shard, r"was written twice|written in the manifest"),
        (_leave_temporary, r"\['manifest.json.tmp'\] were left in the dataset"),
        (_leave_artifact, r"tokenizer.model.tmp123'\] were left among the artifacts"),
        (_leave_work, r"_work/staged/unit-00000.1-2.arrow'\] were left"),
    ],
)
def test_the_laws_of_a_finished_dataset_can_be_broken(
    made: Path, tmp_path: Path, damage: Callable[[Path], None], words: str
) -> None:
    output = Path(shutil.copytree(made, tmp_path / "out"))
    check_finished(output)
    damage(output)
    with pytest.raises(BrokenLawError, match=words):
        check_finished(output)


def test_the_laws_of_a_killed_run_can_be_broken(made: Path, tmp_path: Path) -> None:
    output, final = Path(shutil.copytree(made, tmp_path / "out")), content(made)
    assert check_unfinished(output, final) == "the manifest was written"
    (output / "manifest.json").unlink()
    assert check_unfinished(output, final) == "0 units committed, 2 shards named"
    _shard(output).write_bytes(b"half")
    with pytest.raises(BrokenLawError, match="is visible and not the final one"):
        check_unfinished(output, final)


@pytest.mark.parametrize("seed", range(5))
def test_the_slow_reading_of_lines_is_that_of_the_readers(seed: int, tmp_path: Path) -> None:
    data = draw_lines(random.Random(seed), 60)
    (tmp_path / "a.jsonl").write_bytes(data)
    settings = ReadSettings(max_document_bytes=MAX_DOCUMENT_BYTES)
    found = read_documents([whole(tmp_path / "a.jsonl", "jsonl")], settings)
    assert [item.text if isinstance(item, Record) else None for item in found] == read_lines(data)


def test_two_attempts_may_commit_a_unit_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are at the same step at the same time; each has its shard, and the record is one of the two, whole."""
    (tmp_path / "a.jsonl").write_bytes(jsonl({"text": "a"}))
    (unit,) = plan_units([str(tmp_path / "a.jsonl")], shards=1, unit_bytes=1)
    output = tmp_path / "out"
    job = gzip_job(output)
    barrier, replace, commits = threading.Barrier(2), os.replace, []

    def together(source: str, destination: str) -> None:
        barrier.wait(20)
        replace(source, destination)
        barrier.wait(20)

    monkeypatch.setattr(os, "replace", together)
    compress = UnitCompressor(job, {"gzip": GzipCompressor()})
    threads = [threading.Thread(target=lambda: commits.append(compress.process(unit))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(commits) == 2
    assert Commit.from_bytes(Path(job.commit_path(0)).read_bytes()).staged in {c.staged for c in commits}
    assert commits[0].shard == commits[1].shard
    assert not list(output.rglob("*.tmp"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_a_full_disk_is_one_line(number: int, tmp_path: Path) -> None:
    with (
        pytest.raises(SettingsError, match=r"no room in .*free some.*the same command again"),
        files.explain_no_room(str(tmp_path)),
    ):
        raise OSError(number, os.strerror(number))


def test_other_errors_of_a_disk_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), files.explain_no_room(str(tmp_path)):
        raise PermissionError(errno.EACCES, "no")


def test_a_file_that_cannot_be_written_to_its_end_is_gone(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full"), files.create(str(tmp_path / "a")) as created:
        created.file.write(b"half")
        raise OSError(errno.ENOSPC, "full")
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_leaves_of_the_report_is_not_visible(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.job.publish import add_to_report

    output = Path(shutil.copytree(made, tmp_path / "out"))
    (output / "_work").mkdir()

    def cut(source: str, destination: str) -> None:
        raise KeyboardInterrupt

    before = (output / "report.json").read_bytes()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", cut)
        add_to_report(gzip_job(output), {"seconds": 1})
    shutil.rmtree(output / "_work")
    check_finished(output)
    assert (output / "report.json").read_bytes() == before
    (output / "_work").mkdir()
    add_to_report(gzip_job(output), {"seconds": 1})
    assert b'"seconds": 1' in (output / "report.json").read_bytes()


@pytest.mark.slow
def test_a_few_crafted_shards(tmp_path: Path) -> None:
    *cases, totals = soak("mutations", "--count", "16", "--seed", "0", "--scratch", str(tmp_path))
    assert all(re.match(r"mutations \d+ to \d+: \d of 8 refused by verify", case) for case in cases)
    assert re.match(r"mutations, seed 0: 16 in 2 cases, 0 failed", totals)
