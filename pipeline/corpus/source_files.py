"""A file of a corpus: its format, by the suffix of its name, and the parts between which it may be split."""

from __future__ import annotations

import posixpath
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from schemas.files import is_remote

JSONL, JSON_LIST = "jsonl", "json"
JSONL_GZIP, JSONL_ZSTD, JSONL_BZIP2, JSONL_XZ = "jsonl.gz", "jsonl.zst", "jsonl.bz2", "jsonl.xz"
PARQUET, ARROW, TEXT = "parquet", "arrow", "text"
FORMATS = (JSONL, JSON_LIST, JSONL_GZIP, JSONL_ZSTD, JSONL_BZIP2, JSONL_XZ, PARQUET, ARROW, TEXT)
COMPRESSED_SUFFIXES = {
    ".gz": JSONL_GZIP,
    ".zst": JSONL_ZSTD,
    ".zstd": JSONL_ZSTD,
    ".bz2": JSONL_BZIP2,
    ".xz": JSONL_XZ,
}
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
RECORD_SUFFIXES = {
    **dict.fromkeys(JSON_SUFFIXES, JSONL),
    ".parquet": PARQUET,
    ".arrow": ARROW,
    ".feather": ARROW,
    **{json + suffix: kind for json in JSON_SUFFIXES for suffix, kind in COMPRESSED_SUFFIXES.items()},
}
"""Lower-case suffix to the format of a file of records."""


def format_of(path: str) -> str:
    """The format that the suffix of a path or URL names; TEXT for any other suffix."""
    name = posixpath.basename(urlsplit(path).path if is_remote(path) else path).lower()
    for suffix, kind in RECORD_SUFFIXES.items():
        if name.endswith(suffix):
            return kind
    return TEXT


def may_be_list(path: str) -> bool:
    """Whether a file of records may be one list of JSON, by its name: .json, compressed or not."""
    name = posixpath.basename(urlsplit(path).path if is_remote(path) else path).lower()
    return name.endswith((".json", *(".json" + suffix for suffix in COMPRESSED_SUFFIXES)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A file of the corpus, or a part of one, that a single work unit reads."""

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
    size_bytes: int | None
    """Stored bytes, compressed as they are; None where the store does not tell, and the piece is the whole file."""
    file_bytes: int | None = None
    """Stored bytes of the whole file when the run was planned; None: unknown."""

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
class NotRead:
    """A name that an input matches and that is no file of the corpus."""

    path: str
    """Absolute local path or URL; bytes that are not UTF-8 as \\xNN."""
    reason: str
    """Why it is not read, in words."""
    size_bytes: int | None
    """Stored bytes; None where they are unknown, as those of a directory are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """A whole file of the corpus."""

    path: str
    """Where it is opened: absolute local path or URL."""
    source: str
    """Its name in the corpus, see `Piece.source`."""
    format: str
    """One of `FORMATS`."""
    size_bytes: int | None
    """Stored bytes, compressed as they are; None where the store does not tell, and the file stays whole."""
    part_bytes: tuple[int, ...] | None = None
    """Share of each row group or record batch in the stored bytes; None where nobody has looked, and the file stays
    whole."""

    @property
    def is_empty(self) -> bool:
        """Whether it is known to hold nothing."""
        return self.size_bytes == 0

    @property
    def splittable_parts(self) -> int:
        """Into how many pieces the file can be split at most: bytes of JSON lines, row groups, record batches, or 1."""
        if self.format == JSONL and self.size_bytes is not None:
            return max(self.size_bytes, 1)
        return len(self.part_bytes or (0,))

    def nearest_split(self, start: int, target_bytes: int, max_parts: int, assumed_bytes: int) -> int:
        """End of the piece that begins at part `start`, has at most `max_parts` and comes nearest to `target_bytes`.

        It is `start` itself where no piece at all comes nearer. `assumed_bytes`: what a file of unknown size counts.
        """
        if self.format == JSONL and self.size_bytes is not None:
            return min(self.size_bytes, start + max(0, min(target_bytes, max_parts)))
        parts = self.part_bytes or (assumed_bytes if self.size_bytes is None else self.size_bytes,)
        end, taken_bytes = start, 0
        while end < min(len(parts), start + max_parts) and 2 * taken_bytes + parts[end] <= 2 * target_bytes:
            taken_bytes += parts[end]
            end += 1
        return end

    def piece(self, start: int, end: int) -> Piece:
        """The parts [start, end) as a piece."""
        size_bytes, last = self.size_bytes, None
        if self.format == JSONL and self.size_bytes is not None:
            size_bytes, last = end - start, end
        elif self.part_bytes is not None:
            size_bytes, last = sum(self.part_bytes[start:end]), end
        return Piece(
            path=self.path,
            source=self.source,
            format=self.format,
            start=start,
            end=last,
            size_bytes=size_bytes,
            file_bytes=self.size_bytes,
        )
