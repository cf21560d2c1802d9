"""From what the user typed to the files of the corpus, and from these to units.

    inputs ── list_inputs ──► SourceFiles, sorted by source, each file once ── plan_units ──► Units

An input is a file, a glob, a directory, or a URL. A directory that holds records anywhere below it (JSON lines,
Parquet, Arrow) is a set of records and its other files are left out; any other directory is a source tree, and
each text file in it is one document.
"""

from __future__ import annotations

import glob
import logging
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from pipeline.languages import language_of
from pipeline.readers_arrow import record_batch_bytes
from pipeline.readers_open import is_remote, known_to_beam, one_line, open_binary, size_of
from pipeline.readers_parquet import row_group_bytes
from pipeline.units import ARROW, JSONL, JSONL_GZIP, JSONL_ZSTD, PARQUET, TEXT, SourceFile, Unit, cut_units
from schemas.errors import InputError, SettingsError

_LOG = logging.getLogger(__name__)

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
NAMES_IN_LOG = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The files of a corpus."""

    files: tuple[SourceFile, ...]
    """Sorted by source; sources and paths are unique."""
    ignored: tuple[str, ...]
    """Paths of the files in input directories that are not read, sorted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
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


def plan_units(inputs: Sequence[str], *, shards: int | None, unit_bytes: int) -> list[Unit]:
    """The units of a corpus: exactly `shards` of them where the files can be cut so, else of about `unit_bytes`.

    A pure function of the files: the order of `inputs` does not matter. InputError if an input matches nothing.
    """
    if shards is not None and shards < 1:
        raise SettingsError(f"shards is {shards}, at least 1 is needed; leave it out to cut by size")
    if unit_bytes < 1:
        raise SettingsError(f"unit size is {unit_bytes} bytes, at least 1 is needed")
    listing = list_inputs(inputs)
    if listing.ignored:
        names = ", ".join(listing.ignored[:NAMES_IN_LOG]) + (", …" if len(listing.ignored) > NAMES_IN_LOG else "")
        _LOG.info("not read: %d files that hold no records or text (%s)", len(listing.ignored), names)
    few = shards is not None and len(listing.files) < shards
    total_bytes = sum(file.size_bytes for file in listing.files)
    part_bytes = total_bytes // shards if shards else unit_bytes
    files = [_with_parts(file) if few or file.size_bytes > part_bytes else file for file in listing.files]
    return cut_units(files, shards=shards, unit_bytes=unit_bytes)


def list_inputs(inputs: Sequence[str]) -> Listing:
    """All files that `inputs` name, each once, sorted by source. InputError names the input that matches nothing."""
    if not inputs:
        raise InputError("no input was given; name a file, a glob, a directory or a URL")
    found: list[_Found] = []
    ignored: set[str] = set()
    for pattern in sorted(set(inputs)):
        kept, left_out = _find(pattern)
        found += kept
        ignored |= left_out
    files = _name_sources(_outermost(found))
    return Listing(files=tuple(files), ignored=tuple(sorted(ignored - {file.path for file in files})))


def format_of(path: str) -> str:
    """The format that the suffix of `path` tells; anything unknown is text."""
    name = posixpath.basename(urlsplit(path).path if is_remote(path) else path).lower()
    for suffix, kind in RECORD_SUFFIXES.items():
        if name.endswith(suffix):
            return kind
    return TEXT


def _found(path: str, root: str, size_bytes: int) -> _Found:
    return _Found(path=path, root=root, size_bytes=size_bytes, format=format_of(path))


def _find(pattern: str) -> tuple[list[_Found], set[str]]:
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


def _find_local(pattern: str) -> tuple[list[_Found], list[list[_Found]]]:
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


def _walk(directory: str, *, root: str) -> Iterator[_Found]:
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


def _find_remote(url: str) -> tuple[list[_Found], list[list[_Found]]]:
    """(files, contents of directories) of a URL."""
    try:
        if known_to_beam(url):
            return _find_in_beam(url)
        with open_binary(url) as file:
            return [_found(url, url.partition("?")[0].rpartition("/")[0], size_of(file))], []
    except Exception as error:
        extra = {"gs": "; pip install 'apache-beam[gcp]'", "s3": "; pip install 'apache-beam[aws]'"}
        hint = extra.get(url.partition("://")[0], "") if isinstance(error, (ImportError, NotImplementedError)) else ""
        raise InputError(f"{url!r} cannot be opened: {one_line(error)}{hint}") from error


def _find_in_beam(url: str) -> tuple[list[_Found], list[list[_Found]]]:
    """A file, a glob, or else every file below a directory, in one of Beam's file systems."""
    if re.search(r"[*?\[]", url):
        # Beam's "a/**/b" asks for at least one directory between; people mean "or none".
        matches = {**_beam_match(url), **(_beam_match(url.replace("/**/", "/")) if "/**/" in url else {})}
        return [_found(path, _glob_root(url), size) for path, size in matches.items()], []
    if not url.endswith("/") and (matches := _beam_match(url)):
        return [_found(path, posixpath.dirname(path), size) for path, size in matches.items()], []
    root = url.rstrip("/")
    members = [_found(path, root, size) for path, size in _beam_match(root + "/**").items()]
    members = [file for file in members if not any(map(_is_skipped, file.source.split("/")[:-1]))]
    return [], [members] if members else []


def _beam_match(pattern: str) -> dict[str, int]:
    """Path to size in bytes of everything that `pattern` matches; entries that stand for directories are left out."""
    from apache_beam.io.filesystems import FileSystems

    metadata = FileSystems.match([pattern])[0].metadata_list
    return {file.path: file.size_in_bytes for file in metadata if not file.path.endswith("/")}


def _outermost(found: Iterable[_Found]) -> list[_Found]:
    """Each file once, as the input with the outermost root sees it."""
    chosen: dict[str, _Found] = {}
    for file in sorted(found, key=lambda file: (-len(file.source), file.path)):
        chosen.setdefault(file.path if is_remote(file.path) else os.path.realpath(file.path), file)
    return list(chosen.values())


def _name_sources(found: Sequence[_Found]) -> list[SourceFile]:
    """Give each file its source; where some would be equal, these are named from their common directory instead."""
    names = {file.path: file.source for file in found}
    equal: set[str] = set()
    while True:
        counts = Counter(names.values())
        more = {path for path, name in names.items() if counts[name] > 1} - equal
        if not more:
            break
        equal |= more
        root = os.path.commonprefix([path.split("/")[:-1] for path in sorted(equal)])
        names |= {path: "/".join(path.split("/")[len(root) :]) for path in equal}
    files = [
        SourceFile(path=file.path, source=names[file.path], format=file.format, size_bytes=file.size_bytes)
        for file in found
    ]
    return sorted(files, key=lambda file: file.source)


def _with_parts(file: SourceFile) -> SourceFile:
    """`file` with the sizes of the parts between which it can be cut; a damaged one stays whole, for the reader."""
    counters = {PARQUET: row_group_bytes, ARROW: record_batch_bytes}
    if file.format not in counters:
        return file
    part_bytes = tuple(counters[file.format](file.path))
    return replace(file, part_bytes=part_bytes, size_bytes=sum(part_bytes)) if sum(part_bytes) else file
