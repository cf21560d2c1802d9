"""Digests, canonical JSON and whole-file replacement: how the bytes of every small file are made."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from schemas.errors import SettingsError


def sha256_hex(data: bytes) -> str:
    """sha256 of `data` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: str | os.PathLike[str]) -> str:
    """sha256 of a local file's bytes as 64 hex digits, read piece by piece."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_remote(path: str) -> bool:
    """Whether `path` is a URL, such as s3://… or https://…, and not a local path."""
    return "://" in path


def check_temporary_directory() -> None:
    """SettingsError where no directory for temporary files can be written: then torch and Beam cannot be loaded."""
    try:
        tempfile.gettempdir()
    except OSError as error:
        raise SettingsError(
            "no directory for temporary files can be written, none of /tmp, /var/tmp and where this command was given; "
            "set TMPDIR to one that can"
        ) from error


def make_room(path: str, option: str = "--out") -> None:
    """Make the directory of a file that is to be written, before the work whose result it holds.

    SettingsError, which names the option that `path` was given by, where there can be no such file.
    """
    directory = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot write to {directory} ({error.strerror}); choose another {option}") from error
    if os.path.isdir(path):
        raise SettingsError(f"{option} {path} is a directory; give a file")


def canonical_json(value: Any) -> bytes:
    """`value` as UTF-8 JSON with sorted keys and a final newline; equal values give equal bytes."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def json_line(value: Any) -> str:
    """`value` as one line of JSON with sorted keys and a newline: a row of a JSON lines file."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False) + "\n"


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[str]:
    """A temporary path beside `path` to write to; on leaving it is synchronised to disk and takes the place of `path`.

    A reader sees the old file or the whole new one, never a part, also after a crash. When the body raises, the
    temporary file is removed and `path` stays as it was. It may be read by whom the umask says, whoever wrote it. For
    local files only.
    """
    temporary = f"{os.fspath(path)}.tmp"
    try:
        with open(temporary, "wb") as empty:
            mode = os.fstat(empty.fileno()).st_mode
        yield temporary
        with open(temporary, "rb+") as file:
            os.fchmod(file.fileno(), mode & 0o777)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.remove(temporary)
        raise


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A binary file to write, which takes the place of `path` as `atomic_path` says."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        yield file


def replace_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Put `data` at a local path as `atomic_path` says."""
    with atomic_file(path) as file:
        file.write(data)
