"""Generated lines of JSON, good, broken and strange, and a slow reading of each: the text it holds, or None."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_DOCUMENT_BYTES = 4096
"""--max-document-bytes of every run, so that long lines are cheap."""
MAX_LINE_BYTES = 2 * MAX_DOCUMENT_BYTES + (1 << 20)
ALPHABETS = ("abc \n\t", "é漢🚀\u2028\ufeff", '\\"{}[]:,', "\0\x01\x7f\x85\ufffd", "0123456789.eE+-")


def text_of(line: bytes, *, first: bool) -> bytes | None:
    """What a reader must take from a line: its text, None where it must set the line aside, b"" where it is blank."""
    if len(line) > MAX_LINE_BYTES:
        return None
    line = line.removeprefix(BYTE_ORDER_MARK) if first else line
    if not line.strip():
        return b""
    try:
        record = json.loads(line.decode(), parse_int=float)  # Integers of any length are read.
        text = record.get("text")
        encoded = (record["content"] if text is None else text).encode()  # Null is absent.
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError, IndexError):
        return None
    return encoded if 0 < len(encoded) <= MAX_DOCUMENT_BYTES and isinstance(record, dict) else None


def read_lines(data: bytes) -> list[bytes | None]:
    """The texts and None's of JSON lines, in their order, without the blank lines."""
    texts = [text_of(line, first=number == 0) for number, line in enumerate(data.split(b"\n"))]
    return [text for text in texts if text != b""]


def draw_text(rng: random.Random) -> str:
    """A text of any alphabet and of a length that is likely to matter."""
    length = rng.choice((0, 1, 1, 2, 3, 7, 30, 100, 300, MAX_DOCUMENT_BYTES - 1, MAX_DOCUMENT_BYTES))
    return "".join(rng.choices(rng.choice(ALPHABETS), k=length)) + rng.choice(("", "", "x", "é"))


def draw_line(rng: random.Random) -> bytes:
    """One line, without its newline."""
    return rng.choices(_KINDS, weights=_WEIGHTS)[0](rng)


def draw_lines(rng: random.Random, count: int) -> bytes:
    """`count` lines and now and then blank ones; the last newline may be missing."""
    ends = rng.choices((b"\n", b"\r\n", b"\n\n", b"\n \t\n"), weights=(90, 5, 3, 2), k=count)
    data = b"".join(draw_line(rng) + end for end in ends)
    if rng.random() < 0.1:
        data = BYTE_ORDER_MARK + data
    return data.removesuffix(b"\n") if rng.random() < 0.3 else data


def _good(rng: random.Random) -> bytes:
    record = {
        rng.choice(("text", "content")): draw_text(rng),
        "language": rng.choice(("Python", "", None, 3, "\ud800")),
    }
    return json.dumps(record, ensure_ascii=rng.random() < 0.7).encode(errors="surrogatepass")


def _mutated(rng: random.Random) -> bytes:
    data = bytearray(_good(rng))
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        data[at : at + rng.randint(0, 2)] = rng.randbytes(rng.randint(0, 2))
    return bytes(data).replace(b"\n", b" ")


def _cut(rng: random.Random) -> bytes:
    data = _good(rng)
    return data[: rng.randrange(len(data))]


def _noise(rng: random.Random) -> bytes:
    return rng.randbytes(rng.randint(1, 200)).replace(b"\n", b"")


def _strange(rng: random.Random) -> bytes:
    return rng.choice(
        (
            b'{"text": "\\ud800"}', b'{"text": "\\udc00\\ud800"}', b'{"text": "\\ud83d\\ude80"}', b'{"text": null}',
            b'{"text": 3}', b'{"text": ["a"]}', b'{"text": {"a": 1}}', b'{"text": true}', b'{"text": ""}',
            b'{"body": "x"}',
            b"{}", b"[]", b"null", b"NaN", b'"text"', b"3", b"-", b'{"text": "a", "text": "b"}', b'{"text": "a"} x',
            b'{"text": "a"}{"text": "b"}', b'{"text": "\x80"}', b'{"text": "\xed\xa0\x80"}', b'{"text": "\xf5\x80"}',
            b'{"text": "a\x00b"}', b'{"text": "\\u0000"}', b'{"text": NaN}', b'{"content": "c", "text": null}',
            b"{'text': 1}",
            b'{"text": "a", "language": "\\ud800", "id": {}}', b'{"text": "tab\there"}', b'\xff\xfe{\x00"\x00',
            b'["text"]', BYTE_ORDER_MARK + b'{"text": "marked"}',
            b'{"text": "a", "big": 1e999, "long": ' + b"9" * 5000 + b"}",
        )
    )  # fmt: skip


def _deep(rng: random.Random) -> bytes:
    depth = rng.choice((10, 200_000))
    return b'{"text": "deep", "x": ' + b"[" * depth + b"]" * depth + b"}"


def _long(rng: random.Random) -> bytes:
    size_bytes = rng.choice((MAX_DOCUMENT_BYTES + 1, 50_000, MAX_LINE_BYTES, MAX_LINE_BYTES + 1, 2 * MAX_LINE_BYTES))
    body = rng.choice((b"x", b" ", b"\\n", "é".encode())) * size_bytes
    return rng.choice((b'{"text": "' + body + b'"}', body, b'{"text": "kept", "more": "' + body + b'"}'))


_KINDS: tuple[Callable[[random.Random], bytes], ...] = (_good, _mutated, _cut, _noise, _strange, _deep, _long)
_WEIGHTS = (40, 20, 10, 10, 18, 0.2, 0.4)
