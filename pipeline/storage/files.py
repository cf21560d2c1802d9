"""Files of an output directory, local or remote, through Beam's file systems.

Local files are replaced atomically and flushed to disk. A remote store's create and rename are what it makes of them;
readers therefore trust the manifest alone, which is written last.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from pipeline.storage import beam
from pipeline.storage.open import open_binary
from pipeline.storage.patience import NO_ROOM, patiently
from schemas.errors import SettingsError
from schemas.files import is_remote, replace_file


def is_local(path: str) -> bool:
    """Whether the path is on this machine's file system."""
    return not is_remote(path)


def join(directory: str, *names: str) -> str:
    """A path below a directory."""
    return os.path.join(directory, *names) if is_local(directory) else beam.file_systems().join(directory, *names)


def make_directory(path: str) -> None:
    """Make a directory; SettingsError, naming it, where that is impossible."""
    try:
        if is_local(path):
            os.makedirs(path, exist_ok=True)
        elif not beam.file_systems().exists(path):
            beam.file_systems().mkdirs(path)
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot write to {path} ({error}); choose another --output") from error


def exists(path: str) -> bool:
    """Whether there is a file or directory at the path."""
    return os.path.exists(path) if is_local(path) else patiently(lambda: beam.file_systems().exists(path), path)


def read_bytes(path: str) -> bytes:
    """A whole file."""
    with open_binary(path) as file:
        return file.read()


def write_bytes(path: str, data: bytes) -> None:
    """A whole file; locally a reader never sees a part of it."""
    if is_local(path):
        replace_file(path, data)
        return

    def write() -> None:
        with create(path) as file:
            file.write(data)

    patiently(write, path)


@contextmanager
def explain_no_room(output: str) -> Iterator[None]:
    """SettingsError, one line, where the body finds a full disk, a quota or a file size limit."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        places = f"{output}, or in {tempfile.gettempdir()} for temporary files"
        raise SettingsError(
            f"no room in {places} ({error.strerror}); free some, or set TMPDIR, and run the same command again: "
            "finished units are kept"
        ) from error


@contextmanager
def create(path: str) -> Iterator[IO[bytes]]:
    """A binary file to write from its beginning, without seeking.

    After the body it is on the disk; where the body raises, a local one is removed.
    """
    if is_local(path):
        try:
            with open(path, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            with suppress(OSError):
                os.remove(path)
            raise
        return
    with beam.file_systems().create(path, compression_type=beam.STORED_AS_IT_IS) as file:
        yield file


def rename(source: str, destination: str) -> None:
    """Move a file, replacing the one that has the new name."""
    if is_local(source):
        os.replace(source, destination)
    else:
        _rename_remote(source, destination)


def _rename_remote(source: str, destination: str) -> None:
    """Move an object. A store copies and then deletes, and an earlier attempt may have been cut off behind that."""
    attempts = 0

    def move() -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1 or beam.file_systems().exists(source) or not beam.file_systems().exists(destination):
            beam.file_systems().rename([source], [destination])

    patiently(move, destination)


def list_files(directory: str) -> dict[str, int | None]:
    """Names and sizes in bytes of the files directly in a directory, sorted by name; empty if there is none.

    A size that a store does not tell is None.
    """
    if is_local(directory):
        if not os.path.isdir(directory):
            return {}
        return {
            entry.name: entry.stat().st_size
            for entry in sorted(os.scandir(directory), key=lambda e: e.name)
            if entry.is_file()
        }
    return {os.path.basename(path): size for path, size in beam.sizes(join(directory, "*")).items()}


def remove(path: str) -> None:
    """Delete a file or a directory with all it holds; nothing happens if there is none."""
    if not is_local(path):
        # Object stores have no directories: what is in one is what its name begins.
        patiently(lambda: _remove_remote(path), path)
    elif os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


def _remove_remote(path: str) -> None:
    below = beam.file_systems().match([join(path, "**")])[0].metadata_list
    beam.file_systems().delete([path] * exists(path) + [match.path for match in below])


def local_copy(directory: str) -> str:
    """A local directory with the files below `directory`: itself if it is local, else a fresh copy."""
    if is_local(directory):
        return directory
    copy = tempfile.mkdtemp(prefix="compressors-")
    for stored in beam.sizes(join(directory, "**")):
        path = os.path.join(copy, stored[len(directory) :].lstrip("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_bytes(path, read_bytes(stored))
    return copy


def upload(local_directory: str, directory: str) -> None:
    """Copy the files below a local directory to where `local_copy` took it from; nothing to do if that is itself."""
    if is_local(directory):
        return
    for parent, _, names in sorted(os.walk(local_directory)):
        for name in sorted(names):
            path = os.path.join(parent, name)
            with open(path, "rb") as file:
                write_bytes(join(directory, *os.path.relpath(path, local_directory).split(os.sep)), file.read())
