"""From what the user typed to the files of the corpus.

    inputs ── find_files, each ──► files and contents of directories ── list_inputs ──► SourceFiles, sorted, each once
                                                                           └──────────► NotRead: all other names, why

An input is a file, a glob, a directory, or a URL. A directory that holds records anywhere below it (JSON lines,
Parquet, Arrow) is a set of records and its other files are left out; any other directory is a source tree, and
each text file in it is one document. Links are followed.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.corpus.languages import language_of
from pipeline.corpus.local_files import Found, FoundFile, find_local, found_file, glob_root, is_skipped, printable
from pipeline.corpus.source_files import TEXT, NotRead, SourceFile
from pipeline.storage import beam, objects
from pipeline.storage.open import open_binary, size_of
from schemas import stores
from schemas.errors import InputError, UserError, one_line
from schemas.files import is_remote

Sizes = Mapping[str, int | None]
"""Path or URL to size in bytes, None where it is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The files that the inputs name."""

    files: tuple[SourceFile, ...]
    """Sorted by source; sources and paths are unique."""
    not_read: tuple[NotRead, ...]
    """Every other name that the inputs match, sorted by path."""


def list_inputs(inputs: Sequence[str]) -> Listing:
    """All files that `inputs` name, each once, sorted by source. InputError names the input that matches nothing."""
    if not inputs:
        raise InputError("no input was given; name a file, a glob, a directory or a URL")
    found: list[FoundFile] = []
    not_read: dict[str, NotRead] = {}
    for pattern in sorted(set(inputs)):
        kept, left_out = find_files(pattern)
        found += kept
        not_read |= {name.path: name for name in left_out}
    chosen = _outermost(found)
    files = _name_sources(chosen.values())
    paths = {file.path for file in files}
    for file in found:
        if file.path not in paths:
            same = chosen[_place(file)].path
            not_read.setdefault(file.path, file.not_read(f"the same file as {same}"))
    return Listing(files=tuple(files), not_read=tuple(not_read[path] for path in sorted(not_read.keys() - paths)))


def _place(file: FoundFile) -> str:
    """Where a file lies, by whatever links it was reached."""
    return file.path if is_remote(file.path) else os.path.realpath(file.path)


def _outermost(found: Iterable[FoundFile]) -> dict[str, FoundFile]:
    """Each file once, by its place, as the input with the outermost root sees it."""
    chosen: dict[str, FoundFile] = {}
    for file in sorted(found, key=lambda file: (-len(file.source), file.path)):
        chosen.setdefault(_place(file), file)
    return chosen


def _name_sources(found: Collection[FoundFile]) -> list[SourceFile]:
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


def find_files(pattern: str) -> tuple[list[FoundFile], list[NotRead]]:
    """The files that one input names, and what else it matches."""
    if pattern.startswith("file://"):
        pattern = pattern.removeprefix("file://")
    found = _find_remote(pattern) if is_remote(pattern) else find_local(pattern)
    if not found.files and not found.directories and not found.not_read:
        raise InputError(f"no file matches {pattern!r}; check the path, and put globs in quotes")
    files, not_read = found.files, found.not_read
    for members in found.directories:
        # .json alone does not say "records", for source trees are full of it.
        records = [file for file in members if file.format != TEXT and not file.path.lower().endswith(".json")]
        kept = records or [replace(file, format=TEXT) for file in members if language_of(file.path)]
        paths = {file.path for file in kept}
        reason = "no records, beside files that hold some" if records else "no text known by its suffix"
        not_read += [file.not_read(reason) for file in members if file.path not in paths]
        files += kept
    # No manifest and no shard can hold a name that is not UTF-8.
    not_read += [file.not_read("its name is not UTF-8") for file in files if printable(file.path) != file.path]
    files = [file for file in files if printable(file.path) == file.path]
    if not files:
        raise InputError(_nothing_to_read(pattern, not_read))
    return files, not_read


def _nothing_to_read(pattern: str, not_read: Sequence[NotRead]) -> str:
    names = [name for name in not_read if name.reason == "its name is not UTF-8"]
    if names and len(names) == len(not_read):
        return f"{names[0].path} has a name that is not UTF-8, which no dataset can hold; rename it"
    return (
        f"{printable(pattern)!r} holds {len(not_read)} files, but no records (.jsonl, .parquet, .arrow) and no text "
        "known by its suffix; name the files with a glob such as 'dir/*.ext'"
    )


def _find_remote(url: str) -> Found:
    """What a URL names."""
    try:
        if stores.is_store(url):
            stores.check_url(glob_root(url))
            return _find_below(url, objects.sizes, objects.below)
        if beam.serves(url):
            return _find_below(url, _beam_sizes, lambda root: beam.sizes(root + "/**"))
        with open_binary(url) as file:
            if getattr(getattr(file, "source", None), "is_page", False):
                raise InputError(f"{url!r} is a web page that lists files; name the files one by one")
            return Found(files=[found_file(url, url.partition("?")[0].rpartition("/")[0], size_of(file))])
    except UserError:
        raise
    except Exception as error:
        raise InputError(f"{url!r} cannot be opened: {one_line(error)}") from error


def _beam_sizes(url: str) -> Sizes:
    # Beam's "a/**/b" asks for at least one directory between; people mean "or none".
    return {**beam.sizes(url), **(beam.sizes(url.replace("/**/", "/")) if "/**/" in url else {})}


def _find_below(url: str, sizes: Callable[[str], Sizes], below: Callable[[str], Sizes]) -> Found:
    """A file, a glob, or else every file below a directory, of a store or of one of Beam's file systems.

    sizes: path to size in bytes of what is a URL or matches it. below: the same for what lies below a directory.
    """
    if re.search(r"[*?\[]", url):
        return Found(files=[found_file(path, glob_root(url), size) for path, size in sizes(url).items()])
    if not url.endswith("/") and (matches := sizes(url)):
        return Found(files=[found_file(path, posixpath.dirname(path), size) for path, size in matches.items()])
    root = url.rstrip("/")
    members = [found_file(path, root, size) for path, size in below(root).items()]
    kept: list[FoundFile] = []
    not_read: list[NotRead] = []
    for file in members:
        if any(map(is_skipped, file.source.split("/")[:-1])):
            not_read.append(file.not_read("in a directory that is not looked into"))
        else:
            kept.append(file)
    return Found(directories=[kept] if kept else [], not_read=not_read)
