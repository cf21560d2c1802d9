"""What a finished dataset tells about later runs: sizes, counts, and seconds per stage of one worker."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

from pipeline.compressors.codebook_cache import DEFAULT_CACHE_BYTES
from pipeline.compressors.neural.artifact import SCORE_TABLE_NAME, byte_lm_config, read_codebook, read_score_table
from pipeline.compressors.neural.coder import BYTE_LM
from pipeline.compressors.neural.description import NeuralDescription
from pipeline.compressors.registry import COMPRESSORS_DIRECTORY, manifest_descriptions
from pipeline.job.publish import REPORT_NAME
from pipeline.planning.growth import Growth, measure_growth
from pipeline.storage import files
from schemas.byte_lm_files import read_byte_lm
from schemas.errors import DatasetError, SettingsError, refusing
from schemas.json_files import parse_object, record
from schemas.manifest import Manifest, read_manifest
from schemas.remote import join, read_bytes

MODEL, GPU = "model", "gpu"
"""Names of the two rates that are not stages: the byte LM on one worker, and on one GPU."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NeuralMeasured:
    """The neural compressor's part."""

    growth: Growth
    known_bytes: int
    """Text whose segments the artifact's codebook holds."""
    room_segments: float
    """New segments that the cache of a process holds."""
    entry_bytes: float
    """Memory of one of them."""
    flop_per_byte: float
    """Of the byte LM, forward, matrix products."""
    lm: str
    """Its preset, or `given`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A finished run, as far as a plan needs it."""

    directory: str
    manifest: Manifest
    workers: int
    """Threads that it had."""
    stage_seconds: dict[str, float]
    """Of one worker, summed over all units; without the byte LM's reading, unless it reads every byte."""
    prefixes_per_second: float
    """Of the byte LM on one worker; NaN if the run did not build the codebook."""
    startup_seconds: float
    """What the shards took beyond their stages: start of the runner, loading of the models, publication."""
    prepare_seconds: dict[str, float]
    """Byte LM, codebook and tokenizer, where they were made."""
    neural: NeuralMeasured | None

    @property
    def raw_bytes(self) -> int:
        """Text of the dataset."""
        return self.manifest.totals.raw_bytes

    @property
    def file_bytes(self) -> int:
        """Its shards on the disk."""
        return sum(shard.file_bytes for shard in self.manifest.shards)

    def segments(self, compressor: str) -> int:
        """All segments of an encoding."""
        return sum(shard.segments[compressor] for shard in self.manifest.shards)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Report:
    """What a plan needs of report.json."""

    stage_seconds: dict[str, float]
    workers: Annotated[int, range(1, 1 << 20)]
    shards_wall_seconds: float
    prepare_seconds: dict[str, float] = field(default_factory=dict)


def measured(directory: str) -> Measured:
    """Read a finished dataset; DatasetError where it has no text, or no report of its times."""
    manifest = read_manifest(directory)
    if not manifest.totals.raw_bytes:
        raise DatasetError(f"{directory} holds no text; preprocess some first")
    path = join(directory, REPORT_NAME)
    with refusing(
        path, DatasetError, "it tells how long a run took: preprocess the corpus again into another directory"
    ):
        report = record(_Report, parse_object(read_bytes(path)), only=False, whole=False)
    workers, stage_seconds = report.workers, report.stage_seconds
    described = manifest_descriptions(manifest, directory).get("neural")
    neural, rate = None, math.nan
    if isinstance(described, NeuralDescription):
        neural = _neural(directory, manifest, described) if described.codes_segments else None
        rate = _prefixes_per_second(directory, described, workers, report.prepare_seconds.get("codebook", 0.0))
    startup_seconds = max(0.0, report.shards_wall_seconds - sum(stage_seconds.values()) / workers)
    return Measured(
        directory=directory,
        manifest=manifest,
        workers=workers,
        stage_seconds={stage: value for stage, value in stage_seconds.items() if stage != BYTE_LM or neural is None},
        prefixes_per_second=rate,
        startup_seconds=startup_seconds,
        prepare_seconds=report.prepare_seconds,
        neural=neural,
    )


def parse_rates(texts: Iterable[str], known: Iterable[str]) -> dict[str, float]:
    """STAGE=MB_PER_SECOND, as bytes per second; SettingsError for another form, name or number."""
    names = sorted({*known, MODEL, GPU})
    rates = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            rate = 1e6 * float(number)
        except ValueError:
            rate = math.nan
        if name not in names or not 0 < rate < math.inf:
            raise SettingsError(f"--rate is {text!r}; give STAGE=MB_PER_SECOND with one of {', '.join(names)}")
        rates[name] = rate
    return rates


def _neural(directory: str, manifest: Manifest, described: NeuralDescription) -> NeuralMeasured:
    copy = files.LocalCopy(files.join(directory, COMPRESSORS_DIRECTORY, "neural"))
    artifact = copy.directory
    book = read_codebook(artifact)
    growth = measure_growth(directory, manifest)
    # Growing arrays are doubled: a book that is not small tells the mean of what an entry takes.
    entry_bytes = book.memory_bytes / max(1, len(book)) if len(book) > 1 << 14 else 66.0
    return NeuralMeasured(
        growth=growth,
        known_bytes=described.codebook.sample_bytes,
        room_segments=DEFAULT_CACHE_BYTES / entry_bytes,
        entry_bytes=entry_bytes,
        flop_per_byte=byte_lm_config(read_byte_lm(artifact)).matmul_flop_per_byte,
        lm=described.request["lm"],
    )


def _prefixes_per_second(directory: str, described: NeuralDescription, workers: int, codebook_seconds: float) -> float:
    """From the building of the codebook, which is all reading: of its segments, and of the contexts of entropies."""
    if codebook_seconds <= 0:
        return math.nan
    prefixes = described.codebook.prefixes_read
    if described.settings.boundary_score == "context_entropy":
        copy = files.LocalCopy(files.join(directory, COMPRESSORS_DIRECTORY, "neural"), names=[SCORE_TABLE_NAME])
        prefixes += len(read_score_table(copy.directory)[0])
    return prefixes / (codebook_seconds * workers) if prefixes else math.nan
