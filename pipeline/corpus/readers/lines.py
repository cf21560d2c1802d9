"""Lines of a stream of blocks, with their offsets, without ever holding a line that is longer than the limit.

blocks  b'{"text": "a"}\\n{"te', b'xt": "b"}\\n'    ►    Line(0, b'{"text": "a"}', 13)  Line(14, b'{"text": "b"}', 13)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pipeline.storage.open import BrokenInputError
from schemas.rejects import EXCERPT_BYTES


class Line(NamedTuple):
    """One line, without its newline."""

    position: int
    """Byte offset of its first byte in the uncompressed file."""
    data: bytes
    """Its bytes; only the head of them if there are more than the limit, or if it is broken."""
    size_bytes: int
    """Its whole length."""
    broken: BrokenInputError | None = None
    """Set on the last item if the stream broke before its end: what is left of a line, maybe nothing."""


class _OpenLine:
    """The line that is being read, from `begin` to where the blocks ended so far."""

    def __init__(self, position: int, limit_bytes: int, *, wanted: bool) -> None:
        self._limit_bytes = limit_bytes
        self._hold_bytes = max(limit_bytes, EXCERPT_BYTES)
        self._held: list[bytes] = []
        self.begin(position)
        self.wanted = wanted
        """Whether the line is this reader's: the end of a line that began before `start` is not."""

    def begin(self, position: int) -> None:
        """Start a new line at this byte of the file."""
        self.wanted = True
        self.position = position
        self.size_bytes = self._held_bytes = 0
        self._held.clear()

    def add(self, part: bytes) -> None:
        """Lengthen the line. What goes beyond the limit is counted, not held."""
        self.size_bytes += len(part)
        if self.wanted and part and self._held_bytes <= self._hold_bytes:
            self._held.append(part)
            self._held_bytes += len(part)
            if self._held_bytes > self._hold_bytes:
                self._held[:] = [self.head()]

    def head(self) -> bytes:
        """Its first bytes, for an excerpt."""
        return b"".join(self._held)[:EXCERPT_BYTES]

    def line(self) -> Line:
        """The line as it is now, cut to its head if it is longer than the limit."""
        data = b"".join(self._held) if self.size_bytes <= self._limit_bytes else self.head()
        return Line(self.position, data, self.size_bytes)


def split_lines(blocks: Iterable[bytes], *, start: int, end: int | None, limit_bytes: int) -> Iterator[Line]:
    """The lines whose first byte lies in [start, end). `blocks` begin at byte max(start - 1, 0).

    Only b"\\n" ends a line. Of a line longer than `limit_bytes` no more than the head is kept.
    """
    # The byte before `start` is read too: if it ends a line, another one begins exactly at `start`.
    line = _OpenLine(max(start - 1, 0), limit_bytes, wanted=start == 0)
    try:
        for block in blocks:
            *ended, rest = block.split(b"\n")
            for part in ended:
                line.add(part)
                if line.wanted:
                    if end is not None and line.position >= end:
                        return
                    yield line.line()
                line.begin(line.position + line.size_bytes + 1)
            line.add(rest)
            next_position = line.position if line.wanted else line.position + line.size_bytes + 1
            if end is not None and next_position >= end:
                return
    except BrokenInputError as error:
        position = line.position if line.wanted else line.position + line.size_bytes
        yield Line(position, line.head(), line.size_bytes, error)
        return
    if line.wanted and line.size_bytes:
        yield line.line()
