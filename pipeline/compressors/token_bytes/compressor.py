"""The token-bytes encoding: the tokenizer's tokens, each as a fixed number of bytes, one segment per token.

plain   the id, big-endian                                    token 300, 2 bytes  ->  1, 44
gray    r ^ (r >> 1), big-endian, with r the rank of the      neighbours in the sorted vocabulary differ in one bit,
        token's bytes among all tokens' bytes                 so tokens with a common beginning look alike
"""

from __future__ import annotations

import numpy as np

from pipeline.compressors.token_bytes.settings import WIDTHS_BYTES, TokenBytesSettings
from pipeline.compressors.tokenizer.compressor import TokenizerCompressor
from pipeline.compressors.tokenizer.piece_table import PieceTable
from schemas.batches import Documents, Encoding
from schemas.encodings import EncodingLayout
from schemas.errors import SettingsError, VerificationError
from schemas.files import canonical_json, sha256_hex
from schemas.vocabulary import BYTE_ALPHABET_SIZE

FORMAT = "token_bytes 1"
"""Changes when the same tokenizer, width and code come to mean other symbols."""


class TokenBytesCompressor:
    """A tokenizer's tokens in fixed-length bytes; see `pipeline.compressors.base.Compressor`."""

    name = "token_bytes"
    alphabet_size = BYTE_ALPHABET_SIZE

    def __init__(self, tokenizer: TokenizerCompressor, settings: TokenBytesSettings | None = None) -> None:
        """None: a plain code of the smallest width that fits. SettingsError where the vocabulary needs more bytes."""
        settings = settings or TokenBytesSettings()
        self.source = tokenizer
        self.layout = EncodingLayout(symbols="uint8", segment_bytes=tokenizer.layout.segment_bytes)
        self.width_bytes = width_bytes(settings, tokenizer.alphabet_size)
        self.code = settings.code
        n_tokens = tokenizer.alphabet_size
        ranked = settings.code == "gray"
        self._codes = gray(_ranks(tokenizer.table)) if ranked else np.arange(n_tokens, dtype=np.uint32)
        self._ids = np.full(1 << 8 * self.width_bytes, -1, np.int32)
        self._ids[self._codes] = np.arange(n_tokens)
        self.digest = token_bytes_digest(tokenizer.digest, self.width_bytes, settings.code)

    def compress(self, documents: Documents) -> Encoding:
        """`width_bytes` symbols and one segment per token."""
        return self.derive(self.source.compress(documents))

    def derive(self, tokens: Encoding) -> Encoding:
        """The encoding whose tokens are those of the tokenizer's."""
        codes = self._codes[tokens.symbols]
        symbols = np.empty((len(codes), self.width_bytes), np.uint8)
        for column in range(self.width_bytes):
            symbols[:, column] = (codes >> self._shift(column)) & 0xFF
        return Encoding(
            symbols=symbols.reshape(-1),
            symbol_offsets=tokens.symbol_offsets * self.width_bytes,
            raw_ends=tokens.raw_ends,
            symbol_ends=tokens.symbol_ends * np.uint32(self.width_bytes),
            segment_offsets=tokens.segment_offsets,
        )

    def decode(self, encoding: Encoding) -> Documents:
        """The exact bytes; VerificationError if the symbols are not whole tokens of this code."""
        symbols, width = encoding.symbols, self.width_bytes
        if len(symbols) % width or (encoding.symbol_offsets % width).any() or (encoding.symbol_ends % width).any():
            raise VerificationError(f"token-bytes symbols are not in groups of {width}: the shard is damaged")
        if len(symbols) and symbols.max() >= self.alphabet_size:
            raise VerificationError(f"symbol {symbols.max()} is not a byte of a token: the shard is damaged")
        codes = np.zeros(len(symbols) // width, np.uint32)
        for column in range(width):
            codes |= symbols[column::width].astype(np.uint32) << self._shift(column)
        ids = self._ids[codes]
        if (ids < 0).any():
            raise VerificationError(
                f"code {codes[ids < 0][0]} is no token's {self.code} code:"
                " the shard is damaged or was written with another tokenizer, width or code"
            )
        return self.source.decode(
            Encoding(
                symbols=ids,
                symbol_offsets=encoding.symbol_offsets // width,
                raw_ends=encoding.raw_ends,
                symbol_ends=encoding.symbol_ends // np.uint32(width),
                segment_offsets=encoding.segment_offsets,
            )
        )

    def _shift(self, column: int) -> np.uint32:
        return np.uint32(8 * (self.width_bytes - 1 - column))


def width_bytes(settings: TokenBytesSettings, n_tokens: int) -> int:
    """Bytes per token for a vocabulary; SettingsError where it needs more than the settings say, or than there are."""
    fitting = [width for width in WIDTHS_BYTES if n_tokens <= 1 << 8 * width]
    width = settings.width_bytes or (fitting[0] if fitting else 0)
    if width not in fitting:
        asked = f" in {settings.width_bytes} bytes each" if settings.width_bytes else ""
        remedy = f"give {' or '.join(map(str, fitting))} bytes" if fitting else "use a smaller vocabulary"
        raise SettingsError(f"{n_tokens} tokens cannot be encoded{asked}: {remedy}")
    return width


def token_bytes_digest(tokenizer_digest: str, width: int, code: str) -> str:
    """The name, sha256, of all that a code depends on."""
    return sha256_hex(
        canonical_json({"format": FORMAT, "tokenizer": tokenizer_digest, "width_bytes": width, "code": code})
    )


def gray(ranks: np.ndarray) -> np.ndarray:
    """The reflected binary code of each rank: neighbouring ranks differ in one bit."""
    codes: np.ndarray = ranks ^ (ranks >> np.uint32(1))
    return codes


def _ranks(table: PieceTable) -> np.ndarray:
    """uint32 [n_ids]: place of each token in the order of the tokens' bytes, ties by id, ids without text last."""
    n_ids = len(table.lengths)
    order = sorted(range(n_ids), key=lambda i: (table.lengths[i] == 0, table.token(i)))  # sorted is stable: ties by id
    ranks = np.empty(n_ids, np.uint32)
    ranks[order] = np.arange(n_ids, dtype=np.uint32)
    return ranks
