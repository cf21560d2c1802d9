"""Local files and directories, with links followed: every name ends as a file to read or as one that is not, and why.

directory ── its tree, without following links ──► files
              └─ links to directories, sorted ── each a tree of its own, if it was not walked yet ──► files
one file under several names: the name without links, else the first, is read
"""

from __future__ import annotations

import glob
import os
import posixpath
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pipeline.corpus.source_files import NotRead, format_of
from schemas.errors import InputError
from schemas.files import is_remote

SKIPPED_DIRECTORIES = frozenset({"__pycache__", "site-packages", "dist-packages", "node_modules"})
"""Directories that are not looked into, like every one whose name begins with a dot."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundFile:
    """A file as one input sees it."""

    path: str
    root: str
    """The part of `path` before the file's name in the corpus, without a final slash."""
    size_bytes: int | None
    """None: unknown, as that of a link to nothing is."""
    format: str

    @property
    def plain_path(self) -> str:
        """`path` without the query of a URL."""
        return self.path.partition("?")[0] if is_remote(self.path) else self.path

    @property
    def source(self) -> str:
        """The path below the root."""
        return self.plain_path[len(self.root) :].lstrip("/")

    def not_read(self, reason: str) -> NotRead:
        """The file, as one that is left out."""
        return NotRead(path=printable(self.path), reason=reason, size_bytes=self.size_bytes)


@dataclass(kw_only=True, slots=True)
class Found:
    """What one input names."""

    files: list[FoundFile] = field(default_factory=list)
    """Named by themselves or by a glob: they are read whatever they are."""
    directories: list[list[FoundFile]] = field(default_factory=list)
    """Files of each directory, of which some are read."""
    not_read: list[NotRead] = field(default_factory=list)


def found_file(path: str, root: str, size_bytes: int | None) -> FoundFile:
    """A file, its format by its suffix."""
    return FoundFile(path=path, root=root, size_bytes=size_bytes, format=format_of(path))


def printable(path: str) -> str:
    """`path` with the bytes that are not UTF-8 written as \\xNN."""
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")


def is_skipped(directory_name: str) -> bool:
    """Whether a directory of this name is not looked into."""
    return directory_name.startswith(".") or directory_name in SKIPPED_DIRECTORIES


def glob_root(pattern: str) -> str:
    """The directory before the first part of `pattern` that holds a wildcard."""
    return posixpath.dirname(re.split(r"[*?\[]", pattern, maxsplit=1)[0])


def find_local(pattern: str) -> Found:
    """What a local path or glob names. InputError for a directory that cannot be listed."""
    literal = os.path.lexists(pattern)
    paths = [pattern] if literal else sorted(glob.glob(pattern, recursive=True))
    root = os.path.abspath(os.path.dirname(pattern) if literal else glob_root(pattern))
    found = Found()
    paths = sorted({os.path.abspath(path) for path in paths})
    for path in paths:
        if os.path.isdir(path):
            # What "**" has found in a directory says which of its files are meant.
            if not any(other.startswith(os.path.join(path, "")) for other in paths):
                _add_directory(found, path, root=path if literal else root)
        else:
            _add_file(found, path, root)
    return found


def _add_file(found: Found, path: str, root: str) -> None:
    """A file that was named, or why it is none."""
    file = _file(path, root)
    if isinstance(file, NotRead):
        found.not_read.append(file)
    else:
        found.files.append(file)


def _file(path: str, root: str) -> FoundFile | NotRead:
    """A file that can be opened, or a link to nothing, which the reader then names; else why it is not read."""
    try:
        status = os.stat(path)
    except OSError:
        return found_file(path, root, None)
    if stat.S_ISREG(status.st_mode):
        return found_file(path, root, status.st_size)
    return NotRead(path=printable(path), reason="no regular file", size_bytes=None)


def _add_directory(found: Found, directory: str, *, root: str) -> None:
    """The files below a directory, and the names that are left out."""
    walk = _Walk(directory, root)
    files = list(walk.files())
    # One file under several names is read once: by the name without a link below the directory, else by the first.
    # Links above it are where the corpus lies, on which no name may depend.
    real = {file.path: os.path.realpath(file.path) for file in files}
    real_directory = os.path.realpath(directory)

    def by_a_link(file: FoundFile) -> bool:
        return real[file.path] != os.path.join(real_directory, file.path.removeprefix(directory).lstrip(os.sep))

    chosen: dict[str, FoundFile] = {}
    for file in sorted(files, key=lambda file: (by_a_link(file), file.path)):
        chosen.setdefault(real[file.path], file)
    kept = {file.path for file in chosen.values()}
    found.directories.append([file for file in files if file.path in kept])
    found.not_read += walk.not_read
    for file in files:
        if file.path not in kept:
            same = chosen[real[file.path]].path
            found.not_read.append(file.not_read(f"the same file as {printable(same)}"))


class _Walk:
    """One look through a directory."""

    def __init__(self, directory: str, root: str) -> None:
        self._directory, self._root = directory, root
        self._seen: set[str] = set()
        """Directories that were walked, without links in their paths."""
        self.not_read: list[NotRead] = []

    def files(self) -> Iterator[FoundFile]:
        """Every file that may be read."""
        # A directory is known by its own name rather than by a link's, so links wait.
        waiting = [self._directory]
        while waiting:
            links: list[str] = []
            for directory in sorted(waiting):
                yield from self._tree(directory, links)
            waiting = links

    def _tree(self, top: str, links: list[str]) -> Iterator[FoundFile]:
        real = os.path.realpath(top)
        above = os.path.join(os.path.realpath(self._directory), "").startswith(os.path.join(real, ""))
        if above and top != self._directory:
            self._leave_out(top, "a link to a directory around it")
            return
        for parent, names, files in os.walk(top, onerror=_cannot_be_listed):
            real = os.path.realpath(parent)
            if real in self._seen:
                self._leave_out(parent, f"the same directory as {printable(real)}")
                names.clear()
                continue
            self._seen.add(real)
            entered: list[str] = []
            for name in sorted(names):
                path = os.path.join(parent, name)
                if is_skipped(name):
                    self._leave_out(path, "a directory that is not looked into")
                elif os.path.islink(path):
                    links.append(path)
                else:
                    entered.append(name)
            # os.walk goes on with what is left in its list.
            names[:] = entered
            yield from self._files(os.path.join(parent, name) for name in sorted(files))

    def _files(self, paths: Iterable[str]) -> Iterator[FoundFile]:
        for path in paths:
            file = _file(path, self._root)
            if isinstance(file, NotRead):
                self.not_read.append(file)
            else:
                yield file

    def _leave_out(self, directory: str, reason: str) -> None:
        self.not_read.append(NotRead(path=printable(directory), reason=reason, size_bytes=None))


def _cannot_be_listed(error: OSError) -> None:
    raise InputError(
        f"the directory {printable(str(error.filename))} cannot be listed ({error.strerror}); make it readable, "
        "or name the files that are wanted by a glob"
    ) from error
