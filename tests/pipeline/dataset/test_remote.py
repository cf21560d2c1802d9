"""Datasets in a store, read by every command as local ones, one shard at a time on this machine."""

from __future__ import annotations

import gc
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.__main__ import main
from schemas import open_dataset, patience, stores
from schemas.manifest import read_manifest
from schemas.patience import Patience
from schemas.shard_files import KeptShards, open_shards, read_batches
from tests.pipeline.runs import tree
from tests.store_servers import Front


@pytest.fixture(params=["s3", "gs"])
def front(request: pytest.FixtureRequest) -> Front:
    """One of the two servers."""
    found: Front = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def url(front: Front, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The finished dataset in that server; temporary files go to tmp_path/temporary."""
    place = f"{'gs' if front.is_google else 's3'}://data/datasets/out"
    if stores.look(f"{place}/manifest.json") is None:
        for name in tree(finished / "out"):
            stores.write(f"{place}/{name}", finished / "out" / name)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(patience, "PATIENCE", Patience(waits_s=(0.01, 0.02, 0.04, 0.08)))
    front.reset()
    yield place
    front.reset()


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What a command prints."""
    assert main([*arguments]) == code
    captured = capsys.readouterr()
    return captured.out if code == 0 else captured.err.splitlines()[-1]


def test_commands_say_what_they_say_of_a_local_one(
    url: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = str(finished / "out")
    assert said(capsys, "verify", url) == said(capsys, "verify", local)
    assert open_dataset(url).table().equals(open_dataset(local).table())
    for view in ("raw", "paired"):
        shown = said(capsys, "show", local, "--view", view)
        assert said(capsys, "show", url, "--view", view) == shown
        assert said(capsys, "show", f"{url}/shard-00000-of-00004.arrow", "--view", view) == shown
    for place, out in ((local, "a"), (url, "b")):
        said(capsys, "decode", place, "--out", str(tmp_path / out), "--compressor", "gzip")
    assert tree(tmp_path / "a") == tree(tmp_path / "b") != {}
    plan = ("plan", "--bytes", "1000000000", "--dataset")
    assert said(capsys, *plan, url) == said(capsys, *plan, local).replace(local, url)
    gc.collect()
    assert not list((tmp_path / "temporary").iterdir())


def test_one_shard_at_a_time(url: str, front: Front, finished: Path, tmp_path: Path) -> None:
    local = list(open_shards(finished / "out"))
    most = max(shard.file_bytes for shard in read_manifest(url).shards)
    front.reset()
    for ours, batch in zip(local, open_shards(url), strict=True):
        assert ours.equals(batch)
        found = [path.stat().st_size for path in (tmp_path / "temporary").rglob("*") if path.is_file()]
        assert len(found) == 1 and sum(found) <= most
    # The manifest, a listing, and of each shard a look and a block.
    assert front.seen.requests == 2 + 2 * 4


@pytest.mark.parametrize("free_bytes", [1 << 40, 0])
def test_what_is_read_twice_is_copied_once_where_there_is_room(
    free_bytes: int,
    url: str,
    front: Front,
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(free_bytes, 0, free_bytes))  # type: ignore[attr-defined]
    said(capsys, "decode", url, "--out", str(tmp_path / "out"), "--compressor", "gzip")
    said(capsys, "decode", str(finished / "out"), "--out", str(tmp_path / "local"), "--compressor", "gzip")
    assert tree(tmp_path / "out") == tree(tmp_path / "local") != {}
    copies = [path for path in front.seen.paths if path.startswith("GET") and "shard-0" in path]
    assert len(copies) == (4 if free_bytes else 8)
    front.reset()
    with KeptShards() as kept:
        whole = list(open_shards(url, kept))
        assert list(read_batches(url, {0, len(whole) - 1}, kept)) == [whole[0], whole[-1]]
    copies = [path for path in front.seen.paths if path.startswith("GET") and "shard-0" in path]
    assert len(copies) == (4 if free_bytes else 8), "analyze reads so"
    assert not [path for path in (tmp_path / "temporary").iterdir() if path.name.startswith("shard")]


def test_a_store_that_fails_now_and_then(url: str, front: Front, capsys: pytest.CaptureFixture[str]) -> None:
    front.trouble.every = 3
    assert said(capsys, "verify", url).startswith("verified: 93 documents")
    assert front.seen.troubled > 5
    front.trouble.every, front.trouble.fail = 0, "GET .*shard-00002"
    line = said(capsys, "verify", url, code=1)
    assert f"error: {url}/shard-00002-of-00004.arrow failed 5 times" in line
    assert "503 SlowDown" in line


def test_what_is_not_there_or_another(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = url.replace("/out", "/nothing")
    for command in ("verify", "show", "analyze"):
        more = ("--out", "unused") if command == "analyze" else ()
        assert f"{nothing} holds no manifest.json" in said(capsys, command, nothing, *more, code=2)
    assert "is a URL; give a directory as --out" in said(capsys, "analyze", url, code=2)
    path, shard = f"{url}/shard-00001-of-00004.arrow", stores.read(f"{url}/shard-00001-of-00004.arrow")
    try:
        stores.write(path, shard[:-9] + b"x" + shard[-8:])
        assert f"shard {path} is damaged: its sha256 is" in said(capsys, "verify", url, code=1)
        stores.remove([path])
        assert f"shard {path} is missing" in said(capsys, "verify", url, code=1)
    finally:
        stores.write(path, shard)
