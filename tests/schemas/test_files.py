"""Whole files or none, readable by whom the umask says."""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.files import atomic_path, replace_file


@pytest.fixture
def narrow() -> Iterator[None]:
    """A umask that is not the usual one."""
    before = os.umask(0o027)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.usefixtures("narrow")
def test_a_new_file_has_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    replace_file(tmp_path / "a", b"a")
    with atomic_path(tmp_path / "b") as temporary:
        # As safetensors does.
        os.remove(temporary)
        os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    assert (mode(tmp_path / "a"), mode(tmp_path / "b")) == (0o640, 0o640)


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    replace_file(tmp_path / "a", b"old")
    with pytest.raises(KeyError), atomic_path(tmp_path / "a") as temporary:
        Path(temporary).write_bytes(b"new")
        raise KeyError
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


@pytest.mark.parametrize(("program", "words"), [("pipeline", ["show", "data/x"]), ("trainer", ["generate", "runs/x"])])
def test_without_a_temporary_directory_a_command_is_refused_in_one_line(
    program: str, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc"])
    assert importlib.import_module(f"{program}.__main__").main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: no directory for temporary files") and "set TMPDIR" in line
