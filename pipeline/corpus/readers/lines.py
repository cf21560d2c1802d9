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


def split_lines(blocks: Iterable[bytes], *, start: int, end: int | None, limit_bytes: int) -> Iterator[Line]:
    """The lines whose first byte lies in [start, end). `blocks` begin at byte max(start - 1, 0).

    Only b"\\n" ends a line. Of a line longer than `limit_bytes` no more than the head is kept.
    """
    position = max(start - 1, 0)
    keep_bytes = max(limit_bytes, EXCERPT_BYTES)
    head: list[bytes] = []
    kept_bytes = size_bytes = 0
    aligned = start == 0
    try:
        for block in blocks:
            parts = block.split(b"\n")
            for part in parts[:-1]:
                size_bytes += len(part)
                if aligned:
                    if end is not None and position >= end:
                        return
                    data = b"".join((*head, part)) if head else part
                    yield Line(position, data if size_bytes <= limit_bytes else data[:EXCERPT_BYTES], size_bytes)
                    head.clear()
                aligned = True
                position += size_bytes + 1
                kept_bytes = size_bytes = 0
            size_bytes += len(parts[-1])
            if end is not None and (position if aligned else position + size_bytes + 1) >= end:
                return
            if aligned and parts[-1] and kept_bytes <= keep_bytes:
                head.append(parts[-1])
                kept_bytes += len(parts[-1])
                if kept_bytes > keep_bytes:
                    head[:] = [b"".join(head)[:EXCERPT_BYTES]]
    except BrokenInputError as error:
        yield Line(position + (0 if aligned else size_bytes), b"".join(head)[:EXCERPT_BYTES], size_bytes, error)
        return
    if aligned and size_bytes:
        data = b"".join(head)
        yield Line(position, data if size_bytes <= limit_bytes else data[:EXCERPT_BYTES], size_bytes)
