"""Generated files of every format the readers know, whole and damaged, and what a reader may make of each."""

from __future__ import annotations

import gzip
import io
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from tests.soak.hostile_lines import MAX_DOCUMENT_BYTES, MAX_LINE_BYTES, draw_lines, draw_text, read_lines

BOMB_BYTES = 200 << 20


class Promise(Enum):
    """What can be said about the documents of a file."""

    EXACT = "exact"
    """These texts and these rejects, in this order."""
    PREFIX = "prefix"
    """A first part of these texts, and at least one reject."""
    COUNTED = "counted"
    """Anything whose totals balance; but something, where the file is not empty."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HostileFile:
    """A file of the corpus."""

    name: str
    data: bytes
    items: int
    """Lines or rows that were generated into it."""
    expected: tuple[bytes | None, ...]
    """The text of every item that is one, None for a reject, in order."""
    promise: Promise


def draw_file(rng: random.Random, number: int, items: int) -> HostileFile:
    """A file of about so many items."""
    kind = rng.choices(tuple(_MAKERS), weights=[weight for _, weight in _MAKERS.values()])[0]
    data, expected, promise, count = _MAKERS[kind][0](rng, items)
    return HostileFile(name=f"{number:02d}-{kind}", data=data, items=count, expected=tuple(expected), promise=promise)


Made = tuple[bytes, list[bytes | None], Promise, int]


def _jsonl(rng: random.Random, items: int) -> Made:
    data = draw_lines(rng, items)
    return data, read_lines(data), Promise.EXACT, items


def _very_long_line(rng: random.Random, items: int) -> Made:
    body = b'{"text": "' + rng.choice((b"x", b"\\u0000", b"\\n")) * (100_000_000 // 6) * 6
    data = b'{"text": "before"}\n' + body + rng.choice((b'"}\n', b"\n", b"")) + b'{"text": "after"}\n'
    return data, read_lines(data), Promise.EXACT, 3


def _compressed(rng: random.Random, items: int, compress: Callable[[bytes], bytes], padding: bytes) -> Made:
    """A few members or frames, then whole, damaged, cut, or followed by what the format allows or does not."""
    lines = draw_lines(rng, items)
    cuts = sorted(rng.randrange(len(lines) + 1) for _ in range(rng.randrange(3)))
    data = b"".join(compress(lines[a:b]) for a, b in zip([0, *cuts], [*cuts, len(lines)], strict=True))
    expected = read_lines(lines)
    # One long line of equal bytes, early in a small file, expands a thousandfold, and the rest is not read.
    whole = Promise.EXACT if len(lines) <= MAX_LINE_BYTES else Promise.COUNTED
    damage = rng.randrange(5)
    if whole is Promise.COUNTED:
        return data, expected, whole, items
    if damage == 0:
        return data[: rng.randrange(1, len(data))], expected, Promise.PREFIX, items
    if damage == 1:
        return flipped(rng, data), expected, Promise.COUNTED, items
    if damage == 2:
        return data + b"what is this?", expected, Promise.PREFIX, items
    if damage == 3:
        return padding + data if padding and rng.random() < 0.5 else data + padding, expected, Promise.EXACT, items
    return data, expected, Promise.EXACT, items


def _gzip(rng: random.Random, items: int) -> Made:
    made = _compressed(rng, items, lambda data: gzip.compress(data, rng.randint(0, 9), mtime=0), b"")
    return (made[0] + b"\0" * 700, *made[1:]) if made[2] is Promise.EXACT and rng.random() < 0.3 else made


def _zstd(rng: random.Random, items: int) -> Made:
    def compress(data: bytes) -> bytes:
        parameters = zstandard.ZstdCompressionParameters.from_level(
            rng.randint(1, 9), write_checksum=rng.random() < 0.5
        )
        return zstandard.ZstdCompressor(compression_params=parameters).compress(data)

    skippable = b"\x50\x2a\x4d\x18" + (9).to_bytes(4, "little") + b"skip this"
    return _compressed(rng, items, compress, skippable)


def _gzip_noise(rng: random.Random, items: int) -> Made:
    head = rng.choice((b"", b"\x1f\x8b", b"\x1f\x8b\x08\x00" + bytes(6)))
    return head + rng.randbytes(rng.randint(1, 3000)), [], Promise.COUNTED, 1


def _zstd_noise(rng: random.Random, items: int) -> Made:
    head = rng.choice((b"", b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd\x00\x58", b"\x37\xa4\x30\xec"))
    return head + rng.randbytes(rng.randint(1, 3000)), [], Promise.COUNTED, 1


def _gzip_bomb(rng: random.Random, items: int) -> Made:
    packer = zlib.compressobj(9, wbits=31)
    block = bytes(1 << 20)
    data = b"".join(packer.compress(block) for _ in range(BOMB_BYTES >> 20)) + packer.flush()
    return data, [None], Promise.PREFIX, 1


def _zstd_bomb(rng: random.Random, items: int) -> Made:
    """Zeros, or one short record again and again: what came before the limit of 1000-fold is kept."""
    block, text = rng.choice(((bytes(1 << 20), None), (b'{"text": "%s"}\n' % (b"b" * 4000) * 260, b"b" * 4000)))
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    data = b"".join(packer.compress(block) for _ in range(BOMB_BYTES >> 20)) + packer.flush()
    return data, [text] * (260 * (BOMB_BYTES >> 20) if text else 1), Promise.PREFIX, 1


def _table(rng: random.Random, items: int) -> tuple[pa.Table, list[bytes | None]]:
    """A table with a text column of some type, and the texts it holds."""
    texts = [None if rng.random() < 0.1 else draw_text(rng) for _ in range(items)]
    raw = [text and text.encode(errors="surrogatepass") for text in texts]
    if rng.random() < 0.3:
        raw = [value and (rng.randbytes(5) if rng.random() < 0.2 else value) for value in raw]
        column = pa.array(raw, rng.choice((pa.binary(), pa.large_binary())))
    else:
        column = pa.array(texts, rng.choice((pa.string(), pa.large_string())))
        column = column.dictionary_encode() if rng.random() < 0.2 and column.type == pa.string() else column
    expected = [value if value and len(value) <= MAX_DOCUMENT_BYTES and _is_utf8(value) else None for value in raw]
    others = {
        "n": pa.array(range(items)),
        "when": pa.array([rng.randrange(1 << 62) for _ in range(items)], pa.timestamp("ns")),
    }
    return pa.table({rng.choice(("text", "content")): column, **others}), expected


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _damaged(rng: random.Random, data: bytes, expected: list[bytes | None], items: int) -> Made:
    damage = rng.randrange(4)
    if damage == 0:
        return data[: rng.randrange(1, len(data))], expected, Promise.COUNTED, items
    if damage == 1:
        return flipped(rng, data), expected, Promise.COUNTED, items
    return data, expected, Promise.EXACT, items


def _parquet(rng: random.Random, items: int) -> Made:
    table, expected = _table(rng, items)
    sink = io.BytesIO()
    pq.write_table(
        table, sink, row_group_size=rng.randint(1, items), data_page_size=512, write_page_checksum=rng.random() < 0.5,
        compression=rng.choice(("none", "snappy", "zstd", "gzip")),
    )  # fmt: skip
    return _damaged(rng, sink.getvalue(), expected, items)


def _arrow(rng: random.Random, items: int) -> Made:
    table, expected = _table(rng, items)
    sink = io.BytesIO()
    make = rng.choice((pa.ipc.new_stream, pa.ipc.new_file))
    options = pa.ipc.IpcWriteOptions(compression=rng.choice((None, "zstd", "lz4")), unify_dictionaries=True)
    with make(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=rng.randint(1, items))
    return _damaged(rng, sink.getvalue(), expected, items)


def _table_noise(rng: random.Random, items: int) -> Made:
    head = rng.choice((b"", b"PAR1", b"ARROW1\0\0", b"\xff\xff\xff\xff"))
    tail = rng.choice((b"", b"PAR1", b"\x10\0\0\0PAR1", b"\x10\0\0\0ARROW1"))
    return head + rng.randbytes(rng.randint(1, 3000)) + tail, [], Promise.COUNTED, 1


def flipped(rng: random.Random, data: bytes) -> bytes:
    """`data` with one to eight bytes changed."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] ^= rng.randint(1, 255)
    return bytes(changed)


_MAKERS: dict[str, tuple[Callable[[random.Random, int], Made], float]] = {
    "lines.jsonl": (_jsonl, 30),
    "lines.jsonl.gz": (_gzip, 14),
    "lines.jsonl.zst": (_zstd, 14),
    "rows.parquet": (_parquet, 14),
    "rows.arrow": (_arrow, 14),
    "noise.jsonl.gz": (_gzip_noise, 4),
    "noise.jsonl.zst": (_zstd_noise, 4),
    "noise.parquet": (_table_noise, 3),
    "noise.arrow": (_table_noise, 3),
    "long.jsonl": (_very_long_line, 0.2),
    "bomb.jsonl.gz": (_gzip_bomb, 0.3),
    "bomb.jsonl.zst": (_zstd_bomb, 0.4),
}
