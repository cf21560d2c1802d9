"""Work units: the parts of a corpus that are compressed on their own. One unit becomes one shard.

    corpus files, sorted          a.jsonl (900 B)      b.parquet (3 row groups)      c.py  d.py
    pieces                        [0,600) [600,900)    [0,1) [1,3)                   whole whole
    units                         └── 0 ─┘└──────── 1 ────────┘└────────── 2 ──────────────────┘

A plan is a pure function of the files' names and sizes, so every worker and every later run cuts alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.corpus.source_files import Piece, SourceFile

MAX_PIECES = 20_000
"""Of a unit that is cut by size: each is a request to a store, and a unit that is killed begins anew."""


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


def cut_units(files: Sequence[SourceFile], *, shards: int | None, unit_bytes: int) -> list[WorkUnit]:
    """Cut `files`, in their order, into units of near-equal bytes.

    Exactly `shards` units if the files have so many splittable parts, else one unit per part; without `shards`, units
    of about `unit_bytes` and of at most MAX_PIECES. No unit is without pieces, no byte is in two. A file of unknown
    size counts `unit_bytes`.
    """
    cutter = _Cutter(files, unit_bytes, max_pieces=len(files) if shards else MAX_PIECES)
    units: list[tuple[Piece, ...]] = []
    while cutter.parts_left:
        units_left = shards - len(units) if shards else max(1, round(cutter.bytes_left / unit_bytes))
        target_bytes = -(-cutter.bytes_left // units_left)
        max_parts = max(1, cutter.parts_left - (units_left - 1)) if shards else cutter.parts_left
        units.append(cutter.take(target_bytes, max_parts, everything=units_left == 1))
    return [WorkUnit(index=index, total=len(units), pieces=pieces) for index, pieces in enumerate(units)]


class _Cutter:
    """A position in the corpus, and how much lies behind it."""

    def __init__(self, files: Sequence[SourceFile], assumed_bytes: int, max_pieces: int) -> None:
        self._files, self._max_pieces = files, max_pieces
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
        while self._index < len(self._files) and max_parts > 0 and len(pieces) < self._max_pieces:
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
