"""What a preprocessing run is told. Few settings; the rest is derived and printed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Literal

from pipeline.compressors.neural.settings import NeuralSettings
from pipeline.compressors.registry import COMPRESSORS
from pipeline.compressors.token_bytes.settings import TokenBytesSettings
from pipeline.corpus.settings import SAMPLE_BYTES, CorpusSettings
from schemas.errors import SettingsError

LM_SIZES = ("tiny", "40m")
LOCAL_RUNNER = "FnApiRunner"
"""Beam's engine in this process. Not "DirectRunner", which would try to download another one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSettings:
    """The byte LM, θ, codebook and tokenizer: each given, or made from a sample of the corpus."""

    lm: str = "tiny"
    """A size to train on the sample (`tiny`, `40m`), or the directory of a byte LM."""
    tokenizer: str = ""
    """A SentencePiece .model file; empty: train one on the sample."""
    tokenizer_vocabulary: int = 8192
    """Size of a tokenizer that is trained here."""
    sample_bytes: int = SAMPLE_BYTES
    """How much text the models are made from, at most."""
    neural: NeuralSettings = field(default_factory=NeuralSettings)
    """θ, boundaries and codes of the neural compressor."""
    token_bytes: TokenBytesSettings = field(default_factory=TokenBytesSettings)
    """Width and code of token_bytes."""

    def __post_init__(self) -> None:
        if self.sample_bytes < 1:
            raise SettingsError(f"sample is {self.sample_bytes} bytes; give at least 1")
        if self.tokenizer_vocabulary < 300:
            raise SettingsError(
                f"tokenizer vocabulary is {self.tokenizer_vocabulary}; 256 bytes and some pieces need 300"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class PreprocessSettings:
    """One run: a corpus in, a dataset out."""

    corpus: CorpusSettings
    output: str
    compressors: tuple[str, ...] = ("neural", "tokenizer", "gzip")
    models: ModelSettings = field(default_factory=ModelSettings)
    shards: int | None = None
    """How many shards; None: one per `unit_bytes` of input."""
    unit_bytes: int = 8 << 20
    """Input per shard where `shards` is not given; also how much a killed run loses per worker."""
    compression: Literal["zstd", "none"] = "zstd"
    """`zstd`, or `none` for memory mapping without decompression."""
    write_entropy: bool = False
    """Also write the entropy of every byte (4 bytes each)."""
    max_reject_fraction: float = 0.05
    """More rejects than this share of the documents read stop the run before its manifest."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Threads of the local runner. The result does not depend on it."""
    device: str = "cpu"
    """Where the byte LM runs: `cpu` or `cuda`."""
    allow_other_device: bool = False
    """Accept a neural compressor built on a device that computes other codes; noted in the manifest."""
    runner: str = LOCAL_RUNNER
    beam_options: tuple[str, ...] = ()
    """Passed to Beam as they are."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.compressors) - set(COMPRESSORS))
        if unknown or not self.compressors or len(set(self.compressors)) < len(self.compressors):
            raise SettingsError(
                f"compressors are {','.join(self.compressors)!r}; "
                f"give one or more of {', '.join(COMPRESSORS)}, each once"
            )
        if self.write_entropy and "neural" not in self.compressors:
            raise SettingsError("--write-entropy writes the neural compressor's scores; add `neural` to --compressors")
        if self.compression not in ("zstd", "none"):
            raise SettingsError(f"compression is {self.compression!r}; give zstd or none")
        if not 0 <= self.max_reject_fraction <= 1:
            raise SettingsError(f"max reject fraction is {self.max_reject_fraction}; give 0 to 1")
        if self.workers < 1:
            raise SettingsError(f"workers is {self.workers}; give at least 1")
