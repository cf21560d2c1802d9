"""`python -m pipeline analyze`: everything that can be said about a finished dataset, as tables and as one page.

    dataset ──┬─ statistics   corpus, compressors, histograms  ─┐
              ├─ stability    edited texts, spelled anew       ─┤
              ├─ frontier     the same over θ and contexts     ─┼─► *.csv, *.json, and last report.html
              ├─ collisions   codes of more than one chunk     ─┤
              └─ samples      documents byte by byte           ─┘

Nothing is written before all of it is known, and every file is replaced whole. The same dataset, options and library
versions give the same bytes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from pipeline.analysis.collisions import LEVELS, collision_table, require_pandas
from pipeline.analysis.frontier import frontier_rows
from pipeline.analysis.report.page import Findings, report_html
from pipeline.analysis.samples import choose_samples
from pipeline.analysis.settings import AnalyzeSettings
from pipeline.analysis.stability import stability_rows
from pipeline.analysis.statistics import Entropies, corpus_statistics
from pipeline.analysis.tables import table_files
from pipeline.analysis.texts import held_out_texts
from pipeline.compressors.base import Compressor
from pipeline.compressors.neural.compressor import NeuralCompressor
from pipeline.compressors.registry import dataset_compressors
from schemas.errors import SettingsError
from schemas.files import replace_file, sha256_hex
from schemas.manifest import MANIFEST_NAME, read_manifest

logger = logging.getLogger(__name__)

PAGE_NAME = "report.html"
SAMPLES = 6
MAX_TEXT_BYTES = 4096


def analyze(settings: AnalyzeSettings) -> list[str]:
    """Measure, then write; the paths written, the page last. UserErrors are those of the dataset's readers."""
    found = _findings(settings)
    files = {**table_files(found), PAGE_NAME: report_html(found)}
    try:
        os.makedirs(settings.directory, exist_ok=True)
        for name, content in files.items():
            replace_file(os.path.join(settings.directory, name), content)
    except OSError as error:
        raise SettingsError(f"cannot write to {settings.directory} ({error.strerror}); choose another --out") from error
    return [os.path.join(settings.directory, name) for name in files]


def _findings(settings: AnalyzeSettings) -> Findings:
    require_pandas()
    dataset = settings.dataset
    manifest = read_manifest(dataset)
    compressors = dataset_compressors(dataset, manifest)
    entropies, cheap = _entropies(compressors)
    logger.info("counting %s documents", f"{manifest.totals.written:,}")
    counted = corpus_statistics(dataset, manifest, entropies, entropies_are_cheap=cheap)
    samples = choose_samples(dataset, manifest, entropies, number=SAMPLES, seed=settings.seed)
    neural = compressors.get("neural")
    logger.info("counting collisions")
    collisions = [collision_table(dataset, "neural", level, seed=settings.seed) for level in LEVELS] if neural else []
    texts, note = held_out_texts(dataset, limit=settings.documents, max_bytes=MAX_TEXT_BYTES, extra=settings.texts)
    logger.info("measuring distances on %d texts", len(texts))
    distances = stability_rows(compressors, texts, seed=settings.seed)
    frontier = frontier_rows(neural, texts, seed=settings.seed) if isinstance(neural, NeuralCompressor) else []
    return Findings(
        dataset=settings.name,
        command=settings.command,
        manifest=manifest,
        manifest_digest=sha256_hex(Path(dataset, MANIFEST_NAME).read_bytes()),
        statistics=counted,
        stability=distances,
        frontier=frontier,
        texts_note=note,
        collisions=collisions,
        samples=samples,
    )


def _entropies(compressors: Mapping[str, Compressor]) -> tuple[Entropies | None, bool]:
    """What tells the entropies of a dataset's bytes, and whether it is cheap: a table, not the model."""
    neural = compressors.get("neural")
    if not isinstance(neural, NeuralCompressor):
        return None, False
    return neural.entropies, neural.memo is not None and neural.memo.is_dense
