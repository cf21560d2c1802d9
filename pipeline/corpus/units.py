"""Work units: the parts of a corpus that are compressed on their own. One unit becomes one shard.

    corpus files, sorted          a.jsonl (900 B)      b.parquet (3 row groups)      c.py  d.py
    pieces                        [0,600) [600,900)    [0,1) [1,3)                   whole whole
    units                         └── 0 ─┘└──────── 1 ────────┘└────────── 2 ──────────────────┘

A plan is a pure function of the files' names and sizes, so every worker and every later run cuts alike.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

from pipeline.corpus.discover import list_inputs
from pipeline.corpus.readers.arrow import record_batch_bytes
from pipeline.corpus.readers.json_text import HEAD_BYTES, begins_list
from pipeline.corpus.readers.parquet import row_group_bytes
from pipeline.corpus.source_files import ARROW, JSON_LIST, JSONL, PARQUET, NotRead, Piece, SourceFile, may_be_list
from pipeline.storage.open import open_binary, raise_if_transient
from schemas.errors import SettingsError

logger = logging.getLogger(__name__)

KINDS_IN_LOG = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkUnit:
    """A part of the corpus that becomes shard `index` of `total`; travels to the workers."""

    index: int
    total: int
    pieces: tuple[Piece, ...]
    """What it reads, in this order; at least one."""

    @property
    def size_bytes(self) -> int:
        """Stored bytes of its pieces, as far as they are known."""
        return sum(piece.size_bytes for piece in self.pieces if piece.size_bytes is not None)

    def to_dict(self) -> dict[str, Any]:
        """The unit as JSON values; `from_dict` reads them."""
        return {"index": self.index, "total": self.total, "pieces": [piece.to_dict() for piece in self.pieces]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> WorkUnit:
        """The inverse of `to_dict`."""
        return cls(**{**values, "pieces": tuple(Piece.from_dict(piece) for piece in values["pieces"])})


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusPlan:
    """A corpus, cut, and the names that are no part of it."""

    units: list[WorkUnit]
    not_read: tuple[NotRead, ...]
    """Sorted by path."""


def plan_units(inputs: Sequence[str], *, shards: int | None, unit_bytes: int, report: bool = True) -> list[WorkUnit]:
    """The work units of `plan_corpus`. `report`: log how many names of the inputs are left out."""
    plan = plan_corpus(inputs, shards=shards, unit_bytes=unit_bytes)
    if report:
        log_not_read(plan.not_read)
    return plan.units


def plan_corpus(inputs: Sequence[str], *, shards: int | None, unit_bytes: int) -> CorpusPlan:
    """A corpus in work units: exactly `shards` where the files can be split so, else units of about `unit_bytes`.

    A pure function of the files: the order of `inputs` does not matter. InputError if an input matches nothing,
    UnreachableError if a server does not answer.
    """
    if shards is not None and shards < 1:
        raise SettingsError(f"shards is {shards}, at least 1 is needed; leave it out to cut by size")
    if unit_bytes < 1:
        raise SettingsError(f"unit size is {unit_bytes} bytes, at least 1 is needed")
    listing = list_inputs(inputs)
    found = [_with_format(file) for file in listing.files]
    few = shards is not None and len(found) < shards
    total_bytes = sum(unit_bytes if file.size_bytes is None else file.size_bytes for file in found)
    part_bytes = total_bytes // shards if shards else unit_bytes
    files = [
        _with_parts(file) if file.size_bytes is not None and (few or file.size_bytes > part_bytes) else file
        for file in found
    ]
    return CorpusPlan(units=cut_units(files, shards=shards, unit_bytes=unit_bytes), not_read=listing.not_read)


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


def _with_format(file: SourceFile) -> SourceFile:
    """The file, which is a list of JSON and not lines if it begins like one; what else is wrong, its reader says."""
    if file.format != JSONL or not may_be_list(file.path):
        return file
    try:
        with open_binary(file.path) as opened:
            is_list = begins_list(opened.read(HEAD_BYTES))
    except OSError as error:
        raise_if_transient(error)
        return file
    return replace(file, format=JSON_LIST) if is_list else file


def _with_parts(file: SourceFile) -> SourceFile:
    """The file with the sizes of the parts between which it can be split; a damaged one stays whole, for the reader."""
    counters = {PARQUET: row_group_bytes, ARROW: record_batch_bytes}
    if file.format not in counters:
        return file
    weights = counters[file.format](file.path)
    if not weights or min(weights) <= 0:
        return file
    # Shares of the stored bytes that sum to them exactly.
    assert file.size_bytes is not None
    ends = [file.size_bytes * end // sum(weights) for end in accumulate(weights)]
    return replace(file, part_bytes=tuple(end - start for start, end in pairwise([0, *ends])))


def cut_units(files: Sequence[SourceFile], *, shards: int | None, unit_bytes: int) -> list[WorkUnit]:
    """Cut `files`, in their order, into units of near-equal bytes.

    Exactly `shards` units if the files have so many splittable parts, else one unit per part; without `shards`, units
    of about `unit_bytes`. No unit is without pieces, no byte is in two. A file of unknown size counts `unit_bytes`.
    """
    cutter = _Cutter(files, unit_bytes)
    units: list[tuple[Piece, ...]] = []
    while cutter.parts_left:
        units_left = shards - len(units) if shards else max(1, round(cutter.bytes_left / unit_bytes))
        target_bytes = -(-cutter.bytes_left // units_left)
        max_parts = max(1, cutter.parts_left - (units_left - 1)) if shards else cutter.parts_left
        units.append(cutter.take(target_bytes, max_parts, everything=units_left == 1))
    return [WorkUnit(index=index, total=len(units), pieces=pieces) for index, pieces in enumerate(units)]


class _Cutter:
    """A position in the corpus, and how much lies behind it."""

    def __init__(self, files: Sequence[SourceFile], assumed_bytes: int) -> None:
        self._files = files
        self._assumed_bytes = assumed_bytes
        self._index = 0
        self._start = 0
        self.bytes_left = sum(self._known(file.size_bytes) for file in files)
        self.parts_left = sum(file.splittable_parts for file in files)

    def _known(self, size_bytes: int | None) -> int:
        return self._assumed_bytes if size_bytes is None else size_bytes

    def take(self, target_bytes: int, max_parts: int, *, everything: bool) -> tuple[Piece, ...]:
        """The next unit: at least one piece, about `target_bytes`, at most `max_parts` splittable parts."""
        pieces: list[Piece] = []
        while self._index < len(self._files) and max_parts > 0:
            file = self._files[self._index]
            end = file.splittable_parts
            if not everything:
                end = file.nearest_split(self._start, target_bytes, max_parts, self._assumed_bytes)
            if end == self._start and not file.is_empty:
                if pieces:
                    break
                end += 1
            parts = max(end - self._start, 1)
            piece = file.piece(self._start, 0 if file.is_empty else end)
            pieces.append(piece)
            piece_bytes = self._known(piece.size_bytes)
            target_bytes -= piece_bytes
            max_parts -= parts
            self.bytes_left -= piece_bytes
            self.parts_left -= parts
            self._start = end
            if end >= file.splittable_parts or file.is_empty:
                self._index, self._start = self._index + 1, 0
        return tuple(pieces)
