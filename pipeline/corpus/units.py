"""Units: the parts of a corpus that are compressed on their own. One unit becomes one shard.

    corpus files, sorted          a.jsonl (900 B)      b.parquet (3 row groups)      c.py  d.py
    pieces                        [0,600) [600,900)    [0,1) [1,3)                   whole whole
    units                         └── 0 ─┘└──────── 1 ────────┘└────────── 2 ──────────────────┘

A plan is a pure function of the files' names and sizes, so every worker and every later run cuts alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

JSONL, JSONL_GZIP, JSONL_ZSTD = "jsonl", "jsonl.gz", "jsonl.zst"
PARQUET, ARROW, TEXT = "parquet", "arrow", "text"
FORMATS = (JSONL, JSONL_GZIP, JSONL_ZSTD, PARQUET, ARROW, TEXT)


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A file or a part of one."""

    path: str
    """Where it is opened: absolute local path or URL."""
    source: str
    """Its name in the corpus: relative to the input's root, with forward slashes; the same wherever the corpus lies."""
    format: str
    """One of `FORMATS`."""
    start: int
    """First byte (jsonl), row group (parquet) or record batch (arrow); 0 otherwise."""
    end: int | None
    """One past the last byte, row group or record batch; None: to the end of the file."""
    size_bytes: int
    """Stored bytes, compressed as they are."""

    def __post_init__(self) -> None:
        assert self.format in FORMATS, self.format

    def to_dict(self) -> dict[str, Any]:
        """The piece as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Piece:
        """The inverse of `to_dict`."""
        return cls(**values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """Unit `index` of `total`."""

    index: int
    total: int
    pieces: tuple[Piece, ...]

    @property
    def size_bytes(self) -> int:
        """Stored bytes of all its pieces."""
        return sum(piece.size_bytes for piece in self.pieces)

    def to_dict(self) -> dict[str, Any]:
        """The unit as JSON values."""
        return {"index": self.index, "total": self.total, "pieces": [piece.to_dict() for piece in self.pieces]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Unit:
        """The inverse of `to_dict`."""
        return cls(**{**values, "pieces": tuple(Piece.from_dict(piece) for piece in values["pieces"])})


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """A file of the corpus, whole."""

    path: str
    source: str
    format: str
    size_bytes: int
    part_bytes: tuple[int, ...] | None = None
    """Share of each row group or record batch in the stored bytes, where the file may be cut between them; None: not
    looked at."""

    @property
    def atoms(self) -> int:
        """Into how many pieces it can be cut at most."""
        if self.format == JSONL:
            return max(self.size_bytes, 1)
        return len(self.part_bytes or (0,))

    def reach(self, start: int, want_bytes: int, most_atoms: int) -> int:
        """End of the piece from `start` that comes nearest to `want_bytes`; `start` if nothing comes nearer."""
        if self.format == JSONL:
            return min(self.size_bytes, start + max(0, min(want_bytes, most_atoms)))
        parts = self.part_bytes or (self.size_bytes,)
        end, taken_bytes = start, 0
        while end < min(len(parts), start + most_atoms) and 2 * taken_bytes + parts[end] <= 2 * want_bytes:
            taken_bytes += parts[end]
            end += 1
        return end

    def piece(self, start: int, end: int) -> Piece:
        """The piece [start, end) in this file's own atoms."""
        size_bytes, last = self.size_bytes, None
        if self.format == JSONL:
            size_bytes, last = end - start, end
        elif self.part_bytes is not None:
            size_bytes, last = sum(self.part_bytes[start:end]), end
        return Piece(
            path=self.path, source=self.source, format=self.format, start=start, end=last, size_bytes=size_bytes
        )


def cut_units(files: Sequence[SourceFile], *, shards: int | None, unit_bytes: int) -> list[Unit]:
    """Cut `files`, in their order, into units of near-equal bytes.

    Exactly `shards` units if the files have so many atoms, else one unit per atom; without `shards`, units of
    about `unit_bytes`. No unit is without pieces, no byte is in two.
    """
    cutter = _Cutter(files)
    units: list[tuple[Piece, ...]] = []
    while cutter.left_atoms:
        wanted = shards - len(units) if shards else max(1, round(cutter.left_bytes / unit_bytes))
        target_bytes = -(-cutter.left_bytes // wanted)
        most_atoms = max(1, cutter.left_atoms - (wanted - 1)) if shards else cutter.left_atoms
        units.append(cutter.take(target_bytes, most_atoms, everything=wanted == 1))
    return [Unit(index=index, total=len(units), pieces=pieces) for index, pieces in enumerate(units)]


class _Cutter:
    """A position in the corpus, and what lies behind it."""

    def __init__(self, files: Sequence[SourceFile]) -> None:
        self._files = files
        self._index = 0
        self._start = 0
        self.left_bytes = sum(file.size_bytes for file in files)
        self.left_atoms = sum(file.atoms for file in files)

    def take(self, target_bytes: int, most_atoms: int, *, everything: bool) -> tuple[Piece, ...]:
        """The next unit: at least one piece, about `target_bytes`, at most `most_atoms` atoms."""
        pieces: list[Piece] = []
        while self._index < len(self._files) and most_atoms > 0:
            file = self._files[self._index]
            end = file.atoms if everything else file.reach(self._start, target_bytes, most_atoms)
            if end == self._start and file.size_bytes > 0:
                if pieces:
                    break
                end += 1
            piece = file.piece(self._start, end if file.size_bytes else 0)
            atoms = max(end - self._start, 1)
            pieces.append(piece)
            target_bytes -= piece.size_bytes
            most_atoms -= atoms
            self.left_bytes -= piece.size_bytes
            self.left_atoms -= atoms
            self._start = end
            if end >= file.atoms or not file.size_bytes:
                self._index, self._start = self._index + 1, 0
        return tuple(pieces)
