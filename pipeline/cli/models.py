"""The commands `sample` and `tokenizer`, which make models' material and models alone."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.corpus.settings import SAMPLE_BYTES, CorpusSettings, check_sample_bytes
from schemas.config import from_options
from schemas.files import make_room
from schemas.options import option
from schemas.progress import Progress


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleSettings:
    """What `sample` is asked for."""

    corpus: CorpusSettings = field(default_factory=CorpusSettings)
    sample_bytes: int = SAMPLE_BYTES
    """Text to draw, at most."""
    out: str = field(metadata=option(metavar="FILE", path=True))
    """The Arrow file to write."""

    def __post_init__(self) -> None:
        check_sample_bytes(self.sample_bytes)


def run_sample(options: argparse.Namespace, extra: Sequence[str]) -> int:
    """Draw a sample of a corpus; the exit status."""
    from pipeline.corpus.sample import draw_sample
    from schemas.sample import write_sample

    settings = from_options(SampleSettings, options)
    rows = draw_sample(settings.corpus, settings.sample_bytes)
    make_room(settings.out)
    write_sample(settings.out, rows)
    held_out = sum(held for *_, held in rows)
    print(
        f"{settings.out}: {len(rows):,} documents, {sum(len(text) for _, text, _ in rows) / 1e6:.1f} MB, "
        f"{held_out} held out"
    )
    return 0


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerSettings:
    """What `tokenizer` is asked for."""

    corpus: CorpusSettings = field(default_factory=CorpusSettings)
    sample_bytes: int = SAMPLE_BYTES
    """Text to train on, at most."""
    vocabulary: int = field(default=8192, metadata=option(metavar="PIECES"))
    """Pieces, the 256 bytes included."""
    out: str = field(default="models/tokenizer.model", metadata=option(metavar="FILE", path=True))
    """The SentencePiece model to write."""

    def __post_init__(self) -> None:
        check_sample_bytes(self.sample_bytes)


def run_tokenizer(options: argparse.Namespace, extra: Sequence[str]) -> int:
    """Train a tokenizer on a sample of a corpus; the exit status."""
    from pipeline.compressors.tokenizer.compressor import TokenizerCompressor
    from pipeline.compressors.tokenizer.training import train_tokenizer
    from pipeline.corpus.sample import draw_sample

    settings = from_options(TokenizerSettings, options)
    rows = draw_sample(settings.corpus, settings.sample_bytes)
    make_room(settings.out)
    with Progress("tokenizer training"):
        train_tokenizer((text for _, text, held in rows if not held), settings.vocabulary, settings.out)
    print(
        f"{settings.out}: {TokenizerCompressor.load(settings.out).alphabet_size:,} pieces; "
        f"use it with TOKENIZER={settings.out}"
    )
    return 0
