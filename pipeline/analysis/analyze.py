"""`python -m pipeline analyze`: measure a finished dataset, then write tables and one page.

Nothing is written before everything is measured, and every file is replaced as a whole. The same dataset, options and
library versions give the same bytes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from pipeline.analysis.collisions import LEVELS, CollisionCounter, require_pandas
from pipeline.analysis.findings import Findings
from pipeline.analysis.frontier import FRONTIER_NOTE, frontier_rows
from pipeline.analysis.one_pass import collect
from pipeline.analysis.report.page import report_html
from pipeline.analysis.samples import SampleChooser, read_excerpts, segmenting_compressor
from pipeline.analysis.settings import AnalyzeSettings
from pipeline.analysis.stability import stability_rows
from pipeline.analysis.statistics import ScoredBytes, StatisticsCounter
from pipeline.analysis.tables import table_files
from pipeline.analysis.texts import HeldOutTexts
from pipeline.compressors.base import Compressor
from pipeline.compressors.neural.compressor import NeuralCompressor
from pipeline.compressors.registry import dataset_compressors, manifest_descriptions
from schemas.errors import SettingsError
from schemas.files import replace_file, sha256_hex
from schemas.manifest import MANIFEST_NAME, Manifest, read_manifest
from schemas.remote import join, read_bytes
from schemas.shard_files import KeptShards

logger = logging.getLogger(__name__)

PAGE_NAME = "report.html"
SAMPLES = 6
"""Sample documents on the page."""
MAX_TEXT_BYTES = 4096
"""Texts are edited up to this length: the Levenshtein distance takes time in the square of it."""


def analyze(settings: AnalyzeSettings) -> list[str]:
    """Measure, then write; the paths written, the page last. UserErrors are those of the dataset's readers."""
    findings = measure(settings)
    files = {**table_files(findings), PAGE_NAME: report_html(findings)}
    try:
        os.makedirs(settings.directory, exist_ok=True)
        for name, content in files.items():
            replace_file(os.path.join(settings.directory, name), content)
    except OSError as error:
        raise SettingsError(f"cannot write to {settings.directory} ({error.strerror}); choose another --out") from error
    return [os.path.join(settings.directory, name) for name in files]


def measure(settings: AnalyzeSettings) -> Findings:
    """Everything that is measured of a dataset; nothing is written. UserErrors are those of the dataset's readers."""
    require_pandas()
    dataset, seed = settings.dataset, settings.seed
    manifest = read_manifest(dataset)
    compressors = dataset_compressors(dataset, manifest)
    neural, scored = compressors.get("neural"), _scored(compressors)

    statistics = StatisticsCounter(manifest, scored)
    samples = SampleChooser(SAMPLES, seed)
    collisions = [CollisionCounter("neural", level, seed=seed) for level in LEVELS] if neural else []
    held_out = HeldOutTexts(limit=settings.documents, max_bytes=MAX_TEXT_BYTES)
    logger.info("reading %s documents", f"{manifest.totals.written:,}")
    with KeptShards() as kept:
        collect(dataset, [statistics, samples, *collisions, held_out], kept)
        segmenting = segmenting_compressor(manifest)
        excerpts = read_excerpts(dataset, samples.result(), segmenting, scored, kept) if segmenting else []

    counted = statistics.result()
    texts, texts_note = held_out.result(settings.texts)
    logger.info("comparing chunks with the same code")
    collision_tables = [counter.result() for counter in collisions]
    logger.info("measuring distances on %d texts", len(texts))
    return Findings(
        dataset=settings.name,
        command=settings.command,
        manifest=manifest,
        manifest_digest=sha256_hex(read_bytes(join(dataset, MANIFEST_NAME))),
        score=scored.quantity if scored else "entropy",
        theta_bits=scored.theta_bits if scored else None,
        compressor_details=compressor_details(manifest, dataset),
        statistics=counted,
        stability=stability_rows(compressors, texts, seed=seed),
        frontier=frontier_rows(neural, texts, seed=seed) if isinstance(neural, NeuralCompressor) else [],
        texts_note=texts_note,
        frontier_note=FRONTIER_NOTE,
        collisions=collision_tables,
        excerpts=excerpts,
    )


def compressor_details(manifest: Manifest, dataset: str) -> dict[str, list[tuple[str, str]]]:
    """`CompressorDescription.details` by name, where there are some."""
    details = {name: each.details() for name, each in manifest_descriptions(manifest, dataset).items()}
    return {name: rows for name, rows in details.items() if rows}


def _scored(compressors: Mapping[str, Compressor]) -> ScoredBytes | None:
    """What the boundaries of the neural encoding are cut at; None for a dataset without one."""
    neural = compressors.get("neural")
    if not isinstance(neural, NeuralCompressor):
        return None
    return ScoredBytes(
        quantity=neural.settings.score_quantity,
        theta_bits=neural.theta_bits,
        needs_model=neural.score.needs_model,
        of=neural.scores,
    )
