"""From what the user typed to the files of the corpus, and from these to units.

    inputs ── list_inputs ──► SourceFiles, sorted by source, each file once ── plan_units ──► Units

An input is a file, a glob, a directory, or a URL. A directory that holds records anywhere below it (JSON lines,
Parquet, Arrow) is a set of records and its other files are left out; any other directory is a source tree, and
each text file in it is one document.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from pipeline.corpus.find import Found, find
from pipeline.corpus.readers.arrow import record_batch_bytes
from pipeline.corpus.readers.parquet import row_group_bytes
from pipeline.corpus.units import ARROW, PARQUET, SourceFile, Unit, cut_units
from schemas.errors import InputError, SettingsError
from schemas.files import is_remote

_LOG = logging.getLogger(__name__)

KINDS_IN_LOG = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The files of a corpus."""

    files: tuple[SourceFile, ...]
    """Sorted by source; sources and paths are unique."""
    ignored: tuple[str, ...]
    """Paths of the files in input directories that are not read, sorted."""


def plan_units(inputs: Sequence[str], *, shards: int | None, unit_bytes: int, report: bool = True) -> list[Unit]:
    """The units of a corpus: exactly `shards` of them where the files can be cut so, else of about `unit_bytes`.

    A pure function of the files: the order of `inputs` does not matter. InputError if an input matches nothing.
    `report`: log how many files were left out.
    """
    if shards is not None and shards < 1:
        raise SettingsError(f"shards is {shards}, at least 1 is needed; leave it out to cut by size")
    if unit_bytes < 1:
        raise SettingsError(f"unit size is {unit_bytes} bytes, at least 1 is needed")
    listing = list_inputs(inputs)
    if listing.ignored and report:
        kinds = Counter(os.path.splitext(path)[1] or os.path.basename(path) for path in listing.ignored)
        common = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common(KINDS_IN_LOG))
        more = ", …" if len(kinds) > KINDS_IN_LOG else ""
        _LOG.info("not read: %d files that hold no records or text (%s%s)", len(listing.ignored), common, more)
    few = shards is not None and len(listing.files) < shards
    total_bytes = sum(file.size_bytes for file in listing.files)
    part_bytes = total_bytes // shards if shards else unit_bytes
    files = [_with_parts(file) if few or file.size_bytes > part_bytes else file for file in listing.files]
    return cut_units(files, shards=shards, unit_bytes=unit_bytes)


def list_inputs(inputs: Sequence[str]) -> Listing:
    """All files that `inputs` name, each once, sorted by source. InputError names the input that matches nothing."""
    if not inputs:
        raise InputError("no input was given; name a file, a glob, a directory or a URL")
    found: list[Found] = []
    ignored: set[str] = set()
    for pattern in sorted(set(inputs)):
        kept, left_out = find(pattern)
        found += kept
        ignored |= left_out
    files = _name_sources(_outermost(found))
    return Listing(files=tuple(files), ignored=tuple(sorted(ignored - {file.path for file in files})))


def _outermost(found: Iterable[Found]) -> list[Found]:
    """Each file once, as the input with the outermost root sees it."""
    chosen: dict[str, Found] = {}
    for file in sorted(found, key=lambda file: (-len(file.source), file.path)):
        chosen.setdefault(file.path if is_remote(file.path) else os.path.realpath(file.path), file)
    return list(chosen.values())


def _name_sources(found: Sequence[Found]) -> list[SourceFile]:
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


def _with_parts(file: SourceFile) -> SourceFile:
    """`file` with the sizes of the parts between which it can be cut; a damaged one stays whole, for the reader."""
    counters = {PARQUET: row_group_bytes, ARROW: record_batch_bytes}
    if file.format not in counters:
        return file
    weights = counters[file.format](file.path)
    if not weights or min(weights) <= 0:
        return file
    # Shares of the stored bytes that sum to them exactly.
    ends = [file.size_bytes * end // sum(weights) for end in accumulate(weights)]
    return replace(file, part_bytes=tuple(end - start for start, end in pairwise([0, *ends])))
