"""Files by path, the same on this machine and in an object store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.storage import files as storage
from schemas.errors import SettingsError
from tests.pipeline.runs import BucketFileSystem

ROOT = Path(__file__).parents[3]


@pytest.fixture(params=["local", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A directory to write to."""
    if request.param == "local":
        yield str(tmp_path / "place")
    else:
        BucketFileSystem.objects.clear()
        yield "bucket://b/place"
        BucketFileSystem.objects.clear()


def test_what_is_written_is_read(place: str) -> None:
    storage.make_directory(place)
    storage.make_directory(place)
    path = storage.join(place, "a")
    assert not storage.exists(path)
    for data in (b"one", b"", b"two" * 1000):
        storage.write_bytes(path, data)
        assert storage.exists(path)
        assert storage.read_bytes(path) == data


def test_create_is_a_stream(place: str) -> None:
    storage.make_directory(place)
    with storage.create(storage.join(place, "a.gz")) as file:
        file.write(b"not ")
        file.write(b"gzip")
    assert storage.read_bytes(storage.join(place, "a.gz")) == b"not gzip"


def test_rename_replaces(place: str) -> None:
    storage.make_directory(place)
    a, b = storage.join(place, "a"), storage.join(place, "b")
    storage.write_bytes(a, b"new")
    storage.write_bytes(b, b"old")
    storage.rename(a, b)
    assert not storage.exists(a)
    assert storage.read_bytes(b) == b"new"


def test_listing_is_sorted_and_flat(place: str) -> None:
    assert storage.list_files(place) == {}
    storage.make_directory(storage.join(place, "deep"))
    for name in ("c", "a", "b.json"):
        storage.write_bytes(storage.join(place, name), name.encode())
    storage.write_bytes(storage.join(place, "deep", "d"), b"")
    assert list(storage.list_files(place).items()) == [("a", 1), ("b.json", 6), ("c", 1)]


def test_remove_takes_files_and_whole_directories(place: str) -> None:
    storage.make_directory(storage.join(place, "work", "done"))
    kept, gone = storage.join(place, "workshop"), storage.join(place, "work", "done", "x")
    storage.write_bytes(kept, b"kept")
    storage.write_bytes(gone, b"")
    storage.write_bytes(storage.join(place, "work", "y"), b"")
    for _ in range(2):
        storage.remove(storage.join(place, "work"))
        assert not storage.exists(gone)
        assert storage.list_files(storage.join(place, "work")) == {}
        assert storage.read_bytes(kept) == b"kept"
    for _ in range(2):
        storage.remove(kept)
        assert not storage.exists(kept)


def test_copy_and_upload_are_inverse(place: str, tmp_path: Path) -> None:
    storage.make_directory(storage.join(place, "deep", "er"))
    files = {"a": b"1", "deep/b": b"2", "deep/er/c": b"3"}
    for name, data in files.items():
        storage.write_bytes(storage.join(place, *name.split("/")), data)
    copy = storage.local_copy(place)
    assert storage.is_local(copy)
    assert (copy == place) == storage.is_local(place)
    found = {str(path.relative_to(copy)): path.read_bytes() for path in Path(copy).rglob("*") if path.is_file()}
    assert found == files
    (Path(copy) / "deep" / "new").write_bytes(b"4")
    storage.upload(copy, place)
    assert storage.read_bytes(storage.join(place, "deep", "new")) == b"4"
    assert storage.read_bytes(storage.join(place, "deep", "er", "c")) == b"3"


def test_an_empty_place_copies_to_an_empty_directory() -> None:
    BucketFileSystem.objects.clear()
    assert os.listdir(storage.local_copy("bucket://b/nothing")) == []


def test_a_local_file_is_replaced_whole_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    storage.write_bytes(str(path), b"old")

    def cut(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", cut)
        with pytest.raises(OSError):
            storage.write_bytes(str(path), b"new")
    assert path.read_bytes() == b"old"


def test_local_files_are_on_the_disk_when_they_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit record must not outlive the shard that it speaks of."""
    synced: list[int] = []
    fsync = os.fsync

    def spy(number: int) -> None:
        synced.append(os.fstat(number).st_size)
        fsync(number)

    monkeypatch.setattr(os, "fsync", spy)
    with storage.create(str(tmp_path / "a")) as file:
        file.write(b"12345")
    storage.write_bytes(str(tmp_path / "b"), b"123")
    assert synced == [5, 3]


@pytest.mark.parametrize("path", ["/dev/null/x", "/proc/nothing/x", "nowhere://b/x"])
def test_directories_that_cannot_be(path: str) -> None:
    with pytest.raises(SettingsError, match=f"cannot write to {path} .*choose another --output") as caught:
        storage.make_directory(path)
    assert "\n" not in str(caught.value)


def test_local_paths_need_no_beam(tmp_path: Path) -> None:
    code = """
import sys
from pipeline.storage import files as storage
place = sys.argv[1] + "/a/b"
storage.make_directory(place)
storage.write_bytes(place + "/c", b"1")
storage.rename(place + "/c", place + "/d")
assert storage.list_files(place) == {"d": 1}
storage.remove(sys.argv[1] + "/a")
assert not storage.exists(place)
assert "apache_beam" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True)
