"""Files by path, the same on this machine and in an object store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.storage import files
from schemas.errors import SettingsError

ROOT = Path(__file__).parents[3]


@pytest.fixture(params=["local", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A directory to write to."""
    if request.param == "local":
        yield str(tmp_path / "place")
    else:
        yield f"file://{tmp_path}/bucket/place"


def test_what_is_written_is_read(place: str) -> None:
    files.make_directory(place)
    files.make_directory(place)
    path = files.join(place, "a")
    assert not files.exists(path)
    for data in (b"one", b"", b"two" * 1000):
        files.write_bytes(path, data)
        assert files.exists(path)
        assert files.read_bytes(path) == data


def test_create_is_a_stream(place: str) -> None:
    files.make_directory(place)
    with files.create(files.join(place, "a.gz")) as created:
        created.file.write(b"not ")
        created.file.write(b"gzip")
    assert files.read_bytes(files.join(place, "a.gz")) == b"not gzip"


def test_what_is_not_written_to_its_end_is_not_there(place: str) -> None:
    files.make_directory(place)
    path = files.join(place, "a")

    with pytest.raises(MemoryError), files.create(path) as created:
        created.file.write(b"half")
        raise MemoryError
    assert not files.exists(path)


def test_listing_is_sorted_and_flat(place: str) -> None:
    assert files.list_files(place) == {}
    files.make_directory(files.join(place, "deep"))
    for name in ("c", "a", "b.json"):
        files.write_bytes(files.join(place, name), name.encode())
    files.write_bytes(files.join(place, "deep", "d"), b"")
    assert list(files.list_files(place).items()) == [("a", 1), ("b.json", 6), ("c", 1)]


def test_remove_takes_files_and_whole_directories(place: str) -> None:
    files.make_directory(files.join(place, "work", "done"))
    kept, gone = files.join(place, "workshop"), files.join(place, "work", "done", "x")
    files.write_bytes(kept, b"kept")
    files.write_bytes(gone, b"")
    files.write_bytes(files.join(place, "work", "y"), b"")
    for _ in range(2):
        files.remove(files.join(place, "work"))
        assert not files.exists(gone)
        assert files.list_files(files.join(place, "work")) == {}
        assert files.read_bytes(kept) == b"kept"
    for _ in range(2):
        files.remove(kept)
        assert not files.exists(kept)


def test_copy_and_upload_are_inverse(place: str, tmp_path: Path) -> None:
    files.make_directory(files.join(place, "deep", "er"))
    content = {"a": b"1", "deep/b": b"2", "deep/er/c": b"3"}
    for name, data in content.items():
        files.write_bytes(files.join(place, *name.split("/")), data)
    copied = files.LocalCopy(place)
    copy = copied.directory
    assert files.is_local(copy)
    assert (copy == place) == files.is_local(place)
    found = {str(path.relative_to(copy)): path.read_bytes() for path in Path(copy).rglob("*") if path.is_file()}
    assert found == content
    (Path(copy) / "deep" / "new").write_bytes(b"4")
    copied.upload()
    assert files.read_bytes(files.join(place, "deep", "new")) == b"4"
    assert files.read_bytes(files.join(place, "deep", "er", "c")) == b"3"
    del copied
    assert os.path.exists(copy) == files.is_local(place), "a copy goes with its object"


def test_an_empty_place_copies_to_an_empty_directory(tmp_path: Path) -> None:
    assert os.listdir(files.LocalCopy(f"file://{tmp_path}/nothing").directory) == []


def test_a_local_file_is_replaced_whole_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    files.write_bytes(str(path), b"old")

    def cut(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", cut)
        with pytest.raises(OSError):
            files.write_bytes(str(path), b"new")
    assert path.read_bytes() == b"old"


def test_local_files_are_on_the_disk_when_they_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit record must not outlive the shard that it speaks of."""
    synced: list[int] = []
    fsync = os.fsync

    def spy(number: int) -> None:
        synced.append(os.fstat(number).st_size)
        fsync(number)

    monkeypatch.setattr(os, "fsync", spy)
    with files.create(str(tmp_path / "a")) as created:
        created.file.write(b"12345")
    files.write_bytes(str(tmp_path / "b"), b"123")
    assert synced == [5, 3]


@pytest.mark.parametrize("path", ["/dev/null/x", "/proc/nothing/x", "nowhere://b/x"])
def test_directories_that_cannot_be(path: str) -> None:
    with pytest.raises(SettingsError, match=f"cannot write to {path} .*choose another --output") as caught:
        files.make_directory(path)
    assert "\n" not in str(caught.value)


def test_local_paths_need_no_beam(tmp_path: Path) -> None:
    code = """
import sys
from pipeline.storage import files
place = sys.argv[1] + "/a/b"
files.make_directory(place)
files.write_bytes(place + "/c", b"1")
files.rename(place + "/c", place + "/d")
assert files.list_files(place) == {"d": 1}
files.remove(sys.argv[1] + "/a")
assert not files.exists(place)
assert "apache_beam" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True)
