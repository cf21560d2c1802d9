"""Documents of a unit: every item of the input becomes exactly one Record or one Reject.

    Piece ── readers/ ──► lines, rows or a whole file ── Checker ──► Record(doc_id, source, language, text)
                                                                 └─► Reject(source, position, reason, …)

Reading is a stream: at most one block, one line or a few MiB of rows are in memory, and bad data never raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from pipeline.corpus.readers.arrow import arrow_rows
from pipeline.corpus.readers.compressed import ByteSource, decompressed_blocks, plain_blocks
from pipeline.corpus.readers.json_text import HEAD_BYTES, begins_list, list_items
from pipeline.corpus.readers.lines import split_lines
from pipeline.corpus.readers.parquet import parquet_rows
from pipeline.corpus.records import Checker, Record, too_long
from pipeline.corpus.settings import ReadSettings
from pipeline.corpus.source_files import ARROW, JSON_LIST, JSONL, PARQUET, TEXT, Piece, may_be_list
from pipeline.corpus.splitting import split_blocks, split_records
from pipeline.storage.open import BrokenInputError, open_binary, raise_if_transient, size_of
from schemas.errors import one_line
from schemas.held_out import piece_id
from schemas.rejects import Reject


def read_documents(pieces: Sequence[Piece], settings: ReadSettings) -> Iterator[Record | Reject]:
    """The documents of `pieces` in their order, and a Reject for each item that is none.

    UnreachableError where a server or store does not answer: that says nothing about the data.
    """
    for piece in pieces:
        checker = Checker(piece, settings)
        items = _READERS.get(piece.format, _read_jsonl)(piece, checker)
        try:
            yield from split_records(items, settings.split_bytes) if settings.split_bytes else items
        except BrokenInputError as error:
            yield checker.broken(0, error)
        except OSError as error:
            raise_if_transient(error)
            yield checker.broken(0, BrokenInputError("unreadable", _words(error)))


def _words(error: OSError) -> str:
    """What the system says; the path is in the reject already, and differs from machine to machine."""
    return error.strerror if error.strerror and error.filename else one_line(error)


def _read_jsonl(piece: Piece, checker: Checker) -> Iterator[Record | Reject]:
    settings = checker.settings
    begin = max(piece.start - 1, 0)
    with open_binary(piece.path, at=begin) as file:
        size_bytes = size_of(file)
        source = ByteSource(file, size_bytes=piece.size_bytes)
        if piece.format in (JSONL, JSON_LIST):
            blocks = plain_blocks(source)
        else:
            blocks = decompressed_blocks(
                source,
                piece.format.rpartition(".")[2],
                max_expansion=settings.max_expansion,
                harmless_bytes=settings.max_line_bytes,
            )
        if piece.end is None and may_be_list(piece.path):
            head, blocks = _head(blocks)
            if begins_list(head):
                yield from _list_of_json(blocks, source, checker)
                return
        for line in split_lines(blocks, start=piece.start, end=piece.end, limit_bytes=settings.max_line_bytes):
            item = checker.line(line)
            if item is not None:
                yield item
        if piece.end is not None:
            yield from _changed(piece, checker, begin + source.read_bytes if source.has_ended else size_bytes)


def _head(blocks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes of a stream, and the whole stream."""
    held: list[bytes] = []
    broken: BrokenInputError | None = None
    try:
        while sum(map(len, held)) < HEAD_BYTES and (block := next(blocks, b"")):
            held.append(block)
    except BrokenInputError as error:
        broken = error

    def again() -> Iterator[bytes]:
        yield from held
        if broken is not None:
            raise broken
        yield from blocks

    return b"".join(held), again()


def _list_of_json(blocks: Iterable[bytes], source: ByteSource, checker: Checker) -> Iterator[Record | Reject]:
    for item in list_items(blocks, checker.settings.max_line_bytes):
        if item.broken is not None and item.broken.lost_share == 1:
            item = item._replace(broken=source.broken(item.broken.reason, item.broken.detail))
        yield checker.item(item)


def _changed(piece: Piece, checker: Checker, size_bytes: int | None) -> Iterator[Reject]:
    """A reject where a file that was cut by bytes has another size than when it was planned, and bytes are not read."""
    assert piece.end is not None
    if size_bytes is None:
        return
    planned = f"the file has {size_bytes} bytes, and had {piece.file_bytes} when the run was planned"
    missing = piece.end - max(piece.start, size_bytes)
    if missing > 0:
        yield replace(checker.reject(size_bytes, "truncated", planned, b""), lost_bytes=missing)
    elif piece.end == piece.file_bytes and size_bytes > piece.end:
        lost_bytes = size_bytes - piece.end
        yield replace(checker.reject(piece.end, "truncated", planned, b""), lost_bytes=lost_bytes)


def _read_parquet(piece: Piece, checker: Checker) -> Iterator[Record | Reject]:
    yield from map(checker.row, parquet_rows(piece.path, piece.start, piece.end, checker.settings.choose))


def _read_arrow(piece: Piece, checker: Checker) -> Iterator[Record | Reject]:
    yield from map(checker.row, arrow_rows(piece.path, piece.start, piece.end, checker.settings.choose))


def _read_text(piece: Piece, checker: Checker) -> Iterator[Record | Reject]:
    settings = checker.settings
    held: list[bytes] = []
    size_bytes = 0
    with open_binary(piece.path) as file:
        source = ByteSource(file, size_bytes=piece.size_bytes)
        blocks = plain_blocks(source)
        for block in blocks:
            held.append(block)
            size_bytes += len(block)
            if size_bytes > settings.max_document_bytes:
                if settings.split_bytes:
                    yield from _text_in_pieces(chain(held, blocks), source, checker)
                else:
                    size_bytes = max(piece.size_bytes or 0, size_bytes)
                    yield checker.reject(0, "too_long", too_long("a file", size_bytes, settings), held[0])
                return
    text = b"".join(held)
    yield checker.record(0, {settings.text_fields[0]: text}, (), text)


def _text_in_pieces(blocks: Iterable[bytes], source: ByteSource, checker: Checker) -> Iterator[Record | Reject]:
    """The pieces of a text that is too long to be held; what follows one that is not UTF-8 is left out with it."""
    settings = checker.settings
    position = 0
    for number, text in enumerate(split_blocks(blocks, settings.split_bytes)):
        item = checker.record(0, {settings.text_fields[0]: text}, (), text)
        if isinstance(item, Reject):
            rest = source.broken(item.reason, f"in piece {number}, with all that follows: {item.detail}")
            yield checker.broken(position, rest, text)
            return
        yield replace(item, doc_id=piece_id(item.doc_id, number))
        position += len(text)


_READERS: dict[str, Callable[[Piece, Checker], Iterator[Record | Reject]]] = {
    PARQUET: _read_parquet,
    ARROW: _read_arrow,
    TEXT: _read_text,
}
