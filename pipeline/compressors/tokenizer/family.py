"""The tokenizer in the registry."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.compressors.base import CompressorDescription, Loader

if TYPE_CHECKING:
    from pipeline.compressors.tokenizer.compressor import TokenizerCompressor

ARTIFACT = "tokenizer"
"""Folder of the artifact in the compressors' directory."""
MODEL_NAME = "tokenizer.model"
"""Name of the SentencePiece model in that folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerDescription(CompressorDescription):
    """What a dataset says about its tokenizer."""

    sentencepiece_version: str
    """The library that tokenized."""


class TokenizerFamily:
    """The tokenizer in the registry; see `pipeline.compressors.base.CompressorFamily`."""

    name = "tokenizer"
    description = TokenizerDescription

    def load(self, loader: Loader) -> TokenizerCompressor:
        """The compressor of the artifact's model; ArtifactError where it is missing or loses text."""
        from pipeline.compressors.tokenizer.compressor import TokenizerCompressor

        return TokenizerCompressor.load(os.path.join(loader.artifact(ARTIFACT), MODEL_NAME))

    def describe(self, loader: Loader) -> TokenizerDescription:
        """What the manifest says about it; the model is opened, but not tried on anything."""
        import sentencepiece

        from pipeline.compressors.tokenizer.compressor import open_processor, read_model, symbol_type, tokenizer_digest

        path = os.path.join(loader.artifact(ARTIFACT), MODEL_NAME)
        model = read_model(Path(path))
        alphabet_size: int = open_processor(model, path).get_piece_size()
        return TokenizerDescription(
            digest=tokenizer_digest(model),
            alphabet_size=alphabet_size,
            symbol_dtype=symbol_type(alphabet_size),
            sentencepiece_version=sentencepiece.__version__,
        )


FAMILY = TokenizerFamily()
