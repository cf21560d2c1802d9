"""The graph on a Dask cluster of three processes: a local run's bytes, in a store, and after the loss of a worker."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.job import runners
from schemas import stores
from schemas.errors import SettingsError
from tests.pipeline.corpora import jsonl, texts
from tests.pipeline.job.portable import dask_cluster, environment, free_port, submit, wait_for
from tests.pipeline.runs import Preprocess, content
from tests.store_servers import Front

pytest.importorskip("distributed", reason="needs Dask: pip install distributed")
UNITS = 12
GZIP = ("--compressors", "gzip", "--shards", str(UNITS))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Twelve units, which take a worker some time."""
    lines = jsonl(*({"text": text * 2000} for text in texts(120)))
    (tmp_path / "corpus.jsonl").write_bytes(lines)
    return tmp_path / "corpus.jsonl"


@pytest.mark.slow
def test_two_workers_and_then_one(corpus: Path, s3: Front, tmp_path: Path) -> None:
    assert main(["preprocess", "--input", str(corpus), "--output", str(tmp_path / "local"), *GZIP]) == 0
    final = content(tmp_path / "local")
    (tmp_path / "cluster").mkdir()
    reached = {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}
    with dask_cluster(tmp_path / "cluster", **reached) as (address, workers):
        dask = ["--runner", "DaskRunner", f"--dask_client_address={address}"]
        arguments = ["preprocess", "--input", str(corpus), *GZIP, *dask]
        ended = submit([*arguments, "--output", "s3://data/dask"], tmp_path, **reached)
        assert ended.returncode == 0, ended.stderr
        assert {name: stores.read(f"s3://data/dask/{name}") for name in final} == final

        running = _start([*arguments, "--output", str(tmp_path / "out")], tmp_path)
        done = tmp_path / "out/_work/done"
        wait_for("the first unit", lambda: done.exists() and any(done.iterdir()), running)
        assert len(list(done.iterdir())) < UNITS, "the run ended before a worker was killed; make the corpus longer"
        workers[0].kill()
        _, errors = running.communicate(timeout=120)
        assert running.returncode == 0, errors
        assert workers[1].poll() is None
    assert content(tmp_path / "out") == final


def _start(arguments: list[str], directory: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.Popen(command, cwd=directory, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_its_short_name_and_units_one_by_one() -> None:
    for extra, size in (((), 1), (("--dask_partition_size=7",), 7), (("--dask_npartitions=3",), None)):
        assert runners.options("DaskRunner", 2, extra).get_all_options()["partition_size"] == size


@pytest.mark.parametrize(
    ("address", "words"),
    [("localhost:8786", "give tcp://HOST:PORT"), ("tcp://127.0.0.1:{free}", "no Dask scheduler answers at")],
)
def test_a_scheduler_that_is_not_there(
    address: str, words: str, corpus: Path, tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    option = f"--dask_client_address={address.format(free=free_port())}"
    assert preprocess(corpus, tmp_path / "out", *GZIP, "--runner", "DaskRunner", option) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not (tmp_path / "out").exists()


def test_dask_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="needs the package distributed; pip install distributed"):
        runners.options("DaskRunner", 2, ())
