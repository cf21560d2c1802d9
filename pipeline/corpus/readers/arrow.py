"""Arrow IPC: files (Feather) by record batches, streams from front to end.

An IPC file is a stream between b"ARROW1\\0\\0" and a footer that lists its record batches. Where the footer is lost,
what is left is read as a stream. Row counts of batches that another unit reads come from their message headers,
a few hundred bytes each; pyarrow would read their columns for it, so the two flatbuffers are looked up here
(format: arrow.apache.org/docs/format/Columnar.html, File.fbs and Message.fbs).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from pipeline.corpus.readers.columns import DAMAGE, Row, batch_rows
from pipeline.storage.open import BrokenInputError, open_arrow, raise_if_transient
from schemas.errors import one_line

ARROW_MAGIC = b"ARROW1"
FEATHER_V1_MAGIC = b"FEA1"
STREAM_START_BYTES = 8
"""Where the stream begins in an IPC file."""
CONTINUATION = b"\xff\xff\xff\xff"

Choose = Callable[[Sequence[str]], Sequence[str]]


class _Block(NamedTuple):
    """Where one record batch lies in the file."""

    offset: int
    header_bytes: int
    body_bytes: int


def record_batch_bytes(path: str) -> list[int]:
    """Stored bytes of each record batch of an IPC file; none if it is a stream or damaged."""
    try:
        with open_arrow(path) as source:
            return [block.header_bytes + block.body_bytes for block in _blocks(source)]
    except DAMAGE as error:
        raise_if_transient(error)
        return []


def arrow_rows(path: str, start: int, end: int | None, choose: Choose) -> Iterator[Row]:
    """The rows of record batches [start, end); `choose` takes the column names and returns the wanted ones.

    A batch that breaks gives one broken row; the next ones are read if the file has its footer.
    """
    with open_arrow(path) as source:
        magic = source.read(len(ARROW_MAGIC))
        if magic.startswith(FEATHER_V1_MAGIC):
            raise BrokenInputError("unreadable", "Feather version 1; write it again as version 2, which is Arrow IPC")
        is_file = magic == ARROW_MAGIC
        opened = _open_file(source, choose) if is_file else None
        if opened is not None:
            yield from _file_rows(source, opened, start, end)
        else:
            source.seek(STREAM_START_BYTES if is_file else 0)
            yield from _stream_rows(source, choose, lost_footer=is_file)


class _File(NamedTuple):
    """An IPC file whose footer is whole."""

    reader: Any
    names: Sequence[str]
    wanted: Sequence[str]
    blocks: list[_Block]


def _open_file(source: Any, choose: Choose) -> _File | None:
    try:
        names = pa.ipc.open_file(source).schema.names
        wanted = choose(names)
        return _File(pa.ipc.open_file(source, options=_options(names, wanted)), names, wanted, _blocks(source))
    except DAMAGE as error:
        raise_if_transient(error)
        return None


def _options(names: Sequence[str], wanted: Sequence[str]) -> Any:
    """Read only the wanted columns; one that is not wanted if need be, for an empty list would mean all."""
    fields = [names.index(name) for name in wanted] or [0][: len(names)]
    return pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)


def _file_rows(source: Any, file: _File, start: int, end: int | None) -> Iterator[Row]:
    reader, names, wanted, blocks = file
    position = sum(_num_rows(source, block) for block in blocks[:start])
    numbers = range(len(blocks))[start:end]
    counts = {i: _num_rows(source, blocks[i]) for i in numbers}
    for i in numbers:
        rows = counts[i]
        done = 0
        try:
            batch = reader.get_batch(i)
            if batch.num_rows != rows:
                raise ValueError("the header of the batch is damaged")
            for row in batch_rows(batch, position, wanted, names):
                yield row
                done += 1
        except DAMAGE as error:
            raise_if_transient(error)
            lost = f"record batch {i}: {rows - done} of {rows} rows lost: {one_line(error)}"
            # A batch whose header is lost may hold anything.
            share = (rows - done) / sum(counts.values()) if rows else 1 / len(numbers)
            yield Row(position + done, {}, names, BrokenInputError("truncated", lost, share))
        position += rows


def _stream_rows(source: Any, choose: Choose, *, lost_footer: bool) -> Iterator[Row]:
    names: Sequence[str] = ()
    position = begin = 0
    try:
        names = pa.ipc.open_stream(source).schema.names
        wanted = choose(names)
        source.seek(STREAM_START_BYTES if lost_footer else 0)
        for batch in pa.ipc.open_stream(source, options=_options(names, wanted)):
            begin = source.tell()
            for row in batch_rows(batch, position, wanted, names):
                yield row
                position += 1
    except DAMAGE as error:
        raise_if_transient(error)
        known = lost_footer or names
        share = 1 - begin / source.size() if position else 1.0
        yield Row(position, {}, names, BrokenInputError("truncated" if known else "unreadable", one_line(error), share))
        return
    if lost_footer:
        yield Row(position, {}, names, BrokenInputError("truncated", "the file ends before its footer", 0.0))


def _blocks(source: Any) -> list[_Block]:
    """The record batches that the footer lists, in order; none if there is no footer."""
    size = source.size()
    tail = _read_at(source, max(size - 10, 0), 10)
    if tail[4:] != ARROW_MAGIC or _read_at(source, 0, 6) != ARROW_MAGIC:
        return []
    (footer_bytes,) = struct.unpack_from("<i", tail)
    footer = _read_at(source, size - 10 - footer_bytes, footer_bytes)
    (root,) = struct.unpack_from("<I", footer)
    field = _field(footer, root, 3)
    if field is None:
        return []
    vector = field + struct.unpack_from("<I", footer, field)[0]
    (count,) = struct.unpack_from("<I", footer, vector)
    return [_Block(*struct.unpack_from("<qi4xq", footer, vector + 4 + 24 * i)) for i in range(count)]


def _num_rows(source: Any, block: _Block) -> int:
    """RecordBatch.length from the header of the message; 0 where the header is damaged."""
    try:
        header = _read_at(source, block.offset, block.header_bytes)
        start = 8 if header.startswith(CONTINUATION) else 4
        root = start + struct.unpack_from("<I", header, start)[0]
        union = _field(header, root, 2)
        length = union and _field(header, union + struct.unpack_from("<I", header, union)[0], 0)
        return max(struct.unpack_from("<q", header, length)[0], 0) if length else 0
    except DAMAGE as error:
        raise_if_transient(error)
        return 0


def _field(data: bytes, table: int, slot: int) -> int | None:
    """Offset of field `slot` of the flatbuffer table at `table`; None where it has its default."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    (vtable_bytes,) = struct.unpack_from("<H", data, vtable)
    if 4 + 2 * slot >= vtable_bytes:
        return None
    (offset,) = struct.unpack_from("<H", data, vtable + 4 + 2 * slot)
    return table + offset if offset else None


def _read_at(source: Any, offset: int, size_bytes: int) -> bytes:
    if size_bytes < 0:
        raise ValueError(f"a length of {size_bytes} bytes")
    source.seek(offset)
    return source.read(size_bytes)
