"""Files of an output directory, local or in a store.

Local files are replaced atomically and flushed to disk. An object of a store is there whole or not at all. Readers
trust the manifest alone, which is written last.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from schemas import stores
from schemas.errors import SettingsError, UserError
from schemas.files import is_remote, replace_file
from schemas.patience import NO_ROOM
from schemas.remote import copy_file
from schemas.remote import join as join
from schemas.remote import read_bytes as read_bytes
from schemas.stores import StoredObject


def is_local(path: str) -> bool:
    """Whether the path is on this machine's file system."""
    return not is_remote(path)


def check_name_encoding() -> None:
    """SettingsError unless names of files are UTF-8 here: elsewhere equal files would get other names and ids."""
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8":
        raise SettingsError(f"names of files are {encoding} in this locale, not UTF-8; set PYTHONUTF8=1")


def make_directory(path: str) -> None:
    """Make a directory, of which stores have none; SettingsError, naming it, where that is impossible."""
    try:
        if is_local(path):
            os.makedirs(path, exist_ok=True)
        else:
            stores.check_url(path)
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot write to {path} ({error}); choose another --output") from error


def exists(path: str) -> bool:
    """Whether there is a file at the path, or locally a directory."""
    return os.path.exists(path) if is_local(path) else stores.look(path) is not None


def write_bytes(path: str, data: bytes) -> None:
    """A whole file; a reader never sees a part of it."""
    if is_local(path):
        replace_file(path, data)
    else:
        stores.write(path, data)


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


@dataclass(kw_only=True, slots=True)
class Created:
    """A file that is being written."""

    file: IO[bytes]
    """Binary; written from its beginning, without seeking."""
    version: str = ""
    """After it is whole: what a store calls this version of it; empty on this machine."""


@contextmanager
def create(path: str) -> Iterator[Created]:
    """A file to write. After the body it is on the disk, or in the store; where the body raises, there is none.

    What goes to a store is written to this machine's temporary directory first.
    """
    if is_local(path):
        try:
            with open(path, "wb") as file:
                yield Created(file=file)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            with suppress(OSError):
                os.remove(path)
            raise
        return
    with tempfile.NamedTemporaryFile(prefix="upload-") as staged:
        created = Created(file=staged)
        yield created
        staged.flush()
        created.version = stores.write(path, Path(staged.name)).version


def rename(source: str, destination: str) -> None:
    """Move a local file, replacing the one that has the new name."""
    os.replace(source, destination)


def list_files(directory: str) -> dict[str, int]:
    """Name to size in bytes of the files that lie directly in a directory, sorted by name; of none, none."""
    return {name: stored.size_bytes for name, stored in list_stored(directory).items()}


def list_stored(directory: str) -> dict[str, StoredObject]:
    """As `list_files`, with what a store says of each; a version is empty on this machine."""
    if not is_local(directory):
        return stores.within(directory)
    if not os.path.isdir(directory):
        return {}
    entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    sizes = {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
    return {name: StoredObject(size_bytes=size, version="") for name, size in sizes.items()}


def remove(path: str) -> None:
    """Delete a file or a directory with all it holds; nothing happens if there is none."""
    if not is_local(path):
        stores.remove([stores.join(path, name) for name in stores.below(path)] or [path])
    elif os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


def remove_all(directory: str, names: Collection[str]) -> None:
    """Delete files that lie directly in a directory; of a store many by one request."""
    paths = [join(directory, name) for name in names]
    if not is_local(directory):
        stores.remove(paths)
        return
    for path in paths:
        remove(path)


class LocalCopy:
    """A local directory with the files below another: itself if that is local, else a copy.

    A copy goes with this object, or at the latest with the process.
    """

    def __init__(self, directory: str, names: Collection[str] | None = None) -> None:
        """names: copy these alone, where they exist."""
        self._origin = directory
        self.directory = directory
        """Where the files are on this machine."""
        if is_local(directory):
            return
        self.directory = tempfile.mkdtemp(prefix="copy-")
        weakref.finalize(self, shutil.rmtree, self.directory, ignore_errors=True)
        for name in stores.below(directory):
            if names is None or name in names:
                path = Path(self.directory, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                copy_file(stores.join(directory, name), path)
        self._had = self._files()

    def upload(self) -> None:
        """Send what is new or changed to where the copy was taken from; nothing to do for a directory itself."""
        if not is_local(self._origin):
            found = self._files()
            for name, seen in found.items():
                if self._had.get(name) != seen:
                    stores.write(stores.join(self._origin, name), Path(self.directory, name))
            self._had = found

    @contextmanager
    def named_by_origin(self, kind: type[UserError]) -> Iterator[None]:
        """Errors of the body that name the copy name what it is a copy of instead."""
        try:
            yield
        except kind as error:
            if self.directory == self._origin:
                raise
            raise type(error)(str(error).replace(self.directory, self._origin)) from error

    def _files(self) -> dict[str, tuple[int, int]]:
        """Relative name to size and modification time."""
        paths = sorted(path for path in Path(self.directory).rglob("*") if path.is_file())
        stats = ((path, path.stat()) for path in paths)
        return {path.relative_to(self.directory).as_posix(): (at.st_size, at.st_mtime_ns) for path, at in stats}
