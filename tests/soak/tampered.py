"""A file as somebody may have left it: one value is another one, or the whole is no longer what it was.

bytes of a file, its kind, a random generator ── tamper ──► (what was done, the bytes; None for a directory)
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

DEEP = 10_000
VALUES: list[Any] = [
    None, True, False, -1, 0, 1, 2, 3, 255, 65536, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**12, 10**400,
    0.5, 1.5, -0.0, 1e308, float("nan"), float("inf"), float("-inf"),
    "", "..", ".", "/", "../x", "/etc/passwd", "a/b", "a\0b", "\ud800", "\x1b[2J", "x" * 300, "a\nb", "uint16",
    "shard-00000-of-00001.arrow", [], {}, [[]], [None], {"a": 1}, ["x"] * 100,
]  # fmt: skip
"""What a value may be replaced by."""
KEYS = ("new", "\ud800", "a\0", "..", "", "x" * 300)
WORDS = (0, 1, -1, 2**31 - 1, -(2**31), 2**63 - 1, 255, 256)
"""What is written over eight bytes of a file that is no text."""


def tamper(data: bytes, kind: str, rng: random.Random) -> tuple[str, bytes | None]:
    """One change to a file. kind: `json`, `lines` of it, `csv`, or `bytes`."""
    whole = rng.random() < 0.3
    if kind == "json":
        return _whole(data, rng, b"[" * DEEP, b'{"a":' * DEEP) if whole else _value(data, rng)
    if kind == "lines":
        lines = data.splitlines(keepends=True)
        number = rng.randrange(len(lines))
        words, changed = tamper(lines[number].rstrip(b"\n"), "json", rng)
        lines[number] = b"" if changed is None else changed + b"\n"
        return f"line {number}: {words}", b"".join(lines)
    if kind == "csv" and not whole:
        cells = data.split(b",")
        number = rng.randrange(len(cells))
        cells[number] = rng.choice((b"", b"nan", b"1e999", b"x", b'"', b"\0", b"\xff", b"-1\n", b"\n"))
        return f"cell {number} is {cells[number]!r}", b",".join(cells)
    if whole:
        return _whole(data, rng)
    at = rng.randrange(len(data))
    if rng.random() < 0.5:
        return f"bit of byte {at}", data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    word = rng.choice(WORDS)
    return f"{word} at {at}", data[:at] + (word % 2**64).to_bytes(8, "little") + data[at + 8 :]


def _whole(data: bytes, rng: random.Random, *others: bytes) -> tuple[str, bytes | None]:
    """The file is no longer what it was at all."""
    changed = {
        "a directory": None,
        "empty": b"",
        "cut": data[: rng.randrange(len(data))],
        "a mark before it": b"\xef\xbb\xbf" + data,
        "UTF-16": data.decode("latin-1").encode("utf-16"),
        "not UTF-8": b"\xff" + data,
        "zeros": bytes(len(data)),
        "twice": data + data,
        "a long number": b"7" * 5000,
        "null": b"null",
        "a list": b"[]",
        "an object": b"{}",
        **{f"deep {other[:5]!r}": other for other in others},
    }
    words = rng.choice(list(changed))
    return words, changed[words]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value below the outermost."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield (*path, key)
        yield from places(below, (*path, key))


def _value(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """One value is another one, gone, there twice, or has a new neighbour."""
    value = json.loads(data)
    found = list(places(value))
    if not found:
        return "an empty list", b"[]"
    path = rng.choice(found)
    *outer, key = path
    holder = value
    for step in outer:
        holder = holder[step]
    kind, new = rng.random(), rng.choice(VALUES)
    if kind < 0.15:
        del holder[key]
        return f"{path} gone", json.dumps(value).encode()
    if kind < 0.25 and isinstance(holder, dict):
        holder[rng.choice(KEYS)] = new
        return f"{path} has a neighbour", json.dumps(value).encode()
    if kind < 0.3 and isinstance(holder, dict):
        text, name = json.dumps(value), json.dumps(key)
        return f"{path} twice", text.replace(f"{name}:", f"{name}: 1, {name}:", 1).encode()
    holder[key] = _near(holder[key], rng) if kind < 0.6 else new
    return f"{path} is {holder[key]!r:.40}", json.dumps(value).encode()


def _near(value: Any, rng: random.Random) -> Any:
    """A value of the same type."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, (int, float)):
        return rng.choice((value + 1, value - 1, -value, value * 2**20, 0, value * 1000))
    if isinstance(value, str):
        return rng.choice((value[1:], value + "x", value.upper(), value * 100, f"../{value}", ""))
    return value * 2 if isinstance(value, list) else {}
