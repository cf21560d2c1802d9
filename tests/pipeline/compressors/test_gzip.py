"""The gzip encoding: whole members that any gunzip reads, the same bytes everywhere, nothing damaged accepted."""

from __future__ import annotations

import dataclasses
import gzip
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.compressors.base import Loading
from pipeline.compressors.gzip import GzipCompressor, GzipDescription
from pipeline.compressors.registry import describe_compressors
from schemas.batches import Documents, Encoding
from schemas.errors import VerificationError

TEXTS = st.lists(
    st.one_of(st.text(min_size=1).map(str.encode), st.binary(min_size=1), st.just(b"ab " * 500)), max_size=5
)
# A literal-only deflate block has one form, so this member does not depend on the zlib version.
HELLO = bytes.fromhex("1f8b08000000000002ffcb48cdc9c9070086a6103605000000")


def members(encoding: Encoding) -> list[bytes]:
    octets = encoding.symbols.astype(np.uint8).tobytes()
    offsets = encoding.symbol_offsets
    return [octets[offsets[i] : offsets[i + 1]] for i in range(len(encoding))]


@given(TEXTS)
@settings(deadline=None)
def test_round_trip_and_gunzip_agree(texts: list[bytes]) -> None:
    compressor = GzipCompressor()
    encoding = compressor.compress(Documents.from_bytes(texts))
    restored = compressor.decode(encoding)
    assert [restored.text(i) for i in range(len(restored))] == texts
    assert [gzip.decompress(member) for member in members(encoding)] == texts


@given(TEXTS)
@settings(deadline=None)
def test_a_document_does_not_see_its_batch(texts: list[bytes]) -> None:
    compressor = GzipCompressor()
    together = compressor.compress(Documents.from_bytes(texts))
    assert members(together) == [members(compressor.compress(Documents.from_bytes([text])))[0] for text in texts]


@pytest.mark.parametrize("n_documents", [0, 1, 2, 100])
def test_shape_is_one_segment_per_document(n_documents: int) -> None:
    texts = [b"x" * (i + 1) for i in range(n_documents)]
    encoding = GzipCompressor().compress(Documents.from_bytes(texts))
    assert encoding.symbols.dtype == np.uint8
    assert encoding.raw_ends.dtype == encoding.symbol_ends.dtype == np.uint32
    assert encoding.segment_offsets.tolist() == list(range(n_documents + 1))
    assert encoding.raw_ends.tolist() == [len(text) for text in texts]
    assert encoding.symbol_ends.tolist() == np.diff(encoding.symbol_offsets).tolist()


def test_golden_member() -> None:
    encoding = GzipCompressor().compress(Documents.from_bytes([b"hello"]))
    assert bytes(encoding.symbols.tolist()) == HELLO


def test_header_is_fixed() -> None:
    encoding = GzipCompressor().compress(Documents.from_bytes([b"hello"]))
    assert encoding.symbols[:10].tolist() == [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 2, 255]


def test_identity_names_level_and_zlib() -> None:
    (described,) = describe_compressors(["gzip"], Loading(directory="")).values()
    assert isinstance(described, GzipDescription)
    assert (described.level, described.zlib_version) == (9, zlib.ZLIB_RUNTIME_VERSION)
    assert described.digest == GzipCompressor().digest


def test_another_library_under_the_same_version_is_another_compressor(monkeypatch: pytest.MonkeyPatch) -> None:
    """As zlib-ng is, whose streams differ with the CPU: here another level stands for it."""
    ours = GzipCompressor().digest
    compress = zlib.compress
    monkeypatch.setattr(zlib, "compress", lambda text, level, wbits: compress(text, 8, wbits=wbits))
    assert GzipCompressor().digest != ours


def encoding_of(*octets: bytes, raw_bytes: list[int]) -> Encoding:
    """An encoding of these members."""
    ends = np.cumsum([0, *map(len, octets)])
    return Encoding(
        symbols=np.frombuffer(b"".join(octets), np.uint8).astype(np.uint16),
        symbol_offsets=ends,
        raw_ends=np.array(raw_bytes, np.uint32),
        symbol_ends=np.diff(ends).astype(np.uint32),
        segment_offsets=np.arange(len(octets) + 1),
    )


@pytest.mark.parametrize(
    "member",
    [b"", b"junk", HELLO[:-1], HELLO[:12], HELLO + b"\0", HELLO + HELLO, HELLO[:-8] + b"\0" + HELLO[-7:], HELLO[1:]],
)
def test_damaged_members(member: bytes) -> None:
    with pytest.raises(VerificationError, match="document 1 of the batch is not"):
        GzipCompressor().decode(encoding_of(HELLO, member, raw_bytes=[5, 5]))


@pytest.mark.parametrize("n_bytes", [0, 4, 6])
def test_a_wrong_length_is_found_without_inflating_more(n_bytes: int) -> None:
    with pytest.raises(VerificationError, match=f"not one gzip member of {n_bytes} bytes"):
        GzipCompressor().decode(encoding_of(HELLO, raw_bytes=[n_bytes]))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("symbols", [256] * len(HELLO), "symbol 256 is not a byte"),
        ("symbols", [1], "does not hold its document's symbols"),
        ("raw_ends", [], "not one segment per document"),
        ("symbol_ends", [1], "does not hold its document's symbols"),
        ("symbol_offsets", [len(HELLO), 0], "does not hold its document's symbols"),
        ("segment_offsets", [0, 2], "not one segment per document"),
    ],
)
def test_damaged_shapes(field: str, value: list[int], message: str) -> None:
    whole = encoding_of(HELLO, raw_bytes=[5])
    damaged = dataclasses.replace(whole, **{field: np.array(value, getattr(whole, field).dtype)})
    with pytest.raises(VerificationError, match=message):
        GzipCompressor().decode(damaged)
