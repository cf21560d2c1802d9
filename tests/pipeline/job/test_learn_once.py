"""--learn-once: the bytes of a run without it, pieces made once however often a run is killed, files checked."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.compressors.neural import learned
from pipeline.compressors.neural.coder import SegmentCoder
from pipeline.job import learned_table
from pipeline.job.learning import Learner
from schemas import stores
from tests.pipeline.corpora import jsonl
from tests.pipeline.job.portable import dask_cluster, job_service, submit, worker_pool
from tests.pipeline.job.power_cuts import PowerCutError, crashes
from tests.pipeline.runs import Models, Preprocess, content, write_mixed
from tests.store_servers import Front

UNITS, PARTS = 4, 3
SMALL = ("--compressors", "neural", "--shards", str(UNITS), "--sample-bytes", "500")
LEARN = (*SMALL, "--learn-once")


@pytest.fixture(autouse=True)
def three_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of a small corpus has three parts."""
    monkeypatch.setattr(learned_table, "PART_INPUT_BYTES", 1)
    monkeypatch.setattr(learned_table, "MAX_PARTS", PARTS)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, preprocess: Preprocess) -> Path:
    """corpus/, and out/, its dataset without a table; the codebook of a small sample lacks much of it."""
    directory = tmp_path_factory.mktemp("plain")
    corpus, rng = write_mixed(directory / "corpus"), random.Random(1)
    words = ["".join(rng.choices("abcdefgh", k=rng.randint(1, 9))) for _ in range(800)]
    (corpus / "f.jsonl").write_bytes(jsonl(*({"text": " ".join(words[i::20])} for i in range(20))))
    assert preprocess(corpus, directory / "out", *SMALL) == 0
    return directory


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many segments the byte LM is asked for at a time."""
    calls: list[int] = []
    codes = SegmentCoder.codes

    def spy(self: SegmentCoder, strings: Any) -> Any:
        calls.append(len(strings))
        return codes(self, strings)

    monkeypatch.setattr(SegmentCoder, "codes", spy)
    return calls


def table_of(output: Path) -> Path:
    """The directory of the table in an output directory."""
    (found,) = (output / "_work").glob("learned-*")
    return found


def crash_in(monkeypatch: pytest.MonkeyPatch, cls: type, name: str, at: int) -> None:
    """Make the call number `at` (from 1) of a method fail."""
    method = getattr(cls, name)
    calls = iter(range(1, 1000))

    def cut(self: Any, *arguments: Any) -> Any:
        if next(calls) == at:
            raise PowerCutError
        return method(self, *arguments)

    monkeypatch.setattr(cls, name, cut)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_bytes_of_a_run_without_a_table(
    workers: str, plain: Path, tmp_path: Path, preprocess: Preprocess, asked: list[int]
) -> None:
    assert preprocess(plain / "corpus", tmp_path / "out", *LEARN, "--workers", workers) == 0
    assert content(tmp_path / "out") == content(plain / "out")
    assert not (tmp_path / "out/_work").exists()
    report = json.loads((tmp_path / "out/report.json").read_bytes())
    assert report["stage_seconds"].keys() >= {"collect", "byte_lm", "learned", "neural", "read", "write"}
    # The codebook and one call for each part: the units found all in the table.
    assert len(asked) == 1 + PARTS
    assert min(asked) > 20
    assert preprocess(plain / "corpus", tmp_path / "out", *SMALL) == 0, "with or without is the same run"


def test_with_all_compressors_and_one_part(
    finished: Path, tmp_path: Path, preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the codebook lacks nothing: a table without segments."""
    monkeypatch.setattr(learned_table, "MAX_PARTS", 1)
    assert preprocess(finished / "corpus", tmp_path / "out", "--shards", "4", "--learn-once") == 0
    assert content(tmp_path / "out") == content(finished / "out")


@pytest.mark.parametrize("room", [0, 40])
def test_what_has_no_room_in_the_table_the_units_code(
    room: int, plain: Path, tmp_path: Path, preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch, asked: list[int]
) -> None:
    monkeypatch.setattr("pipeline.job.learning.MAX_SEGMENTS", room)
    assert preprocess(plain / "corpus", tmp_path / "out", *LEARN) == 0
    assert content(tmp_path / "out") == content(plain / "out")
    assert len(asked) > 1 + PARTS


@pytest.mark.parametrize(("method", "at"), [("_collect", 1), ("_collect", 3), ("_code", 2)])
def test_a_killed_run_loses_one_piece(
    method: str, at: int, plain: Path, tmp_path: Path, preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> int:
        return preprocess(plain / "corpus", tmp_path / "out", *LEARN)

    with monkeypatch.context() as patch:
        crash_in(patch, Learner, method, at)
        assert crashes(run)
    pieces = table_of(tmp_path / "out") / ("segments" if method == "_collect" else "codes")
    before = {path.name: path.stat().st_mtime_ns for path in pieces.iterdir()}
    assert len(before) == at - 1
    assert not (table_of(tmp_path / "out") / "table.json").exists()
    with monkeypatch.context() as patch:
        crash_in(patch, learned.LearnedCodes, "codes", 1)
        assert crashes(run)
    kept = {path.name: path.stat().st_mtime_ns for path in pieces.iterdir()}
    assert kept.items() >= before.items(), "what the killed run had made was not made again"
    with monkeypatch.context() as patch:
        for name in ("_collect", "_code"):
            crash_in(patch, Learner, name, 1)
        assert not crashes(run), "a finished table is not made again"
    assert content(tmp_path / "out") == content(plain / "out")


def test_a_run_without_it_ends_what_one_with_it_began(
    plain: Path, tmp_path: Path, preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        crash_in(patch, Learner, "_code", 2)
        assert crashes(lambda: preprocess(plain / "corpus", tmp_path / "out", *LEARN))
    with monkeypatch.context() as patch:
        crash_in(patch, Learner, "_code", 1)
        assert not crashes(lambda: preprocess(plain / "corpus", tmp_path / "out", *SMALL))
    assert content(tmp_path / "out") == content(plain / "out")
    assert not (tmp_path / "out/_work").exists()


def refusal(run: Callable[[], int], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a run that ends so."""
    capsys.readouterr()
    assert run() == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def test_a_damaged_file_is_one_line(
    plain: Path,
    tmp_path: Path,
    preprocess: Preprocess,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run() -> int:
        return preprocess(plain / "corpus", tmp_path / "out", *LEARN)

    for method, damages in (((Learner, "_code"), SEGMENTS), ((learned.LearnedCodes, "codes"), TABLE)):
        with monkeypatch.context() as patch:
            crash_in(patch, *method, 1)
            assert crashes(run)
        for name, damaged in damages:
            path = table_of(tmp_path / "out") / name
            whole = path.read_bytes()
            path.unlink()
            if damaged is not None:
                path.write_bytes(damaged or whole[:-3])
            line = refusal(run, capsys)
            assert f"{name} cannot be read" in line and "run the same command again" in line
            path.write_bytes(whole)
    assert not (tmp_path / "out/manifest.json").exists()
    assert run() == 0
    assert content(tmp_path / "out") == content(plain / "out")


SEGMENTS = [("segments/unit-00002", b""), ("segments/unit-00000", b"no head")]
TABLE = [("codes/part-00001.arrow", b""), ("codes/part-00002.arrow", None), ("table.json", b'{"parts": []}\n')]
"""Files, and what they hold instead: b"" is all but their last bytes, None that they are gone."""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--compressors", "gzip"), "add `neural` to --compressors"),
        (("--context", "document"), "of which --context document has none; leave one out"),
    ],
)
def test_what_has_no_segments_is_refused(
    options: tuple[str, ...], words: str, plain: Path, tmp_path: Path, preprocess: Preprocess, capsys: Any
) -> None:
    assert preprocess(plain / "corpus", tmp_path / "out", *options, "--learn-once") == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture(params=["s3", "gs"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A directory of a bucket for this test alone."""
    front: Front = request.getfixturevalue(request.param)
    place = f"{request.param}://data/learn-once"
    yield place
    front.reset()
    stores.remove(stores.join(place, name) for name in stores.below(place))


def test_into_a_store(
    url: str, plain: Path, preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch, asked: list[int]
) -> None:
    def run() -> int:
        return preprocess(plain / "corpus", url, *LEARN, "--workers", "2")

    with monkeypatch.context() as patch:
        crash_in(patch, Learner, "_code", 2)
        assert crashes(run)
    assert run() == 0
    assert {name: stores.read(f"{url}/{name}") for name in content(plain / "out")} == content(plain / "out")
    assert len(asked) == 1 + PARTS
    assert not [name for name in stores.below(url) if name.startswith("_work")]


@pytest.mark.slow
def test_on_a_job_service(plain: Path, models: Models, tmp_path: Path) -> None:
    arguments = ["preprocess", "--input", str(plain / "corpus"), "--output", "out", *models.options, *LEARN]
    with job_service(tmp_path) as service, worker_pool(tmp_path) as pool:
        runner = ["--runner", "PortableRunner", f"--job_endpoint={service}"]
        runner += ["--environment_type=EXTERNAL", f"--environment_config={pool}"]
        ended = submit([*arguments, *runner], tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert content(tmp_path / "out") == content(plain / "out")
    assert "learned" in json.loads((tmp_path / "out/report.json").read_bytes())["stage_seconds"]


@pytest.mark.slow
def test_on_dask(plain: Path, models: Models, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="needs Dask: pip install distributed")
    arguments = ["preprocess", "--input", str(plain / "corpus"), "--output", "out", *models.options, *LEARN]
    with dask_cluster(tmp_path) as (address, _):
        ended = submit([*arguments, "--runner", "DaskRunner", f"--dask_client_address={address}"], tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert content(tmp_path / "out") == content(plain / "out")
    assert "learned" in json.loads((tmp_path / "out/report.json").read_bytes())["stage_seconds"]
