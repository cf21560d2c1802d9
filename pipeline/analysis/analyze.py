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
from dataclasses import dataclass
from pathlib import Path

from pipeline.analysis.collisions import LEVELS, collision_table, require_pandas
from pipeline.analysis.frontier import frontier_rows
from pipeline.analysis.report.page import Findings, report_html
from pipeline.analysis.samples import choose_samples
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

OUT_DIRECTORY = "analysis"
PAGE_NAME = "report.html"
SAMPLES = 6
MAX_TEXT_BYTES = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class AnalyzeSettings:
    """What `analyze` is asked for."""

    dataset: str
    """Directory of a finished dataset."""
    out: str | None = None
    """Directory of the results; None is `analysis` in the dataset."""
    documents: int = 200
    """Texts that are edited to measure distances, at most."""
    texts: str | None = None
    """Directory of further texts, for a dataset that holds out fewer."""
    seed: int = 0
    """Of the edits, the intervals and the choice of samples."""

    def __post_init__(self) -> None:
        if self.documents < 1:
            raise SettingsError(f"--documents is {self.documents}; give at least 1")
        if self.texts is not None and not os.path.isdir(self.texts):
            raise SettingsError(f"--texts {self.texts} is not a directory; give one of texts that no model has seen")
        if os.path.exists(self.directory) and not os.path.isdir(self.directory):
            raise SettingsError(f"--out {self.directory} is a file; give a directory")

    @property
    def directory(self) -> str:
        """Where the results go."""
        return self.out or os.path.join(self.dataset, OUT_DIRECTORY)

    @property
    def name(self) -> str:
        """The dataset, by the last part of its path."""
        return os.path.basename(os.path.abspath(self.dataset))

    @property
    def command(self) -> str:
        """What makes the same results again, wherever the dataset lies."""
        texts = f" --texts {os.path.basename(os.path.abspath(self.texts))}" if self.texts is not None else ""
        return f"python -m pipeline analyze {self.name} --documents {self.documents}{texts} --seed {self.seed}"


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
