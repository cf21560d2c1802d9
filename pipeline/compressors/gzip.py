"""The gzip encoding: one member per document, one symbol per byte of it, one segment.

The header is written here and not by zlib, so that it is the same everywhere: no name, time 0, operating system 255
("unknown"). The deflate stream itself depends on zlib: on its version, which the manifest names, and where a system has
another library under that name, on the CPU too. So the digest is made of the stream of a fixed text.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass

import numpy as np

from pipeline.compressors.base import CompressorDescription, Loader
from schemas.batches import Documents, Encoding, offsets_of
from schemas.encodings import EncodingLayout
from schemas.errors import VerificationError
from schemas.files import canonical_json, sha256_hex
from schemas.vocabulary import BYTE_ALPHABET_SIZE

FORMAT = "gzip 1"
"""Changes when the same level and zlib come to mean other symbols."""

LEVEL = 9
"""As `gzip.compress`: 1 % shorter than level 6 and 3 times slower, still faster than the other compressors."""

_GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS
_RAW_WINDOW_BITS = -zlib.MAX_WBITS
# RFC 1952: magic, deflate, no flags, time 0, "slowest and smallest", operating system unknown.
_HEADER = bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 2, 255])


@dataclass(frozen=True, kw_only=True, slots=True)
class GzipDescription(CompressorDescription):
    """What a dataset says about its gzip compressor."""

    level: int
    """Of zlib, 9."""
    zlib_version: str
    """The zlib that compressed."""

    @property
    def any_version_decodes(self) -> bool:
        """True: any zlib decodes what another has written."""
        return True


class GzipCompressor:
    """One gzip member per document; see `pipeline.compressors.base.Compressor`."""

    name = "gzip"
    alphabet_size = BYTE_ALPHABET_SIZE
    layout = EncodingLayout(symbols="uint8")

    def __init__(self) -> None:
        parts = {"format": FORMAT, "level": LEVEL, "probe": _probe()}
        self.digest = sha256_hex(canonical_json(parts))

    def compress(self, documents: Documents) -> Encoding:
        """One symbol per byte of each document's member."""
        members = [self._member(documents.text(i)) for i in range(len(documents))]
        offsets = offsets_of([len(member) for member in members])
        return Encoding(
            symbols=np.frombuffer(b"".join(members), np.uint8),
            symbol_offsets=offsets,
            raw_ends=np.diff(documents.offsets).astype(np.uint32),
            symbol_ends=np.diff(offsets).astype(np.uint32),
            segment_offsets=np.arange(len(members) + 1, dtype=np.int64),
        )

    def decode(self, encoding: Encoding) -> Documents:
        """The members' contents; VerificationError if one is not a whole gzip member of the stated length."""
        symbols, offsets = encoding.symbols, encoding.symbol_offsets
        one_each = np.array_equal(encoding.segment_offsets, np.arange(len(encoding) + 1))
        if not one_each or len(encoding.raw_ends) != len(encoding):
            raise VerificationError("a gzip encoding has not one segment per document: the shard is damaged")
        if not np.array_equal(encoding.symbol_ends, np.diff(offsets)) or offsets[0] != 0 or offsets[-1] != len(symbols):
            raise VerificationError("a gzip segment does not hold its document's symbols: the shard is damaged")
        if len(symbols) and symbols.max() >= self.alphabet_size:
            raise VerificationError(f"symbol {symbols.max()} is not a byte of a gzip member: the shard is damaged")
        octets = symbols.astype(np.uint8).tobytes()
        texts = [
            _contents(octets[offsets[i] : offsets[i + 1]], n_bytes=int(encoding.raw_ends[i]), document=i)
            for i in range(len(encoding))
        ]
        return Documents.from_bytes(texts)

    def _member(self, text: bytes) -> bytes:
        stream = zlib.compress(text, LEVEL, wbits=_RAW_WINDOW_BITS)
        trailer = zlib.crc32(text).to_bytes(4, "little") + (len(text) % (1 << 32)).to_bytes(4, "little")
        return _HEADER + stream + trailer


def _probe() -> str:
    """sha256 of the stream of a fixed text, longer than deflate's window of 32 KiB.

    19,200 drawn letters a and b have so many matches that each level of zlib takes others; drawn bytes have few and
    move the window on, over its end and into a repetition of both.
    """
    draws = b"".join(hashlib.sha256(number.to_bytes(2, "big")).digest() for number in range(600))
    text = bytes(97 + draw % 2 for draw in draws) + draws * 2
    return sha256_hex(zlib.compress(text, LEVEL, wbits=_RAW_WINDOW_BITS))


def _contents(member: bytes, *, n_bytes: int, document: int) -> bytes:
    """The document in one member; `n_bytes` bounds what is inflated."""
    inflate = zlib.decompressobj(wbits=_GZIP_WINDOW_BITS)
    try:
        text = inflate.decompress(member, n_bytes + 1)
    except zlib.error as error:
        raise VerificationError(
            f"document {document} of the batch is not gzip ({error}): the shard is damaged"
        ) from error
    if not inflate.eof or inflate.unused_data or len(text) != n_bytes:
        raise VerificationError(
            f"document {document} of the batch is not one gzip member of {n_bytes} bytes: the shard is damaged"
        )
    return text


class GzipFamily:
    """gzip in the registry; see `pipeline.compressors.base.CompressorFamily`."""

    name = GzipCompressor.name
    description = GzipDescription

    def load(self, loader: Loader) -> GzipCompressor:
        """The compressor, which needs no files."""
        return GzipCompressor()

    def describe(self, loader: Loader) -> GzipDescription:
        """What the manifest says about it."""
        compressor = GzipCompressor()
        return GzipDescription(
            digest=compressor.digest,
            alphabet_size=compressor.alphabet_size,
            symbol_dtype=compressor.layout.symbols,
            level=LEVEL,
            zlib_version=zlib.ZLIB_RUNTIME_VERSION,
        )


FAMILY = GzipFamily()
