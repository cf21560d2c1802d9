"""Runs that write to a store, and read from one: real servers, a local run's bytes, and what a store fails to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.__main__ import main
from pipeline.job.compress_unit import Commit, UnitCompressor
from pipeline.storage import lock
from schemas import patience, store_clients, stores
from schemas.patience import Patience
from tests.pipeline.corpora import jsonl, texts
from tests.pipeline.runs import Preprocess, content, told
from tests.store_servers import Front

UNITS = 6
GZIP = ("--compressors", "gzip", "--shards", str(UNITS), "--workers", "2", "--max-reject-fraction", "0.5")
WAITS = (0.01, 0.02, 0.04, 0.08)


@pytest.fixture(params=["s3", "gs"])
def front(request: pytest.FixtureRequest) -> Front:
    """One of the two servers."""
    found: Front = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def url(front: Front, request: pytest.FixtureRequest) -> Iterator[str]:
    """A directory of that server's bucket for this test alone."""
    place = f"{'gs' if front.is_google else 's3'}://data/{request.node.originalname}"
    yield place
    front.reset()
    stores.remove(stores.join(place, name) for name in stores.below(place))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits."""
    monkeypatch.setattr(patience, "PATIENCE", Patience(waits_s=WAITS))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, preprocess: Preprocess) -> tuple[Path, dict[str, bytes]]:
    """A corpus of six units, some with rejects, and the content of its dataset."""
    directory = tmp_path_factory.mktemp("small")
    (directory / "corpus").mkdir()
    for number in range(3):
        lines = jsonl(*({"text": f"{number} {text}" * 40} for text in texts(12))) + b"bad\n" * number
        (directory / "corpus" / f"{number}.jsonl").write_bytes(lines)
    assert preprocess(directory / "corpus", directory / "out", *GZIP) == 0
    return directory / "corpus", content(directory / "out")


def stored(url: str) -> dict[str, bytes]:
    """All that a dataset in a store is, as `content` says it of a local one."""
    names = [name for name in stores.below(url) if name.startswith(("manifest.json", "shard-", "rejects/"))]
    return {name: stores.read(stores.join(url, name)) for name in sorted(names)}


def test_all_compressors_write_the_bytes_of_a_local_run(
    front: Front, url: str, finished: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    assert preprocess(finished / "corpus", url, "--shards", "4") == 0
    assert stored(url) == content(finished / "out")
    assert not [name for name in stores.below(url) if name.startswith(("_work", ".lock"))]
    before = stores.below(url)
    assert preprocess(finished / "corpus", url, "--shards", "4") == 0
    assert stores.below(url) == before, "what is finished is not written again"
    assert preprocess(finished / "corpus", url, "--shards", "5") == 2
    capsys.readouterr()
    stores.remove([f"{url}/manifest.json"])
    assert preprocess(finished / "corpus", url, "--shards", "4", "--theta", "quantile=0.5") == 2
    assert f"{url}/compressors/neural was made with" in told(capsys), "and not its copy on this machine"


def test_a_unit_takes_five_requests(
    front: Front, url: str, small: tuple[Path, dict[str, bytes]], preprocess: Preprocess
) -> None:
    """Its shard, its rejects, a look for its record, the record, and its removal; the run itself takes at most 60."""
    assert preprocess(small[0], url, *GZIP) == 0
    assert stored(url) == small[1]
    shards = [path for path in front.seen.paths if "shard-0" in path]
    assert len([path for path in shards if path.startswith("PUT") and "rejects" not in path]) == UNITS
    assert len(front.seen.paths) <= 5 * UNITS + 60


def test_a_corpus_in_a_store(
    front: Front, url: str, small: tuple[Path, dict[str, bytes]], preprocess: Preprocess, tmp_path: Path
) -> None:
    for path in sorted(small[0].iterdir()):
        stores.write(stores.join(url, "corpus", path.name), path)
    for pattern in ("corpus", "corpus/*.jsonl", "corpus/**/[0-9].jsonl"):
        out = tmp_path / str(len(pattern))
        assert preprocess([f"{url}/{pattern}"], out, *GZIP) == 0  # type: ignore[list-item]
        assert content(out) == small[1]


def test_models_of_a_dataset_in_a_store_are_taken(
    front: Front, url: str, finished: Path, small: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    for path in sorted(path for path in (finished / "out").rglob("*") if path.is_file()):
        stores.write(stores.join(url, "first", path.relative_to(finished / "out").as_posix()), path)

    def take(origin: str, output: str) -> None:
        options = ["--compressors-of", origin, "--compressors", "neural,tokenizer", *GZIP[2:]]
        assert main(["preprocess", "--input", str(small[0]), "--output", output, *options]) == 0

    take(f"{url}/first", f"{url}/second")
    take(str(finished / "out"), str(tmp_path / "local"))
    assert stored(f"{url}/second") == content(tmp_path / "local")


def test_an_output_within_its_input_is_refused(
    front: Front, url: str, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    stores.write(f"{url}/a.jsonl", jsonl({"text": "a"}))
    assert preprocess([url], f"{url}/out", *GZIP) == 2  # type: ignore[list-item]
    assert "lies in the input" in told(capsys)


def test_a_killed_run_goes_on(
    front: Front,
    url: str,
    small: tuple[Path, dict[str, bytes]],
    preprocess: Preprocess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compressed: list[int] = []
    compress = UnitCompressor.compress

    def spy(self: UnitCompressor, unit: Any, attempt: str) -> Commit:
        compressed.append(unit.index)
        if len(compressed) == 3:
            raise KeyboardInterrupt
        return compress(self, unit, attempt)

    one_by_one = (*GZIP[:4], "--workers", "1", *GZIP[6:])
    monkeypatch.setattr(UnitCompressor, "compress", spy)
    with pytest.raises(BaseException, match=r"|KeyboardInterrupt"):
        assert preprocess(small[0], url, *one_by_one) == 0
    done = list(stores.below(f"{url}/_work/done"))
    assert len(done) == 2
    assert not stores.look(f"{url}/manifest.json")
    # One of the two shards becomes another's, as by a run with other settings; one record is another run's.
    first = Commit.from_bytes(stores.read(f"{url}/_work/done/{done[0]}"))
    stores.write(f"{url}/{first.shard.name}", b"x" * (first.shard.file_bytes + front.is_google))
    compressed[:] = range(100)
    assert preprocess(small[0], url, *one_by_one) == 0
    assert len(compressed) - 100 == UNITS - 1
    assert stored(url) == small[1]


def test_a_store_that_fails_now_and_then(
    front: Front, url: str, small: tuple[Path, dict[str, bytes]], preprocess: Preprocess
) -> None:
    front.trouble.every, front.trouble.burst, front.trouble.cut = 5, 10, 3
    assert preprocess(small[0], url, *GZIP) == 0
    assert front.seen.troubled > 20
    assert front.trouble.cut == 0, "three uploads were cut"
    front.reset()
    assert stored(url) == small[1]


def test_a_store_that_goes_on_failing(
    front: Front,
    url: str,
    small: tuple[Path, dict[str, bytes]],
    preprocess: Preprocess,
    capsys: pytest.CaptureFixture[str],
) -> None:
    front.trouble.fail = "PUT .*shard-00003"
    assert preprocess(small[0], url, *GZIP) == 1
    line = told(capsys)
    assert f"{url}/shard-00003-of-00006.arrow failed 5 times" in line
    assert "503 SlowDown" in line
    assert "run the same command again" in line
    front.reset()
    assert not [name for name in stores.below(url) if name.startswith(("shard-00003", "manifest"))]
    assert preprocess(small[0], url, *GZIP) == 0
    assert stored(url) == small[1]


def test_a_long_object_is_there_whole_or_not_at_all(s3: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "PART_BYTES", 5 << 20)
    path = tmp_path / "long"
    path.write_bytes(bytes(range(256)) * (12 << 12))
    s3.trouble.cut, s3.trouble.every, s3.trouble.cut_bytes = 1, 4, 1 << 20
    stores.write("s3://data/long", path)
    assert s3.seen.troubled
    s3.reset()
    assert b"".join(stores.blocks("s3://data/long")) == path.read_bytes()
    assert stores.read("s3://data/long") == path.read_bytes()
    s3.trouble.fail = "PUT .*partNumber=2"
    with pytest.raises(Exception, match="s3://data/another failed 5 times"):
        stores.write("s3://data/another", path)
    s3.reset()
    assert stores.look("s3://data/another") is None
    stores.remove(["s3://data/long"])


def test_a_key_that_is_wrong(
    s3: Front,
    small: tuple[Path, dict[str, bytes]],
    preprocess: Preprocess,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(store_clients, "_clients", {})
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not this")
    assert preprocess(small[0], "s3://data/out", *GZIP) == 2
    line = told(capsys)
    assert "cannot write to s3://data/out (403 SignatureDoesNotMatch)" in line
    assert preprocess([f"s3://data/{small[0].name}"], "unused", *GZIP) == 2  # type: ignore[list-item]
    assert "403 Forbidden" in told(capsys)


def test_a_bucket_that_is_not_there(
    gs: Front, small: tuple[Path, dict[str, bytes]], preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    assert preprocess(small[0], "gs://nobodys/out", *GZIP) == 2
    assert "cannot write to gs://nobodys/out" in told(capsys)


def test_one_run_at_a_time(front: Front, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.1)
    with lock.hold(url):
        with pytest.raises(Exception, match="another run is writing"), lock.hold(url):
            pass
        time.sleep(0.3)
        assert stores.read(f"{url}/.lock").rpartition(b" ")[2] != b"0", "it is written again and again"
    assert stores.look(f"{url}/.lock") is None
    stores.write(f"{url}/.lock", b"gone 7 123 4")
    left = stores.look(f"{url}/.lock")
    with lock.hold(url):
        assert not stores.read(f"{url}/.lock").startswith(b"gone")
        assert stores.write_instead(f"{url}/.lock", b"late", of=left) is None, "who saw it dead too comes too late"
