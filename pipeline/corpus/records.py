"""What makes an item of the input a document: one Record or one Reject for each line, row or file."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from pipeline.corpus.languages import language_of
from pipeline.corpus.readers.columns import Row
from pipeline.corpus.readers.json_text import BYTE_ORDER_MARK, Item, JsonError, parse
from pipeline.corpus.readers.lines import Line
from pipeline.corpus.settings import ReadSettings
from pipeline.corpus.source_files import TEXT, Piece
from pipeline.storage.open import BrokenInputError
from schemas.errors import one_line
from schemas.rejects import Reject, excerpt

DOC_ID_DIGITS = 16
MAX_DETAIL_CHARACTERS = 400
JSON_TYPES = {dict: "an object", list: "a list", bool: "a boolean", int: "a number", float: "a number"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One document."""

    doc_id: str
    """The record's own id, or 16 hex digits of sha256 of "source:position". Own ids may repeat: whoever wrote them may
    have begun anew in every file."""
    source: str
    language: str
    """"" if unknown."""
    text: bytes
    """UTF-8, at least one byte."""


class _FlawError(Exception):
    """An item is no document."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Checker:
    """Makes Records and Rejects of the items of one piece."""

    def __init__(self, piece: Piece, settings: ReadSettings) -> None:
        self.settings = settings
        self._piece = piece

    def reject(self, position: int, reason: str, detail: str, data: bytes) -> Reject:
        """The item at `position`, which begins with `data`, as a reject."""
        # Details may quote field names, and those may be anything.
        detail = " ".join(detail[:MAX_DETAIL_CHARACTERS].encode(errors="backslashreplace").decode().split())
        return Reject(source=self._piece.source, position=position, reason=reason, detail=detail, excerpt=excerpt(data))

    def broken(self, position: int, error: BrokenInputError, data: bytes = b"") -> Reject:
        """What cannot be read from `position` on, with the bytes of the piece that are lost by it."""
        size_bytes = self._piece.size_bytes
        lost_bytes = None if size_bytes is None else round(error.lost_share * size_bytes)
        return replace(self.reject(position, error.reason, error.detail, data), lost_bytes=lost_bytes)

    def line(self, line: Line) -> Record | Reject | None:
        """One line of JSON; None if it is blank."""
        position, data, size_bytes, broken = line
        if broken is not None:
            return self.broken(position, broken, data)
        if size_bytes > self.settings.max_line_bytes:
            detail = f"a line of {size_bytes} bytes, the limit is {self.settings.max_line_bytes}"
            return self.reject(position, "too_long", f"{detail}; raise --max-document-bytes", data)
        if position == 0:
            data = data.removeprefix(BYTE_ORDER_MARK.encode())
        if not data or data.isspace():
            return None
        try:
            fields = _parse(data)
        except _FlawError as flaw:
            return self.reject(position, flaw.reason, flaw.detail, data)
        return self.record(position, fields, fields, data)

    def item(self, item: Item) -> Record | Reject:
        """One value of a list of JSON."""
        data = item.text.encode(errors="surrogateescape")
        if item.broken is not None:
            return self.broken(item.position, item.broken, data)
        if not isinstance(item.value, dict):
            return self.reject(item.position, "bad_json", f"{_type_name(item.value)}, not an object", data)
        return self.record(item.position, item.value, item.value, data)

    def row(self, row: Row) -> Record | Reject:
        """One row of a table."""
        if row.broken is not None:
            return self.broken(row.position, row.broken)
        texts = [row.fields[name] for name in self.settings.text_fields if name in row.fields]
        data = texts[0] if texts and isinstance(texts[0], bytes) else b""
        return self.record(row.position, row.fields, row.names, data)

    def record(self, position: int, fields: Mapping[str, Any], names: Collection[str], data: bytes) -> Record | Reject:
        """The record with `fields` of those in `names`; `data` is for the excerpt."""
        settings, piece = self.settings, self._piece
        try:
            text = _text(fields, names, settings)
        except _FlawError as flaw:
            return self.reject(position, flaw.reason, flaw.detail, data)
        doc_id = (_own_id(fields.get(settings.id_field)) if settings.id_field else None) or _made_id(piece, position)
        own_source = _string(fields.get(settings.source_field)) if settings.source_field else None
        language = _string(fields.get(settings.language_field))
        if language is None:
            named = own_source or (piece.source if piece.format == TEXT else "")
            language = language_of(named)
        return Record(doc_id=doc_id, source=own_source or piece.source, language=language, text=text)


def _parse(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`."""
    try:
        value = parse(data.decode())
    except UnicodeDecodeError as error:
        raise _FlawError("invalid_utf8", one_line(error)) from None
    except JsonError as error:
        raise _FlawError("bad_json", one_line(error)) from None
    if not isinstance(value, dict):
        raise _FlawError("bad_json", f"{_type_name(value)}, not an object; each line must be one object (jq -c '.[]')")
    return value


def _text(fields: Mapping[str, Any], names: Collection[str], settings: ReadSettings) -> bytes:
    """The text of a record, as UTF-8: of its first text field that is not null."""
    present = [name for name in settings.text_fields if name in fields]
    if not present:
        wanted, there = " or ".join(settings.text_fields), ", ".join(names) or "nothing"
        raise _FlawError("no_text_field", f"no field {wanted}; the record has {there}")
    name = next((name for name in present if not _is_null(fields[name])), present[0])
    value = fields[name]
    try:
        if isinstance(value, str):
            text = value.encode()
        elif isinstance(value, bytes):
            text = value
            if not text.isascii():
                text.decode()
        else:
            raise _FlawError("text_not_string", f"the field {name} is {_type_name(value)}, not a string")
    except UnicodeEncodeError as error:
        surrogate = ord(error.object[error.start])
        raise _FlawError("invalid_utf8", f"lone surrogate U+{surrogate:04X} at character {error.start}") from None
    except UnicodeDecodeError as error:
        raise _FlawError("invalid_utf8", one_line(error)) from None
    if not text:
        raise _FlawError("empty", f"the field {name} is empty" if names else "the file is empty")
    if len(text) > settings.max_document_bytes and not settings.split_bytes:
        raise _FlawError("too_long", too_long("a text", len(text), settings))
    return text


def too_long(what: str, size_bytes: int, settings: ReadSettings) -> str:
    """What to say of a document that is longer than the limit."""
    limit = settings.max_document_bytes
    return f"{what} of {size_bytes} bytes, the limit is {limit}; raise --max-document-bytes, or cut it by --split-bytes"


def _is_null(value: Any) -> bool:
    """Whether a value is absent: null of JSON, or a null of a column whose type has no values here."""
    return value is None or (isinstance(value, pa.Scalar) and not value.is_valid)


def _type_name(value: Any) -> str:
    return "null" if value is None else JSON_TYPES.get(type(value), f"a {type(value).__name__}")


def _string(value: Any) -> str | None:
    """A string that can be stored, else None."""
    try:
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, str):
            return value if value.isascii() else value.encode().decode()
    except UnicodeError:
        pass
    return None


def _own_id(value: Any) -> str | None:
    """The id that a record brings, as a string; None if it brings none that can be one."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return _string(value)


def _made_id(piece: Piece, position: int) -> str:
    return hashlib.sha256(f"{piece.source}:{position}".encode()).hexdigest()[:DOC_ID_DIGITS]
