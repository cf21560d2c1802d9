"""gzip, zstd, bzip2 and xz: all that can be read before a break is read, and a bomb is not."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tracemalloc
import zlib
from pathlib import Path

import pytest
import zstandard

from pipeline.corpus.readers.compressed import ZSTD_LONGEST_WINDOW_BYTES
from pipeline.corpus.settings import ReadSettings
from schemas.rejects import Reject
from tests.pipeline.corpora import jsonl
from tests.pipeline.corpus.reading import DOCUMENTS, SMALL, bad, good, only_reject, read, read_bytes


def frames(data: bytes, kind: str, parts: int = 3) -> bytes:
    """`data` compressed in several members or frames, with padding that both formats allow."""
    step = -(-len(data) // parts)
    chunks = [data[i : i + step] for i in range(0, len(data), step)]
    if kind == "jsonl.bz2":
        return b"".join(map(bz2.compress, chunks))
    if kind == "jsonl.xz":
        return bytes(4).join(map(lzma.compress, chunks)) + bytes(600)
    if kind == "jsonl.gz":
        return b"\0\0".join(map(gzip.compress, chunks)) + b"\0" * 600
    skippable = b"\x53\x2a\x4d\x18\x03\0\0\0abc"
    return skippable.join(zstandard.ZstdCompressor(write_checksum=True).compress(chunk) for chunk in chunks)


STREAM = jsonl(*({"text": text} for text in DOCUMENTS))
KINDS = ["jsonl.gz", "jsonl.zst", "jsonl.bz2", "jsonl.xz"]
HELD_BACK = {"jsonl.bz2": 0.3, "jsonl.xz": 0.1}
"""Share of the documents that bzip2's block, and a few KiB of xz, hold back at a break: the lines are hard to pack."""


@pytest.mark.parametrize("kind", KINDS)
def test_many_members_and_frames_are_one_stream(tmp_path: Path, kind: str) -> None:
    assert good(read_bytes(tmp_path, frames(STREAM, kind), kind=kind)) == DOCUMENTS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0001, 0.2, 0.5, 0.9, 0.9999])
def test_a_cut_file_gives_all_lines_before_the_cut(tmp_path: Path, kind: str, share: float) -> None:
    data = frames(STREAM, kind).rstrip(b"\0")
    cut = data[: max(int(len(data) * share), 3)]
    items = read_bytes(tmp_path, cut, kind=kind)
    reject = only_reject(items, "truncated")
    texts_before = good(items)
    assert texts_before == DOCUMENTS[: len(texts_before)]
    assert len(texts_before) >= (share - 0.35 - HELD_BACK.get(kind, 0)) * len(DOCUMENTS)
    assert reject.position == len(jsonl(*({"text": text} for text in texts_before)))
    assert isinstance(items[-1], Reject)


def test_gzip_is_read_to_the_last_byte_before_the_cut(tmp_path: Path) -> None:
    data = gzip.compress(STREAM)
    for cut in (len(data) // 3, len(data) // 2, len(data) - 9):
        readable = zlib.decompressobj(wbits=31).decompress(data[:cut])
        assert len(good(read_bytes(tmp_path, data[:cut], kind="jsonl.gz"))) == readable.count(b"\n")


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_never_raises_and_gives_one_truncated(tmp_path: Path, kind: str) -> None:
    data = frames(STREAM[:60_000].rpartition(b"\n")[0] + b"\n", kind, parts=2)
    for position in range(30, len(data.rstrip(b"\0")) - 9, len(data) // 25):
        flipped = bytearray(data)
        flipped[position] ^= 0x10
        items = read_bytes(tmp_path, bytes(flipped), kind=kind)
        assert [reject.reason for reject in bad(items) if reject.reason != "bad_json"].count("truncated") <= 1
        assert bad(items), position


def test_a_wrong_checksum_keeps_the_lines(tmp_path: Path) -> None:
    for kind, data in (("jsonl.gz", gzip.compress(STREAM)), ("jsonl.zst", frames(STREAM, "jsonl.zst", parts=1))):
        position = len(data) - (8 if kind == "jsonl.gz" else 1)
        flipped = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        items = read_bytes(tmp_path, flipped, kind=kind)
        assert good(items) == DOCUMENTS
        only_reject(items, "truncated")


def test_garbage_after_the_last_member(tmp_path: Path) -> None:
    for kind in KINDS:
        items = read_bytes(tmp_path, frames(STREAM, kind) + b"garbage", kind=kind)
        assert good(items) == DOCUMENTS
        only_reject(items, "truncated")


def test_too_long_a_zstd_window_tells_the_remedy(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    items = read_bytes(tmp_path, compressor.compress(STREAM) + compressor.flush(), kind="jsonl.zst")
    reject = only_reject(items, "unreadable")
    assert str(ZSTD_LONGEST_WINDOW_BYTES) in reject.detail
    assert "--long=27" in reject.detail
    for window, words in ((b"\xa8", "is 2147483648 bytes"), (b"\xff", "is above 2147483648 bytes")):
        reject = only_reject(
            read_bytes(tmp_path, b"\x28\xb5\x2f\xfd\x00" + window + bytes(20), kind="jsonl.zst"), "unreadable"
        )
        assert f"the zstd window {words}, the limit is {ZSTD_LONGEST_WINDOW_BYTES}; compress again" in reject.detail


@pytest.mark.parametrize("kind", KINDS)
def test_a_bomb_is_cut_off_in_bounded_memory(tmp_path: Path, kind: str) -> None:
    size_bytes = 60 << 20
    zeros = b"\0" * size_bytes
    pack = {"gz": gzip.compress, "zst": zstandard.compress, "bz2": bz2.compress, "xz": lzma.compress}
    data = pack[kind.rpartition(".")[2]](zeros)
    path = tmp_path / "bomb"
    path.write_bytes(data)
    del zeros
    tracemalloc.start()
    items = read(path, kind, SMALL)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # xz holds its dictionary of 8 MiB.
    assert peak_bytes < (20 if kind == "jsonl.xz" else 12) << 20
    reject = only_reject(items, "truncated")
    assert "expands more than 1000-fold" in reject.detail
    unlimited = ReadSettings(max_document_bytes=1000, max_expansion=10**9)
    assert f"a line of {size_bytes} bytes" in only_reject(read(path, kind, unlimited), "too_long").detail
