"""One unit to one staged shard: pure, whole or not at all, and found again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import pipeline.job.compress_unit
from pipeline.compressors.gzip import GzipCompressor
from pipeline.corpus.read import read_documents
from pipeline.corpus.settings import ReadSettings
from pipeline.corpus.units import WorkUnit
from pipeline.job.compress_unit import Commit, UnitCompressor, finished_commit
from pipeline.job.job import Job
from schemas import patience
from schemas.batches import Documents, Encoding
from schemas.errors import UnreachableError
from schemas.patience import Patience
from tests.pipeline.corpora import jsonl, plan_units, texts, whole
from tests.pipeline.job.jobs import gzip_job


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job into tmp_path/out, whose work directories are there."""
    return gzip_job(tmp_path / "out", read=ReadSettings(max_document_bytes=400))


@pytest.fixture
def unit(tmp_path: Path) -> WorkUnit:
    """12 documents, 4 rejects."""
    broken = b'not json\n{"text": ""}\n{"text": 3}\n' + jsonl({"text": "z" * 401})
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(jsonl(*({"text": text} for text in texts(12))) + broken)
    return WorkUnit(index=2, total=5, pieces=(whole(path, "jsonl"),))


def compressor(job: Job) -> UnitCompressor:
    """With gzip, which needs no artifacts."""
    return UnitCompressor(job, {"gzip": GzipCompressor()})


def staged(job: Job, commit: Commit) -> bytes:
    """The staged shard."""
    return Path(job.staged_path(commit.staged)).read_bytes()


def test_the_commit_says_what_is_staged(job: Job, unit: WorkUnit) -> None:
    commit = compressor(job).process(unit)
    entry = commit.shard
    assert (commit.unit, commit.identity, commit.read) == (2, job.encoding_identity, 16)
    assert entry.name == "shard-00002-of-00005.arrow"
    assert entry.rows == 12
    assert entry.rejects == {"bad_json": 1, "empty": 1, "text_not_string": 1, "too_long": 1}
    assert entry.rows + sum(entry.rejects.values()) == commit.read
    assert hashlib.sha256(staged(job, commit)).hexdigest() == entry.sha256
    assert len(staged(job, commit)) == entry.file_bytes
    table = pa.ipc.open_file(staged(job, commit)).read_all()
    assert table["raw"].to_pylist() == [text.encode() for text in texts(12)]
    assert entry.raw_bytes == sum(map(len, table["raw"].to_pylist()))


def test_rejects_are_rows_with_source_position_reason_and_excerpt(job: Job, unit: WorkUnit, tmp_path: Path) -> None:
    commit = compressor(job).process(unit)
    lines = Path(job.staged_path(commit.staged_rejects)).read_text("utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    assert [row["reason"] for row in found] == ["bad_json", "empty", "text_not_string", "too_long"]
    data = (tmp_path / "corpus.jsonl").read_bytes()
    for row in found:
        assert set(row) == {"source", "position", "reason", "detail", "excerpt"}
        assert row["source"] == "corpus.jsonl"
        line = data[row["position"] :].partition(b"\n")[0].decode()
        assert line.startswith(row["excerpt"])
        assert row["excerpt"]
        assert row["detail"]


def test_the_commit_record_comes_back(job: Job, unit: WorkUnit) -> None:
    commit = compressor(job).process(unit)
    assert Commit.from_bytes(commit.to_bytes()) == commit
    assert finished_commit(job, unit) == commit
    assert Path(job.commit_path(2)).read_bytes() == commit.to_bytes()


def test_a_finished_unit_is_not_read_again(job: Job, unit: WorkUnit, tmp_path: Path) -> None:
    first = compressor(job).process(unit)
    (tmp_path / "corpus.jsonl").unlink()
    assert compressor(job).process(unit) == first


@pytest.mark.parametrize("batch_bytes", [1, 50, 700, 1 << 30])
def test_batches_do_not_show_in_the_shard(
    batch_bytes: int, job: Job, unit: WorkUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = compressor(job).process(unit)
    monkeypatch.setattr(pipeline.job.compress_unit, "BATCH_BYTES", batch_bytes)
    again = compressor(replace(job, identity="two")).process(unit)
    assert again.shard == expected.shard
    assert staged(job, again) == staged(job, expected)
    assert again.staged != expected.staged


@pytest.mark.parametrize("lost", ["identity", "compressor", "staged", "commit"])
def test_what_does_not_match_is_made_again(lost: str, job: Job, unit: WorkUnit) -> None:
    first = compressor(job).process(unit)
    other = job
    if lost == "identity":
        other = replace(job, identity="two")
    elif lost == "compressor":
        other = replace(job, compressors={"gzip": {**job.compressors["gzip"], "digest": "another zlib's"}})
    elif lost == "staged":
        Path(job.staged_path(first.staged)).unlink()
    else:
        Path(job.commit_path(2)).unlink()
    assert finished_commit(other, unit) is None
    second = compressor(other).process(unit)
    assert second.shard == first.shard
    assert second.staged != first.staged


def test_a_shard_with_its_final_name_counts_as_finished(job: Job, unit: WorkUnit) -> None:
    commit = compressor(job).process(unit)
    Path(job.staged_path(commit.staged)).rename(Path(job.output, commit.shard.name))
    assert finished_commit(job, unit) == commit


def test_a_crash_inside_leaves_no_commit_record(job: Job, unit: WorkUnit) -> None:
    class Failing(GzipCompressor):
        def compress(self, documents: Documents) -> Encoding:
            raise MemoryError

    with pytest.raises(MemoryError):
        UnitCompressor(job, {"gzip": Failing()}).process(unit)
    assert finished_commit(job, unit) is None
    assert not list(Path(job.output).glob("shard-*"))
    assert compressor(job).process(unit).shard.rows == 12


@pytest.mark.parametrize("failures", [1, 2, 3])
def test_a_connection_that_breaks_is_no_reject(
    failures: int, job: Job, unit: WorkUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = 0

    def broken(*arguments: Any) -> Iterator[Any]:
        nonlocal attempts
        attempts += 1
        for number, item in enumerate(read_documents(*arguments)):
            if attempts <= failures and number == 3:
                raise ConnectionResetError("peer")
            yield item

    monkeypatch.setattr(patience, "PATIENCE", Patience(waits_s=(0.0, 0.0)))
    monkeypatch.setattr(pipeline.job.compress_unit, "read_documents", broken)
    if failures < 3:
        commit = compressor(job).process(unit)
        assert (commit.read, commit.shard.rows) == (16, 12)
        assert attempts == failures + 1
        assert {path.name for path in Path(job.staged_path("")).iterdir()} == {commit.staged, commit.staged_rejects}
    else:
        with pytest.raises(UnreachableError, match=r"unit 2 of 5 failed 3 times .*peer"):
            compressor(job).process(unit)
        assert finished_commit(job, unit) is None


@pytest.mark.parametrize("kind", ["jsonl", "text", "jsonl.gz"])
def test_a_file_that_vanished_is_one_reject(kind: str, job: Job, tmp_path: Path) -> None:
    commit = compressor(job).process(WorkUnit(index=0, total=1, pieces=(whole(tmp_path / "gone", kind),)))
    assert (commit.read, commit.shard.rows, commit.shard.rejects) == (1, 0, {"unreadable": 1})


def test_units_of_a_corpus_add_up(job: Job, tmp_path: Path) -> None:
    (tmp_path / "many.jsonl").write_bytes(jsonl(*({"text": text} for text in texts(90))))
    units = plan_units([str(tmp_path / "many.jsonl")], shards=7, unit_bytes=1)
    commits = [compressor(job).process(unit) for unit in units]
    tables = [pa.ipc.open_file(staged(job, commit)).read_all() for commit in commits]
    assert [text for table in tables for text in table["raw"].to_pylist()] == [text.encode() for text in texts(90)]
    assert sum(commit.read for commit in commits) == 90
