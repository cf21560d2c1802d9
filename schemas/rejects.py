"""Documents that were set aside: one row each, with a reason from a closed list."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from schemas.files import json_line

EXCERPT_BYTES = 80

REASONS = {
    "bad_json": "a line that is not a JSON object",
    "no_text_field": "a record without the text field",
    "text_not_string": "a record whose text field is not a string",
    "invalid_utf8": "bytes that are not UTF-8, or a lone surrogate",
    "empty": "a document of zero bytes",
    "too_long": "a document, or a line that holds one, longer than the limit",
    "truncated": "a compressed or columnar file that ends or breaks before its end; what came before is kept",
    "unreadable": "a file that cannot be opened or is not what its suffix says",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reject:
    """One document that was read and not written."""

    source: str
    """Path relative to the input's root."""
    position: int
    """Where in the source: uncompressed byte offset of the line (JSONL), row index (Parquet, Arrow), else 0."""
    reason: str
    """A key of `REASONS`."""
    detail: str
    """One line for a person: the value and the limit, or the parser's own message."""
    excerpt: str
    """The first bytes of the offending data, at most `EXCERPT_BYTES`, undecodable ones as \\xNN."""

    lost_bytes: int | None = 0
    """Stored bytes of the source that hold documents nobody has seen: all of an unreadable file, what lies behind the
    break of a truncated one. None: unknown."""

    def __post_init__(self) -> None:
        assert self.reason in REASONS, self.reason

    def to_line(self) -> str:
        """One line of JSON with a newline; `lost_bytes` stands in it only where something is lost."""
        values = asdict(self)
        if self.lost_bytes == 0:
            del values["lost_bytes"]
        return json_line(values)


def excerpt(data: bytes) -> str:
    """The head of `data` as printable text."""
    return data[:EXCERPT_BYTES].decode("utf-8", "backslashreplace")
