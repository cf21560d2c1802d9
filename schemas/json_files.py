"""JSON that lies in files, read as if a stranger had changed it: what is wrong is a ValueError of one line.

    bytes ── parse_json ──► values ── record ──► a dataclass, every field of its type
    path  ── read_json, read_record ──► the same; the error is the caller's kind and names the file

A file of ours has no NaN, no key twice, no half of a surrogate pair, no NUL, and nothing deeper than `MAX_DEPTH`.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import types
import typing
from collections.abc import Callable, Iterator
from os import PathLike
from typing import Annotated, Any, TypeVar

from schemas.errors import UserError, refusing

Record = TypeVar("Record")

MAX_DEPTH = 100
"""Of objects and lists in each other; less than any caller's stack allows."""
MAX_INTEGER_DIGITS = 600
"""Below the least limit that an interpreter can be given (640)."""
MOST = 1 << 63
"""Nothing is counted further."""
Count = Annotated[int, range(MOST)]
"""An integer of at least 0."""
_NO_TEXT = re.compile(r"\\u(?:d[89a-f][0-9a-f]{2}|0000)", re.IGNORECASE)
"""Escapes that may make a string no text: halves of surrogate pairs, and NUL."""


def parse_json(data: bytes, *, foreign: bool = False) -> Any:
    """The one value in UTF-8 JSON; ValueError where there is none. A byte order mark before it is passed over.

    foreign: written by other programs, in which NaN, a repeated key and strings that are no text are usual.
    """
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None
    try:
        value = json.loads(text, **(_FOREIGN if foreign else _STRICT))
        if text.count("[") + text.count("{") > MAX_DEPTH and is_deeper(value, MAX_DEPTH):
            raise RecursionError
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    except RecursionError:
        raise ValueError(f"objects and lists in each other, more than {MAX_DEPTH} deep") from None
    if not foreign and _NO_TEXT.search(text):
        _refuse_no_text(value)
    return value


def read_json(path: str | PathLike[str], *, error: type[UserError], remedy: str) -> dict[str, Any]:
    """The object in a local file; `error`, which names the file and ends in the remedy, where there is none."""
    with refusing(path, error, remedy):
        return parse_object(_bytes(path))


def read_record(cls: type[Record], path: str | PathLike[str], *, error: type[UserError], remedy: str) -> Record:
    """`record` of a local file; `error`, which names the file and ends in the remedy, where it is none."""
    with refusing(path, error, remedy):
        return record(cls, parse_json(_bytes(path)))


def parse_object(data: bytes) -> dict[str, Any]:
    """`parse_json` of what must be an object."""
    value = parse_json(data)
    if not isinstance(value, dict):
        raise ValueError(f"{said(value)} where an object is expected")
    return value


def record(cls: type[Record], value: Any, *, only: bool = True, whole: bool = True) -> Record:
    """A dataclass from a JSON object that has a key for each of its fields, each of its type.

    only: keys that are no fields are refused, else passed over. whole: defaults are for those who make such an object,
    not for one that was written; else they stand for missing keys. ValueError names the key.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{said(value)} where an object is expected")
    hints = _hints(typing.cast(typing.Hashable, cls))
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    names = {field.name for field in fields if field.init}
    if only and (unknown := value.keys() - names):
        raise ValueError(f"unknown key {said(min(unknown))}")
    found = {}
    for field in fields:
        if field.name in value and field.init:
            found[field.name] = _plainly(typed, hints[field.name], value[field.name], field.name)
        elif field.init and (whole or {field.default, field.default_factory} == {dataclasses.MISSING}):
            raise ValueError(f"no key {field.name!r}")
    return _plainly(cls, **found)


def _plainly(make: Callable[..., Any], *words: Any, **named: Any) -> Any:
    """What is made; a UserError as a ValueError, for it knows nothing of the file."""
    try:
        return make(*words, **named)
    except UserError as error:
        raise ValueError(str(error)) from None


def typed(hint: Any, value: Any, name: str) -> Any:
    """A JSON value as a value of a type; ValueError, which names it, where it is of another.

    Types are those of fields: int, float, str, bool, Literal, tuple, list and dict of them, dataclasses, `X | None`,
    Annotated[int, range(…)], Any, and classes that `parse` a string. An integer is a float too, True is no integer.
    """
    match typing.get_origin(hint), typing.get_args(hint):
        case (types.UnionType | typing.Union, parts):
            if value is None and type(None) in parts:
                return None
            (hint,) = (part for part in parts if part is not type(None))
            return typed(hint, value, name)
        case (typing.Annotated, (_, allowed)):
            if type(value) is int and value in allowed:
                return value
            raise ValueError(f"{name} is {said(value)}, not an integer from {allowed.start} to {allowed.stop - 1}")
        case (typing.Literal, known):
            if type(value) in (str, int) and value in known:
                return value
            raise ValueError(f"{name} is {said(value)}, not one of {', '.join(map(str, known))}")
        case (kind, (inner, *_)) if kind in (tuple, list) and isinstance(value, list):
            return kind(typed(inner, part, f"{name}[{place}]") for place, part in enumerate(value))
        case (kind, (_, inner)) if kind is dict and isinstance(value, dict):
            return {key: typed(inner, part, f"{name}[{said(key)}]") for key, part in value.items()}
    if hint is Any or (hint in (str, bool, dict, list) and type(value) is hint):
        return value
    if hint in (int, float) and (type(value) is hint or type(value) is int) and -MOST <= value < MOST:
        return hint(value)
    if hint is float and type(value) is float and math.isfinite(value):
        return value
    if isinstance(value, str) and hasattr(hint, "parse"):
        return hint.parse(value)
    if dataclasses.is_dataclass(hint):
        try:
            return record(typing.cast(type, hint), value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    raise ValueError(f"{name} is {said(value)}, not {getattr(hint, '__name__', hint)}")


def said(value: Any) -> str:
    """A value as an error shows it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def _bytes(path: str | PathLike[str]) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _refuse_no_text(value: Any) -> None:
    for word in _strings(value):
        if "\0" in word or any("\ud800" <= letter <= "\udfff" for letter in word):
            raise ValueError(f"the string {said(word)}, which is no text")


def _strings(value: Any) -> Iterator[str]:
    """Every string in a JSON value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        yield from value if isinstance(value, dict) else ()
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def _integer(digits: str) -> int:
    if len(digits) > MAX_INTEGER_DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


def any_integer(digits: str) -> int | str:
    """An integer of JSON; as it is written where it has more than MAX_INTEGER_DIGITS digits."""
    return int(digits) if len(digits) <= MAX_INTEGER_DIGITS else digits


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _refuse(digits)


def _refuse(word: str) -> Any:
    raise ValueError(f"{word[:40]} is no number that is kept")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {said(next(name for name in names if names.count(name) > 1))} twice")
    return found


def is_deeper(value: Any, depth: int) -> bool:
    """Whether objects and lists of a JSON value are in each other deeper than `depth`."""
    level = [value]
    for _ in range(depth + 1):
        level = [outer for outer in level if isinstance(outer, (dict, list))]
        if not level:
            return False
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
    return True


_FOREIGN: dict[str, Any] = {"parse_int": any_integer}
_STRICT: dict[str, Any] = {
    "parse_int": _integer,
    "parse_float": _finite,
    "parse_constant": _refuse,
    "object_pairs_hook": _distinct,
}
