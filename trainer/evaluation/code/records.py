"""JSON lines that a user gives, plain or gzip: records that know their file and line, so that errors can name both."""

from __future__ import annotations

import gzip
import os
import zlib
from dataclasses import dataclass
from typing import Any

from schemas.errors import InputError
from schemas.files import sha256_hex
from schemas.json_files import parse_json


@dataclass(frozen=True, kw_only=True, slots=True)
class JsonRecord:
    """One line of a JSON lines file, with its place."""

    place: str
    """file:line, for errors."""
    values: dict[str, Any]

    def text(self, name: str) -> str:
        """A field that must be a string that UTF-8 can encode; InputError if it is not."""
        value = self.values.get(name)
        if not isinstance(value, str):
            raise self.error(f"field {name!r} is {_shown(value)}, it must be a string")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise self.error(
                f"field {name!r} holds half of a surrogate pair ({value[error.start]!a} at character {error.start}), "
                "which is no text; write the file again in UTF-8"
            ) from None
        return value

    def texts(self, name: str) -> list[str]:
        """A field that must be a list of strings."""
        value = self.values.get(name)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self.error(f"field {name!r} is {_shown(value)}, it must be a list of strings")
        return value

    def error(self, problem: str) -> InputError:
        """The error to raise for this record."""
        return InputError(f"{self.place}: {problem}")


def read_records(path: str) -> tuple[list[JsonRecord], str]:
    """The records of `path`, or of its .gz, and the sha256 of the text; InputError names the line that is wrong.

    Blank lines are passed over. A file without records is refused.
    """
    name, data = _read(path)
    records = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            records.append(JsonRecord(place=f"{name}:{number}", values=_parsed(f"{name}:{number}", line)))
    if not records:
        raise InputError(f"{name} holds no records ({len(data)} bytes); give a file with one JSON object per line")
    return records, sha256_hex(data)


def _read(path: str) -> tuple[str, bytes]:
    existing = next((name for name in (path, f"{path}.gz") if os.path.isfile(name)), None)
    if existing is None:
        raise InputError(f"no file {path}[.gz]; name an existing one")
    try:
        with open(existing, "rb") as file:
            data = file.read()
        return existing, gzip.decompress(data) if existing.endswith(".gz") else data
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{existing} cannot be read ({error}); fetch it again") from error


def _parsed(place: str, line: bytes) -> dict[str, Any]:
    try:
        values = parse_json(line, foreign=True)
    except ValueError as error:
        raise InputError(f"{place}: not JSON ({error}); every line must be one object") from None
    if not isinstance(values, dict):
        raise InputError(f"{place}: {_shown(values)} where a JSON object was expected")
    return values


def _shown(value: Any) -> str:
    """A value as an error shows it."""
    if value is None:
        return "missing"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
