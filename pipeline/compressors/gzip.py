"""The gzip encoding: one member per document, one symbol per byte of it, one segment.

The header is written here and not by zlib, so that it is the same everywhere: no name, time 0, operating system 255
("unknown"). The deflate stream itself depends on the zlib version, which the digest and the manifest name.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from schemas.batches import Documents, Encoding
from schemas.errors import SettingsError, VerificationError
from schemas.files import canonical_json, sha256_hex
from schemas.vocabulary import BYTE_ALPHABET_SIZE

FORMAT = "gzip 1"
"""Changes when the same level and zlib come to mean other symbols."""

_GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS
_RAW_WINDOW_BITS = -zlib.MAX_WBITS
_FASTEST_LEVEL, _SMALLEST_LEVEL = 1, 9


class GzipCompressor:
    """One gzip member per document; see `pipeline.compressors.base.Compressor`."""

    name = "gzip"
    alphabet_size = BYTE_ALPHABET_SIZE
    symbol_dtype = np.dtype(np.uint16)

    def __init__(self, *, level: int = 9) -> None:
        """Level 9, as `gzip.compress`: 1 % shorter than 6 and 3 times slower, still faster than the other compressors.

        SettingsError outside 1 to 9.
        """
        if not _FASTEST_LEVEL <= level <= _SMALLEST_LEVEL:
            raise SettingsError(f"gzip level {level} is outside 1 (fastest) to 9 (smallest): give one of these")
        self.level = level
        self.digest = sha256_hex(
            canonical_json({"format": FORMAT, "level": level, "zlib_version": zlib.ZLIB_RUNTIME_VERSION})
        )
        # RFC 1952: magic, deflate, no flags, time 0, how hard it tried, operating system unknown.
        effort = {_FASTEST_LEVEL: 4, _SMALLEST_LEVEL: 2}.get(level, 0)
        self._header = bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, effort, 255])

    def compress(self, documents: Documents) -> Encoding:
        """One symbol per byte of each document's member."""
        members = [self._member(documents.text(i)) for i in range(len(documents))]
        offsets = np.zeros(len(members) + 1, np.int64)
        np.cumsum([len(member) for member in members], out=offsets[1:])
        return Encoding(
            symbols=np.frombuffer(b"".join(members), np.uint8).astype(self.symbol_dtype),
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

    def settings(self) -> dict[str, Any]:
        """What the manifest says about it."""
        return {
            "name": self.name,
            "digest": self.digest,
            "alphabet_size": self.alphabet_size,
            "level": self.level,
            "zlib_version": zlib.ZLIB_RUNTIME_VERSION,
        }

    def _member(self, text: bytes) -> bytes:
        stream = zlib.compress(text, self.level, wbits=_RAW_WINDOW_BITS)
        trailer = zlib.crc32(text).to_bytes(4, "little") + (len(text) % (1 << 32)).to_bytes(4, "little")
        return self._header + stream + trailer


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
