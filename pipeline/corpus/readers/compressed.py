"""gzip (RFC 1952), zstd (RFC 8878), bzip2 and xz as streams of blocks, delivered up to a break.

gzip and zstd come to the last byte before it. Many members (gzip), frames (zstd) or streams (bzip2, xz) are one file.
Memory stays at one block, whatever a file expands to.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import BinaryIO, NamedTuple

import zstandard

from pipeline.storage.open import BrokenInputError, raise_if_transient
from schemas.errors import one_line

BLOCK_BYTES = 1 << 20
COMPRESSED_BLOCK_BYTES = 1 << 18
STREAM_READ_BYTES = 1 << 12
XZ_MEMORY_BYTES = 256 << 20
"""`xz -9` needs 65 MiB; more would be held in memory by every worker."""
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = 0xFD2FB528
ZSTD_SKIPPABLE_MAGIC = 0x184D2A50
"""Magic of a skippable frame (RFC 8878, section 3.1.2), whose last hexadecimal digit is free."""
ZSTD_LONGEST_WINDOW_BYTES = 1 << 27
"""The window that `zstd --long` makes by default; a longer one would be held in memory by every worker."""


class ByteSource:
    """A binary file that counts what was read from it."""

    def __init__(self, file: BinaryIO, *, size_bytes: int | None = None) -> None:
        self._file = file
        self._size_bytes = size_bytes
        self.read_bytes = 0
        self.has_ended = False
        """Whether a read has met the end of the file."""

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, or fewer at the end of the file."""
        parts: list[bytes] = []
        while size > 0:
            part = self._read(size)
            if not part:
                self.has_ended = True
                break
            parts.append(part)
            size -= len(part)
            self.read_bytes += len(part)
        return b"".join(parts)

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            raise_if_transient(error)
            raise self.broken("truncated", one_line(error)) from error

    def broken(self, reason: str, detail: str, *, unused_bytes: int = 0) -> BrokenInputError:
        """The error for a file that breaks here, `unused_bytes` before what was read; what lies behind is lost."""
        used_bytes = self.read_bytes - unused_bytes
        if not used_bytes or not self._size_bytes:
            return BrokenInputError(reason, detail)
        return BrokenInputError(reason, detail, max(0.0, 1 - used_bytes / self._size_bytes))


def plain_blocks(source: ByteSource) -> Iterator[bytes]:
    """The bytes of an open file from its current position, in blocks of at most `BLOCK_BYTES`."""
    while block := source.read(BLOCK_BYTES):
        yield block


def decompressed_blocks(
    source: ByteSource, compression: str, *, max_expansion: int, harmless_bytes: int
) -> Iterator[bytes]:
    """The decompressed bytes of a `gz`, `zst`, `bz2` or `xz` file, then BrokenInputError if it does not end well.

    A file that expands to more than `harmless_bytes` and more than `max_expansion` times its size is a bomb, and
    breaks there.
    """
    decoders: dict[str, Callable[[ByteSource], Iterator[bytes]]] = {
        "gz": _gzip_blocks,
        "zst": _zstd_blocks,
        "bz2": partial(_stream_blocks, BZIP2),
        "xz": partial(_stream_blocks, XZ),
    }
    delivered_bytes = 0
    for block in decoders[compression](source):
        delivered_bytes += len(block)
        yield block
        if delivered_bytes > harmless_bytes and delivered_bytes > max_expansion * source.read_bytes:
            detail = f"expands more than {max_expansion}-fold ({source.read_bytes} to {delivered_bytes} bytes)"
            raise source.broken("truncated", detail)


def _gzip_blocks(source: ByteSource) -> Iterator[bytes]:
    data = source.read(COMPRESSED_BLOCK_BYTES)
    if data and not data.startswith(GZIP_MAGIC):
        raise BrokenInputError("unreadable", "not a gzip file")
    member = zlib.decompressobj(wbits=31)
    while data:
        yield from _inflate(source, member, data)
        if member.eof:
            # Zeros between and after members are padding, as from tapes.
            data = member.unused_data.lstrip(b"\0")
            while not data and (more := source.read(COMPRESSED_BLOCK_BYTES)):
                data = more.lstrip(b"\0")
            if not data:
                return
            member = zlib.decompressobj(wbits=31)
        else:
            data = source.read(COMPRESSED_BLOCK_BYTES)
    raise source.broken("truncated", f"the file ends inside a gzip member, after {source.read_bytes} bytes")


def _inflate(source: ByteSource, member: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    """What `data` adds to a gzip member, in blocks of at most BLOCK_BYTES."""
    more = True
    while more:
        before = member.copy()
        try:
            block = member.decompress(data, BLOCK_BYTES)
        except zlib.error as error:
            yield from _inflate_to_break(before, data)
            raise source.broken("truncated", one_line(error), unused_bytes=len(data)) from error
        if block:
            yield block
        data = member.unconsumed_tail
        more = not member.eof and (bool(data) or len(block) == BLOCK_BYTES)


def _inflate_to_break(member: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    """What `data` gives before the byte that is wrong; `decompress` throws it away when it fails."""
    parts = []
    try:
        for value in data:
            parts.append(member.decompress(bytes((value,))))
    except zlib.error:
        yield b"".join(parts)


class _Streams(NamedTuple):
    """A format whose decompressor in the standard library takes one stream; a file may hold several, end to end."""

    name: str
    magic: bytes
    padding: bytes
    """What may lie between and behind streams."""
    make: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]


BZIP2 = _Streams("bzip2", b"BZh", b"", bz2.BZ2Decompressor)
XZ = _Streams("xz", b"\xfd7zXZ\0", b"\0", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES))


def _stream_blocks(kind: _Streams, source: ByteSource) -> Iterator[bytes]:
    """What comes before a break but for the library's own buffer: a block of bzip2, a few KiB of xz."""
    data = source.read(STREAM_READ_BYTES)
    streams = 0
    while data:
        if not data.startswith(kind.magic):
            reason = "truncated" if streams else "unreadable"
            raise source.broken(reason, f"not a stream of {kind.name}", unused_bytes=len(data))
        streams += 1
        data = yield from _one_stream(kind, source, data)
        # A magic is not cut in two by the end of a read.
        data = data.lstrip(kind.padding) if kind.padding else data
        while len(data) < len(kind.magic) and (more := source.read(STREAM_READ_BYTES)):
            data = (data + more).lstrip(kind.padding) if kind.padding else data + more
    if not source.read_bytes:
        raise source.broken("truncated", "a file of no bytes")


def _one_stream(kind: _Streams, source: ByteSource, data: bytes) -> Generator[bytes, None, bytes]:
    """Deliver one stream that begins with `data`; what was read behind its end."""
    stream = kind.make()
    while not stream.eof:
        if stream.needs_input and not data:
            data = source.read(STREAM_READ_BYTES)
            if not data:
                where = f"after {source.read_bytes} bytes"
                raise source.broken("truncated", f"the file ends inside a stream of {kind.name}, {where}")
        try:
            block = stream.decompress(data, BLOCK_BYTES)
        except (OSError, lzma.LZMAError) as error:
            raise source.broken("truncated", one_line(error), unused_bytes=len(data)) from error
        data = b""
        if block:
            yield block
    return stream.unused_data


def _zstd_blocks(source: ByteSource) -> Iterator[bytes]:
    frames = 0
    while head := source.read(4):
        magic = int.from_bytes(head, "little")
        if magic == ZSTD_MAGIC:
            yield from _zstd_frame(source, head)
        elif magic & ~0xF == ZSTD_SKIPPABLE_MAGIC:
            _skip(source, int.from_bytes(_exactly(source, 4), "little"))
        elif len(head) == 4:
            raise source.broken("truncated" if frames else "unreadable", "not a zstd frame")
        else:
            raise _zstd_end(source)
        frames += 1
    if not frames:
        raise _zstd_end(source)


def _zstd_frame(source: ByteSource, magic: bytes) -> Iterator[bytes]:
    """One frame, fed block by block: a block gives at most 128 KiB, and a broken one spoils no other.

    A block's header is 3 bytes (RFC 8878, section 3.1.1.2): whether it is the last one, its type, its size.
    """
    header = magic + _exactly(source, 1)
    try:
        header += _exactly(source, zstandard.frame_header_size(header) - len(header))
        parameters = _zstd_parameters(header)
        if parameters.dict_id:
            raise BrokenInputError(
                "unreadable", f"needs the zstd dictionary {parameters.dict_id}; compress again without"
            )
        decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_LONGEST_WINDOW_BYTES).decompressobj()
        decompressor.decompress(header)
        last = False
        while not last:
            block_header = _exactly(source, 3)
            bits = int.from_bytes(block_header, "little")
            last, run_length, size_bytes = bool(bits & 1), (bits >> 1) & 3 == 1, bits >> 3
            if block := decompressor.decompress(block_header + _exactly(source, 1 if run_length else size_bytes)):
                yield block
        if parameters.has_checksum:
            decompressor.decompress(_exactly(source, 4))
    except zstandard.ZstdError as error:
        raise source.broken("truncated", one_line(error)) from error


def _zstd_parameters(header: bytes) -> zstandard.FrameParameters:
    """What the header says; BrokenInputError for a window that no worker should hold."""
    limit = f"the limit is {ZSTD_LONGEST_WINDOW_BYTES}; compress again with --long=27 or without --long"
    try:
        parameters = zstandard.get_frame_parameters(header)
    except zstandard.ZstdError as error:
        if "too much memory" in str(error):
            raise BrokenInputError("unreadable", f"the zstd window is above 2147483648 bytes, {limit}") from error
        raise
    if parameters.window_size > ZSTD_LONGEST_WINDOW_BYTES:
        raise BrokenInputError("unreadable", f"the zstd window is {parameters.window_size} bytes, {limit}")
    return parameters


def _exactly(source: ByteSource, size_bytes: int) -> bytes:
    data = source.read(size_bytes)
    if len(data) < size_bytes:
        raise _zstd_end(source)
    return data


def _skip(source: ByteSource, size_bytes: int) -> None:
    while size_bytes > 0:
        size_bytes -= len(_exactly(source, min(size_bytes, BLOCK_BYTES)))


def _zstd_end(source: ByteSource) -> BrokenInputError:
    return source.broken("truncated", f"the file ends inside a zstd frame, after {source.read_bytes} bytes")
