"""Token-bytes in the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pipeline.compressors.base import CompressorDescription, Loader
from pipeline.compressors.token_bytes.settings import TokenBytesSettings, TokenCode
from schemas.vocabulary import BYTE_ALPHABET_SIZE

if TYPE_CHECKING:
    from pipeline.compressors.token_bytes.compressor import TokenBytesCompressor


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenBytesDescription(CompressorDescription):
    """What a dataset says about its token_bytes compressor."""

    width_bytes: int
    """Bytes of a token."""
    code: TokenCode
    """How they are made of it."""
    tokenizer_digest: str
    """Digest of the tokenizer."""

    @property
    def load_settings(self) -> TokenBytesSettings:
        """The width and code of the dataset, whatever the defaults are now."""
        return TokenBytesSettings(width_bytes=self.width_bytes, code=self.code)


class TokenBytesFamily:
    """token_bytes in the registry; see `pipeline.compressors.base.CompressorFamily`."""

    name = "token_bytes"
    description = TokenBytesDescription

    def load(self, loader: Loader) -> TokenBytesCompressor:
        """The compressor over the tokenizer of the same directory, which is loaded once for both."""
        from pipeline.compressors.token_bytes.compressor import TokenBytesCompressor
        from pipeline.compressors.tokenizer.compressor import TokenizerCompressor

        return TokenBytesCompressor(cast(TokenizerCompressor, loader.load("tokenizer")), _settings(loader))

    def describe(self, loader: Loader) -> TokenBytesDescription:
        """What the manifest says about it."""
        from pipeline.compressors.token_bytes.compressor import token_bytes_digest, width_bytes

        tokenizer, settings = loader.describe("tokenizer"), _settings(loader)
        width = width_bytes(settings, tokenizer.alphabet_size)
        return TokenBytesDescription(
            digest=token_bytes_digest(tokenizer.digest, width, settings.code),
            alphabet_size=BYTE_ALPHABET_SIZE,
            symbol_dtype="uint8",
            width_bytes=width,
            code=settings.code,
            tokenizer_digest=tokenizer.digest,
        )


def _settings(loader: Loader) -> TokenBytesSettings:
    return cast(TokenBytesSettings, loader.loading.settings.get("token_bytes") or TokenBytesSettings())


FAMILY = TokenBytesFamily()
