"""From what the user typed to the files of the corpus.

    inputs ── find_files, each ──► files and contents of directories ── list_inputs ──► SourceFiles, sorted, each once

An input is a file, a glob, a directory, or a URL. A directory that holds records anywhere below it (JSON lines,
Parquet, Arrow) is a set of records and its other files are left out; any other directory is a source tree, and
each text file in it is one document.
"""

from __future__ import annotations

import glob
import os
import posixpath
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.corpus.languages import language_of
from pipeline.corpus.source_files import TEXT, SourceFile, format_of
from pipeline.storage import beam
from pipeline.storage.open import one_line, open_binary, size_of
from schemas.errors import InputError
from schemas.files import is_remote

SKIPPED_DIRECTORIES = frozenset({"__pycache__", "site-packages", "dist-packages", "node_modules"})
"""Directories that are not looked into, like every one whose name begins with a dot."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The files that the inputs name."""

    files: tuple[SourceFile, ...]
    """Sorted by source; sources and paths are unique."""
    ignored: tuple[str, ...]
    """Paths of the files in input directories that are not read, sorted."""


def list_inputs(inputs: Sequence[str]) -> Listing:
    """All files that `inputs` name, each once, sorted by source. InputError names the input that matches nothing."""
    if not inputs:
        raise InputError("no input was given; name a file, a glob, a directory or a URL")
    found: list[FoundFile] = []
    ignored: set[str] = set()
    for pattern in sorted(set(inputs)):
        kept, left_out = find_files(pattern)
        found += kept
        ignored |= left_out
    files = _name_sources(_outermost(found))
    return Listing(files=tuple(files), ignored=tuple(sorted(ignored - {file.path for file in files})))


def _outermost(found: Iterable[FoundFile]) -> list[FoundFile]:
    """Each file once, as the input with the outermost root sees it."""
    chosen: dict[str, FoundFile] = {}
    for file in sorted(found, key=lambda file: (-len(file.source), file.path)):
        chosen.setdefault(file.path if is_remote(file.path) else os.path.realpath(file.path), file)
    return list(chosen.values())


def _name_sources(found: Sequence[FoundFile]) -> list[SourceFile]:
    """Give each file its source; where some would be equal, these are named from their common directory instead."""
    names = {file.path: file.source for file in found}
    equal: set[str] = set()
    while True:
        counts = Counter(names.values())
        more = {path for path, name in names.items() if counts[name] > 1} - equal
        if not more:
            break
        equal |= more
        root = _common_directory(equal)
        names |= {path: path[len(root) :] for path in equal}
    files = [
        SourceFile(path=file.path, source=names[file.path], format=file.format, size_bytes=file.size_bytes)
        for file in found
    ]
    return sorted(files, key=lambda file: file.source)


def _common_directory(paths: Collection[str]) -> str:
    """The longest directory that all `paths` lie in, with its final slash; "" if there is none."""
    first, last = min(paths), max(paths)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: first.rfind("/", 0, same) + 1]


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundFile:
    """A file as one input sees it."""

    path: str
    root: str
    """The part of `path` before the file's name in the corpus, without a final slash."""
    size_bytes: int
    format: str

    @property
    def plain_path(self) -> str:
        """`path` without the query of a URL."""
        return self.path.partition("?")[0] if is_remote(self.path) else self.path

    @property
    def source(self) -> str:
        """The path below the root."""
        return self.plain_path[len(self.root) :].lstrip("/")


def _found(path: str, root: str, size_bytes: int) -> FoundFile:
    return FoundFile(path=path, root=root, size_bytes=size_bytes, format=format_of(path))


def find_files(pattern: str) -> tuple[list[FoundFile], set[str]]:
    """The files that one input names, and the paths of the files in its directories that are not read."""
    if pattern.startswith("file://"):
        pattern = pattern.removeprefix("file://")
    found, directories = _find_remote(pattern) if is_remote(pattern) else _find_local(pattern)
    if not found and not directories:
        raise InputError(f"no file matches {pattern!r}; check the path, and put globs in quotes")
    ignored: set[str] = set()
    for members in directories:
        # .json alone does not say "records", for source trees are full of it.
        records = [file for file in members if file.format != TEXT and not file.path.lower().endswith(".json")]
        kept = records or [replace(file, format=TEXT) for file in members if language_of(file.path)]
        ignored |= {file.path for file in members} - {file.path for file in kept}
        found += kept
    # No manifest and no shard can hold a name that is not UTF-8.
    ignored |= {file.path for file in found if _printable(file.path) != file.path}
    found = [file for file in found if file.path not in ignored]
    if not found:
        raise InputError(
            f"{pattern!r} holds {len(ignored)} files, but no records (.jsonl, .parquet, .arrow) and no text known by "
            "its suffix; name the files with a glob such as 'dir/*.ext'"
        )
    return found, {_printable(path) for path in ignored}


def _printable(path: str) -> str:
    """`path` with the bytes that are not UTF-8 written as \\xNN."""
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _find_local(pattern: str) -> tuple[list[FoundFile], list[list[FoundFile]]]:
    """(files, contents of directories) of a local path or glob."""
    literal = os.path.exists(pattern)
    paths = [pattern] if literal else sorted(glob.glob(pattern, recursive=True))
    root = os.path.abspath(os.path.dirname(pattern) if literal else _glob_root(pattern))
    found = []
    directories = []
    for path in (os.path.abspath(path) for path in paths):
        if os.path.isfile(path):
            found.append(_found(path, root, os.path.getsize(path)))
        elif os.path.isdir(path) and not ("**" in pattern and not literal):
            directories.append(list(_walk(path, root=path if literal else root)))
    return found, directories


def _walk(directory: str, *, root: str) -> Iterator[FoundFile]:
    """Regular files below `directory`; symbolic links and skipped directories are left alone."""
    for parent, names, files in os.walk(directory):
        names[:] = sorted(name for name in names if not _is_skipped(name))
        for name in sorted(files):
            path = os.path.join(parent, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield _found(path, root, os.path.getsize(path))


def _is_skipped(directory_name: str) -> bool:
    return directory_name.startswith(".") or directory_name in SKIPPED_DIRECTORIES


def _glob_root(pattern: str) -> str:
    """The directory before the first part of `pattern` that holds a wildcard."""
    return posixpath.dirname(re.split(r"[*?\[]", pattern, maxsplit=1)[0])


def _find_remote(url: str) -> tuple[list[FoundFile], list[list[FoundFile]]]:
    """(files, contents of directories) of a URL."""
    try:
        if beam.serves(url):
            return _find_in_beam(url)
        with open_binary(url) as file:
            return [_found(url, url.partition("?")[0].rpartition("/")[0], size_of(file))], []
    except Exception as error:
        extra = {"gs": "; pip install 'apache-beam[gcp]'", "s3": "; pip install 'apache-beam[aws]'"}
        hint = extra.get(url.partition("://")[0], "") if isinstance(error, (ImportError, NotImplementedError)) else ""
        raise InputError(f"{url!r} cannot be opened: {one_line(error)}{hint}") from error


def _find_in_beam(url: str) -> tuple[list[FoundFile], list[list[FoundFile]]]:
    """A file, a glob, or else every file below a directory, in one of Beam's file systems."""
    if re.search(r"[*?\[]", url):
        # Beam's "a/**/b" asks for at least one directory between; people mean "or none".
        matches = {**beam.sizes(url), **(beam.sizes(url.replace("/**/", "/")) if "/**/" in url else {})}
        return [_found(path, _glob_root(url), size) for path, size in matches.items()], []
    if not url.endswith("/") and (matches := beam.sizes(url)):
        return [_found(path, posixpath.dirname(path), size) for path, size in matches.items()], []
    root = url.rstrip("/")
    members = [_found(path, root, size) for path, size in beam.sizes(root + "/**").items()]
    members = [file for file in members if not any(map(_is_skipped, file.source.split("/")[:-1]))]
    return [], [members] if members else []
