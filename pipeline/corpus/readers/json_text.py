"""JSON as records are written in it: one object a line, or one list of objects. All callers accept the same.

    text  ── parse ──► its one value
    blocks of bytes ── list_items ──► Item(position, value) …          '[ {…}, {…} ]' is never held whole

Objects and lists nest `MAX_DEPTH` deep at most; an integer of very many digits stays a string (`any_integer`).
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from pipeline.storage.open import BrokenInputError
from schemas.errors import one_line
from schemas.json_files import any_integer, is_deeper

MAX_DEPTH = 500
"""Half of what the interpreter's stack allows."""
BLANK = " \t\r\n"
DELIMITERS = tuple(BLANK + ",]")
"""What may follow a value of a list."""
_BLANKS = re.compile(r"[ \t\r\n]*")
BYTE_ORDER_MARK = "\ufeff"
HEAD_BYTES = 4096
"""Of a file, to look whether it is a list."""
HEAD_CHARACTERS = 80


class JsonError(Exception):
    """Text is no JSON value; the message says why, on one line."""


_DECODER = json.JSONDecoder()
_LONG_DECODER = json.JSONDecoder(parse_int=any_integer)


def parse(text: str) -> Any:
    """The one value in `text`; JsonError if there is none, or more."""
    value, end = scan(text, len(text) - len(text.lstrip(BLANK)))
    if text[end:].strip(BLANK):
        raise JsonError(f"a second value: char {end}")
    return value


def scan(text: str, begin: int) -> tuple[Any, int]:
    """The value that begins at text[begin], and where it ends; JsonError if there is none."""
    try:
        value, end = _scan(text, begin)
    except RecursionError:
        # Perhaps the caller has used up the stack; a thread has one of its own.
        with ThreadPoolExecutor(1) as thread:
            value, end = thread.submit(_scan_in_own_stack, text, begin).result()
    if is_deeper(value, MAX_DEPTH):
        raise _too_deep()
    return value, end


def _scan(text: str, begin: int) -> tuple[Any, int]:
    try:
        try:
            return _DECODER.raw_decode(text, begin)
        except json.JSONDecodeError:
            raise
        except ValueError:
            # More digits than this interpreter turns into an integer.
            return _LONG_DECODER.raw_decode(text, begin)
    except json.JSONDecodeError as error:
        raise JsonError(one_line(error)) from None


def _scan_in_own_stack(text: str, begin: int) -> tuple[Any, int]:
    """`_scan` in a thread, whose stack holds twice what is accepted."""
    try:
        return _scan(text, begin)
    except RecursionError:
        raise _too_deep() from None


def _too_deep() -> JsonError:
    return JsonError(f"objects and lists in each other, more than {MAX_DEPTH} deep")


class Item(NamedTuple):
    """One value of a list, or where it breaks."""

    position: int
    """Byte offset of its first byte in the uncompressed file."""
    value: Any
    text: str
    """As it is written; of a break no more than the head. Bytes that are not UTF-8 as lone surrogates."""
    broken: BrokenInputError | None = None
    """Set on the last item where no more can be read."""


def begins_list(head: bytes) -> bool:
    """Whether a file that begins with `head` is one list: a bracket and an object, or nothing, behind it."""
    text = head.decode(errors="replace").removeprefix(BYTE_ORDER_MARK).lstrip(BLANK)
    return text.startswith("[") and text[1:].lstrip(BLANK)[:1] in ("{", "]")


def list_items(blocks: Iterable[bytes], limit_characters: int) -> Iterator[Item]:
    """The values of a file that is one list. No more than a block and a value of `limit_characters` is held."""
    reader = _ListReader(blocks)
    try:
        yield from reader.items(limit_characters)
    except BrokenInputError as error:
        yield Item(reader.position, None, reader.head(), error)


class _ListReader:
    """The text that was read and not delivered."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._text = ""
        self._at = 0
        """Where in `_text` the next value begins; what is before it was delivered."""
        self._has_ended = False
        self.position = 0
        """Byte offset of that place."""

    def head(self) -> str:
        """The next characters."""
        return self._text[self._at : self._at + HEAD_CHARACTERS]

    def items(self, limit_characters: int) -> Iterator[Item]:
        """Every value; BrokenInputError at the first place that cannot be read."""
        if self._next() == BYTE_ORDER_MARK:
            self._go_to(self._at + 1)
        self._expect("[")
        if self._next() != "]":
            while True:
                yield self._item(limit_characters)
                if self._next() != ",":
                    break
                self._go_to(self._at + 1)
        self._expect("]")
        if self._next():
            raise BrokenInputError("truncated", "more text behind the end of the list")

    def _item(self, limit_characters: int) -> Item:
        if not self._next():
            raise self._cut()
        while True:
            try:
                value, end = scan(self._text, self._at)
                # A number may go on in the next block.
                is_whole = self._text[end : end + 1] in DELIMITERS or end - self._at > limit_characters
                if is_whole or not self._more():
                    if end == len(self._text) and isinstance(value, (int, float)):
                        raise self._cut()
                    break
            except JsonError as error:
                if len(self._text) - self._at > limit_characters:
                    words = f"no value ends within {limit_characters} characters"
                    raise BrokenInputError("truncated", f"{words}; raise --max-document-bytes ({error})") from error
                if not self._more():
                    raise BrokenInputError("truncated", f"in a list: {error}") from error
        item = Item(self.position, value, self._text[self._at : end])
        self._go_to(end)
        return item

    def _expect(self, character: str) -> None:
        found = self._next()
        if not found:
            raise self._cut()
        if found != character:
            raise BrokenInputError("truncated", f"{found!r} where the list needs {character!r}")
        self._go_to(self._at + 1)

    def _cut(self) -> BrokenInputError:
        return BrokenInputError("truncated", "the file ends inside its list")

    def _next(self) -> str:
        """The next character that is not blank; empty at the end of the file."""
        while True:
            blanks = _BLANKS.match(self._text, self._at)
            self._go_to(blanks.end() if blanks else self._at)
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def _more(self) -> bool:
        """Read at least as much again as is held, so that a long value is looked at few times; False at the end."""
        held = self._text[self._at :]
        parts, size = [held], 0
        while size < max(len(held), 1) and not self._has_ended:
            block = next(self._blocks, b"")
            self._has_ended = not block
            parts.append(self._decoder.decode(block, final=self._has_ended))
            size += len(parts[-1])
        if size:
            self._text, self._at = "".join(parts), 0
        return size > 0

    def _go_to(self, end: int) -> None:
        gone = self._text[self._at : end]
        self.position += len(gone) if gone.isascii() else len(gone.encode("utf-8", "surrogateescape"))
        self._at = end
