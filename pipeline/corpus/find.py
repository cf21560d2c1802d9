"""Which files one input names: a local path, a glob, a directory, or a URL."""

from __future__ import annotations

import glob
import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from pipeline.corpus.languages import language_of
from pipeline.corpus.units import ARROW, JSONL, JSONL_GZIP, JSONL_ZSTD, PARQUET, TEXT
from pipeline.storage import beam
from pipeline.storage.open import one_line, open_binary, size_of
from schemas.errors import InputError
from schemas.files import is_remote

RECORD_SUFFIXES = {
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".json": JSONL,
    ".parquet": PARQUET,
    ".arrow": ARROW,
    ".feather": ARROW,
} | {
    json_suffix + suffix: kind
    for json_suffix in (".jsonl", ".ndjson", ".json")
    for suffix, kind in ((".gz", JSONL_GZIP), (".zst", JSONL_ZSTD))
}
SKIPPED_DIRECTORIES = frozenset({"__pycache__", "site-packages", "dist-packages", "node_modules"})
"""Not looked into, like every directory whose name begins with a dot."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One file as one input sees it."""

    path: str
    root: str
    """The part of `path` before its source name, without a final slash."""
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


def format_of(path: str) -> str:
    """The format that the suffix of `path` tells; anything unknown is text."""
    name = posixpath.basename(urlsplit(path).path if is_remote(path) else path).lower()
    for suffix, kind in RECORD_SUFFIXES.items():
        if name.endswith(suffix):
            return kind
    return TEXT


def _found(path: str, root: str, size_bytes: int) -> Found:
    return Found(path=path, root=root, size_bytes=size_bytes, format=format_of(path))


def find(pattern: str) -> tuple[list[Found], set[str]]:
    """Files of one input, and the paths that its directories hold besides."""
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
    # A name that is not UTF-8 can stand in no manifest and no shard.
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


def _find_local(pattern: str) -> tuple[list[Found], list[list[Found]]]:
    """(files, contents of directories) of a local path or glob."""
    pattern = os.path.expanduser(pattern)
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


def _walk(directory: str, *, root: str) -> Iterator[Found]:
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


def _find_remote(url: str) -> tuple[list[Found], list[list[Found]]]:
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


def _find_in_beam(url: str) -> tuple[list[Found], list[list[Found]]]:
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
