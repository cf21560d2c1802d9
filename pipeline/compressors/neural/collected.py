"""Segments that a codebook lacks, collected from a part of the corpus, and the file that they wait in.

    batches of documents ── segments ── codebook.find ──► unknown ── SegmentSet ──► a block for each part of the table

A file is a head of offsets, uint64 [parts + 1], little-endian, and the blocks that they bound; a block is zstd over
a uint32 number of strings, their lengths in a byte each, and the strings end to end. So whoever makes one part of the
table reads of each file the head and one block.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import zstandard

from kernels.byte_spans import ByteSpans
from kernels.code_format import MAX_SEGMENT_BYTES
from kernels.sorted_strings import parts_of
from kernels.string_table import StringTable, distinct
from schemas.batches import offsets_of

MAX_SEGMENTS = 1 << 22
"""Of one `SegmentSet`, which takes about 40 bytes of memory for each. What does not fit, the units code."""
MAX_BLOCK_BYTES = 256 << 20
"""Of a block, compressed or not."""
_OFFSET = np.dtype("<u8")
_COUNT = np.dtype("<u4")


class SegmentSet:
    """Distinct segments, up to a number. It belongs to one thread."""

    def __init__(self, max_segments: int) -> None:
        self._table, self._max_segments = StringTable(), max_segments

    def __len__(self) -> int:
        return len(self._table)

    def add(self, strings: ByteSpans) -> None:
        """Take in those that are not there, as long as there is room."""
        room = self._max_segments - len(self._table)
        if room > 0 and len(strings):
            new = strings.take(self._table.find(strings)[0] < 0)
            self._table.insert(new.take(distinct(new)[0][:room]))

    def strings(self) -> ByteSpans:
        """All of them, in the order in which they came."""
        return self._table.strings()


def to_file(strings: ByteSpans, parts: int) -> bytes:
    """The file of some segments, each in the block of its part."""
    part_of = parts_of(strings, parts)
    order = np.argsort(part_of, kind="stable")
    bounds = np.searchsorted(part_of[order], np.arange(parts + 1))
    blocks = [_block(strings.take(order[start:end])) for start, end in pairwise(bounds)]
    offsets = head_bytes(parts) + offsets_of([len(block) for block in blocks])
    return offsets.astype(_OFFSET).tobytes() + b"".join(blocks)


def head_bytes(parts: int) -> int:
    """Size of the head of a file."""
    return (parts + 1) * _OFFSET.itemsize


def block_range(head: bytes, part: int, parts: int) -> tuple[int, int]:
    """Where in the file the block of a part is; ValueError where the head cannot be that of so many parts."""
    if len(head) != head_bytes(parts):
        raise ValueError(f"{len(head)} bytes of a head of {head_bytes(parts)}")
    offsets = np.frombuffer(head, _OFFSET)
    start, end = int(offsets[part]), int(offsets[part + 1])
    if not len(head) <= start <= end <= start + MAX_BLOCK_BYTES or start >= 1 << 62:
        raise ValueError(f"a block from byte {start} to {end}")
    return start, end


def from_block(block: bytes) -> ByteSpans:
    """The segments of a block; ValueError where it is none."""
    try:
        if not 0 < zstandard.frame_content_size(block) <= MAX_BLOCK_BYTES:
            raise ValueError("a block of no size that is written")
        data = zstandard.ZstdDecompressor().decompress(block)
    except zstandard.ZstdError as error:
        raise ValueError(f"a block is damaged: {error}") from None
    if len(data) < _COUNT.itemsize:
        raise ValueError("a block without a number")
    n = int(np.frombuffer(data, _COUNT, 1)[0])
    values = np.frombuffer(data, np.uint8, offset=_COUNT.itemsize)
    lengths = values[:n].astype(np.int64)
    if n > values.size or n + int(lengths.sum()) != values.size or not lengths.all():
        raise ValueError(f"lengths of {n} segments that do not fill a block of {len(data)} bytes")
    return ByteSpans.from_offsets(values[n:].copy(), offsets_of(lengths))


def _block(strings: ByteSpans) -> bytes:
    lengths = strings.lengths
    assert lengths.max(initial=1) <= MAX_SEGMENT_BYTES
    data = np.array([lengths.size], _COUNT).tobytes() + lengths.astype(np.uint8).tobytes()
    return zstandard.ZstdCompressor().compress(data + strings.joined().tobytes())
