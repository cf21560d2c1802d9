"""Long documents cut into pieces, so that a short training context can hold both encodings of one.

A piece ends behind a newline, else before a character, never inside one. The pieces end to end are the document.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from pipeline.corpus.records import Record
from schemas.held_out import piece_id
from schemas.rejects import Reject

MAX_CHARACTER_BYTES = 4


def split_records(items: Iterable[Record | Reject], limit_bytes: int) -> Iterator[Record | Reject]:
    """Records of at most `limit_bytes` bytes; longer ones become several, named id#piece0, id#piece1, …"""
    for item in items:
        if isinstance(item, Reject) or len(item.text) <= limit_bytes:
            yield item
            continue
        for number, text in enumerate(split_text(item.text, limit_bytes)):
            yield replace(item, doc_id=piece_id(item.doc_id, number), text=text)


def split_blocks(blocks: Iterable[bytes], limit_bytes: int) -> Iterator[bytes]:
    """The pieces of `split_text` of a text that comes in blocks; no more than a block and a piece is held."""
    held = b""
    for block in blocks:
        held += block
        *pieces, last = [b"", *split_text(held, limit_bytes)]
        # A piece is final once more than its limit was seen from its begin on.
        yield from pieces[1:]
        held = last
    if held:
        yield held


def split_text(text: bytes, limit_bytes: int) -> Iterator[bytes]:
    """Pieces of 1 to `limit_bytes` (at least 4) bytes of UTF-8 text, each as long as a cut behind a newline allows."""
    assert limit_bytes >= MAX_CHARACTER_BYTES, limit_bytes
    begin = 0
    while len(text) - begin > limit_bytes:
        end = text.rfind(b"\n", begin, begin + limit_bytes) + 1
        if not end:
            end = begin + limit_bytes
            while text[end] & 0xC0 == 0x80:
                end -= 1
        yield text[begin:end]
        begin = end
    if begin < len(text):
        yield text[begin:]
