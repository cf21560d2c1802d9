"""A corpus, listed once: its files with their formats, and the parts of those that were looked into.

    inputs ── list_inputs ──► SourceFiles ── _with_format, .json alone ──┬── units(shards, unit_bytes) ──► WorkUnits
                  └─────────► not_read                                   └── those that are split: _with_parts, once

Run and sample cut the same files into units of different sizes. Neither lists them again, nor opens a footer twice.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import accumulate, pairwise

from pipeline.corpus.discover import list_inputs
from pipeline.corpus.readers.arrow import record_batch_bytes
from pipeline.corpus.readers.json_text import HEAD_BYTES, begins_list
from pipeline.corpus.readers.parquet import row_group_bytes
from pipeline.corpus.source_files import ARROW, JSON_LIST, JSONL, PARQUET, NotRead, SourceFile, may_be_list
from pipeline.corpus.units import WorkUnit, cut_units
from pipeline.storage.open import open_binary, raise_if_transient
from schemas.errors import SettingsError

logger = logging.getLogger(__name__)

KINDS_IN_LOG = 5
_PART_COUNTERS = {PARQUET: row_group_bytes, ARROW: record_batch_bytes}
OPENED_AT_ONCE = 16
"""Files whose heads or footers are read at a time."""


class Corpus:
    """The files that inputs name, in the order of their sources.

    What follows from it is a pure function of the files: the order of `inputs` does not matter.
    """

    def __init__(self, inputs: Sequence[str]) -> None:
        """InputError if an input matches nothing, UnreachableError if a server does not answer."""
        listing = list_inputs(inputs)
        self.not_read: tuple[NotRead, ...] = listing.not_read
        """Every other name that the inputs match, sorted by path."""
        unsure = {file.source: file for file in listing.files if file.format == JSONL and may_be_list(file.path)}
        known = _at_once(_with_format, unsure)
        self._files = [known.get(file.source, file) for file in listing.files]
        self._in_parts: dict[str, SourceFile] = {}

    def units(self, *, shards: int | None, unit_bytes: int) -> list[WorkUnit]:
        """The corpus in work units: exactly `shards` where the files can be split so, else units of about `unit_bytes`.

        UnreachableError if a server does not answer.
        """
        if shards is not None and shards < 1:
            raise SettingsError(f"--shards is {shards}; give at least 1, or leave it out to cut by size")
        if unit_bytes < 1:
            raise SettingsError(f"--unit-bytes is {unit_bytes}; give at least 1")
        few = shards is not None and len(self._files) < shards
        total_bytes = sum(unit_bytes if file.size_bytes is None else file.size_bytes for file in self._files)
        part_bytes = total_bytes // shards if shards else unit_bytes
        large = {
            file.source: file
            for file in self._files
            if file.format in _PART_COUNTERS and file.size_bytes is not None and (few or file.size_bytes > part_bytes)
        }
        self._in_parts |= _at_once(_with_parts, {name: large[name] for name in large.keys() - self._in_parts.keys()})
        files = [self._in_parts[file.source] if file.source in large else file for file in self._files]
        return cut_units(files, shards=shards, unit_bytes=unit_bytes)


def log_not_read(not_read: Sequence[NotRead]) -> None:
    """Say how many names are not read and why, by the commonest suffixes."""
    if not not_read:
        return
    kinds = Counter(os.path.splitext(name.path)[1] or os.path.basename(name.path) for name in not_read)
    common = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common(KINDS_IN_LOG))
    more = ", …" if len(kinds) > KINDS_IN_LOG else ""
    size_bytes = sum(name.size_bytes or 0 for name in not_read)
    logger.info(
        "not read: %d files or directories (%s%s), %.1f MB where known", len(not_read), common, more, size_bytes / 1e6
    )


def _at_once(look: Callable[[SourceFile], SourceFile], files: Mapping[str, SourceFile]) -> dict[str, SourceFile]:
    """What `look` makes of each file, many at a time; the error of the first in the order of their sources."""
    names = sorted(files)
    with ThreadPoolExecutor(OPENED_AT_ONCE) as pool:
        return dict(zip(names, pool.map(lambda name: look(files[name]), names), strict=True))


def _with_format(file: SourceFile) -> SourceFile:
    """The file, which is a list of JSON and not lines if it begins like one; what else is wrong, its reader says."""
    try:
        with open_binary(file.path) as opened:
            is_list = begins_list(opened.read(HEAD_BYTES))
    except OSError as error:
        raise_if_transient(error)
        return file
    return replace(file, format=JSON_LIST) if is_list else file


def _with_parts(file: SourceFile) -> SourceFile:
    """The file with the sizes of the parts between which it can be split; a damaged one stays whole, for the reader."""
    weights = _PART_COUNTERS[file.format](file.path)
    if not weights or min(weights) <= 0:
        return file
    # Shares of the stored bytes that sum to them exactly.
    assert file.size_bytes is not None
    ends = [file.size_bytes * end // sum(weights) for end in accumulate(weights)]
    return replace(file, part_bytes=tuple(end - start for start, end in pairwise([0, *ends])))
