"""The settings of a preprocessing run: its options, its settings.json, and what its dataset's identity is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pipeline.compressors.names import COMPRESSORS
from pipeline.compressors.neural.settings import NeuralSettings
from pipeline.compressors.token_bytes.settings import TokenBytesSettings
from pipeline.corpus.settings import SAMPLE_BYTES, CorpusSettings, check_sample_bytes
from schemas.errors import SettingsError
from schemas.machine import usable_cpus
from schemas.options import option

LM_SIZES = ("tiny", "40m")
DEFAULT_OUTPUT = "data/stdlib"
SETTINGS_NAME = "settings.json"
"""In the directory of a dataset: the settings of its run but for Beam's options. `--config` reads it back."""
LOCAL_RUNNER = "FnApiRunner"
"""Beam's engine in this process. Not "DirectRunner", which would try to download another one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSettings:
    """The byte LM, θ, codebook and tokenizer: each given, or made from a sample of the corpus."""

    lm: str = field(default="tiny", metadata=option(metavar="SIZE|DIR", path=True))
    """Byte LM: `tiny` or `40m` to train one of that size on a sample of the corpus, or the directory of one."""
    tokenizer: str = field(default="", metadata=option(metavar="FILE", default="train one on a sample", path=True))
    """SentencePiece .model file."""
    tokenizer_vocabulary: int = field(default=8192, metadata=option(metavar="PIECES"))
    """Pieces of a tokenizer that is trained here, the 256 bytes included."""
    sample_bytes: int = SAMPLE_BYTES
    """Text that models are made from, at most."""
    neural: NeuralSettings = field(default_factory=NeuralSettings)
    """θ, boundaries and codes of the neural compressor."""
    token_bytes: TokenBytesSettings = field(default_factory=TokenBytesSettings)
    """Width and code of token_bytes."""

    def __post_init__(self) -> None:
        check_sample_bytes(self.sample_bytes)
        if self.tokenizer_vocabulary < 300:
            raise SettingsError(
                f"--tokenizer-vocabulary is {self.tokenizer_vocabulary}; 256 bytes and some pieces need 300"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class PreprocessSettings:
    """One run: a corpus in, a dataset out."""

    corpus: CorpusSettings = field(default_factory=CorpusSettings)
    output: str = field(default=DEFAULT_OUTPUT, metadata=option(metavar="DIR", path=True))
    """Directory of the dataset, local or remote."""
    compressors: tuple[str, ...] = field(
        default=("neural", "tokenizer", "gzip"), metadata=option(metavar="NAMES", commas=True)
    )
    """One or more of neural, tokenizer, gzip, token_bytes, separated by commas."""
    models: ModelSettings = field(default_factory=ModelSettings)
    compressors_of: str = field(default="", metadata=option(metavar="DIR", default="make them", path=True))
    """Finished dataset whose models are taken, with all their settings, so that both can be mixed in training."""
    shards: int | None = field(default=None, metadata=option(metavar="N", default="one per --unit-bytes of input"))
    """Number of shards."""
    unit_bytes: int = 8 << 20
    """Input per shard where --shards is not given; also how much a killed run loses per worker."""
    compression: Literal["zstd", "none"] = "zstd"
    """Of the shards' record batches: `zstd`, or `none` for memory mapping without decompression."""
    write_entropy: bool = False
    """Also write the boundary score of every byte, in bits (4 bytes each)."""
    learn_once: bool = False
    """Before any shard, read the corpus, and code what the codebook lacks once, in a table that all units look up: the
    same shards; pays where the summary's byte_lm takes twice as long as read and neural, so for LMs above tiny."""
    max_reject_fraction: float = field(default=0.05, metadata=option(metavar="SHARE"))
    """More rejects than this share of the documents read stop the run, exit 1."""
    workers: int = field(default_factory=usable_cpus)
    """Threads of the local runner; the result does not depend on it."""
    device: str = "cpu"
    """Where the byte LM runs: `cpu` or `cuda`."""
    runner: str = LOCAL_RUNNER
    """Any Beam runner; its own options follow as they are."""
    beam_options: tuple[str, ...] = field(default=(), metadata=option(hidden=True))
    """What Beam is given, as words of a command line."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.compressors) - set(COMPRESSORS))
        if unknown or not self.compressors or len(set(self.compressors)) < len(self.compressors):
            raise SettingsError(
                f"--compressors is {','.join(self.compressors)!r}; "
                f"give one or more of {', '.join(COMPRESSORS)}, each once"
            )
        if self.write_entropy and "neural" not in self.compressors:
            raise SettingsError("--write-entropy writes the neural compressor's scores; add `neural` to --compressors")
        if self.learn_once and "neural" not in self.compressors:
            raise SettingsError("--learn-once codes the neural compressor's segments; add `neural` to --compressors")
        if self.compression not in ("zstd", "none"):
            raise SettingsError(f"--compression is {self.compression!r}; give zstd or none")
        if not 0 <= self.max_reject_fraction <= 1:
            raise SettingsError(f"--max-reject-fraction is {self.max_reject_fraction}; give 0 to 1")
        if self.workers < 1:
            raise SettingsError(f"--workers is {self.workers}; give at least 1")
