"""How the records of a corpus become documents, as options of the command line and fields of a configuration file."""

from __future__ import annotations

import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.errors import SettingsError
from schemas.options import option

MAX_DOCUMENT_BYTES = (1 << 32) - 1
"""Longest document that a shard can hold: ends of segments are uint32."""
MIN_SPLIT_BYTES = 16
SAMPLE_BYTES = 64 << 20
"""Text of a sample, at most, where nothing else is asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadSettings:
    """How records become documents."""

    text_fields: tuple[str, ...] = field(default=("text", "content"), metadata=option("text-field", metavar="FIELD"))
    """The text is in the first of these that a record has and that is not null."""
    id_field: str | None = field(default=None, metadata=option(default="a hash of source and position"))
    """Take document ids from this field; they may repeat."""
    language_field: str = "language"
    """Take a document's language from this field, where it is a string."""
    source_field: str | None = field(default=None, metadata=option(default="the file's path"))
    """Take a document's source from this field, where it is a string."""
    max_document_bytes: int = 64 << 20
    """Longer documents are rejected unless `split_bytes` cuts them; lines of more than twice that plus 1 MiB are not
    even held."""
    split_bytes: int = 0
    """Cut longer documents at line ends into pieces of at most that many bytes, for short contexts; 0: never."""
    max_expansion: int = field(default=1000, metadata=option(hidden=True))
    """A compressed file that expands more than this many times (beyond one longest line) is a bomb and cut off."""

    def __post_init__(self) -> None:
        if not self.text_fields or not all(self.text_fields):
            raise SettingsError(
                f"--text-field is {' '.join(self.text_fields)!r}; name at least one field, such as text"
            )
        if not 1 <= self.max_document_bytes <= MAX_DOCUMENT_BYTES:
            raise SettingsError(
                f"--max-document-bytes is {self.max_document_bytes}; choose a number from 1 to {MAX_DOCUMENT_BYTES}"
            )
        if self.split_bytes and self.split_bytes < MIN_SPLIT_BYTES:
            raise SettingsError(
                f"--split-bytes is {self.split_bytes}; choose at least {MIN_SPLIT_BYTES}, or 0 not to split"
            )
        if self.max_expansion < 1:
            raise SettingsError(f"max_expansion is {self.max_expansion}; choose at least 1")

    @property
    def max_line_bytes(self) -> int:
        """Room for escapes and for the other fields of the record."""
        return 2 * self.max_document_bytes + (1 << 20)

    def choose(self, names: Sequence[str]) -> list[str]:
        """The columns that are needed of those in `names`."""
        wanted = (*self.text_fields, self.id_field, self.language_field, self.source_field)
        return list(dict.fromkeys(name for name in wanted if name is not None and name in names))


def check_sample_bytes(sample_bytes: int) -> None:
    """SettingsError where a sample could hold no text."""
    if sample_bytes < 1:
        raise SettingsError(f"--sample-bytes is {sample_bytes}; give at least 1")


def standard_library() -> tuple[str, ...]:
    """The directory of this Python's standard library, which is the corpus where none is named."""
    return (sysconfig.get_paths()["stdlib"],)


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusSettings:
    """What is read, and how."""

    inputs: tuple[str, ...] = field(
        default_factory=standard_library,
        metadata=option("input", metavar="PATH", default="this Python's standard library", path=True),
    )
    """Files, globs, directories, URLs: .jsonl or .json [.gz|.zst|.bz2|.xz], .parquet, .arrow, or a source tree."""
    read: ReadSettings = field(default_factory=ReadSettings)
