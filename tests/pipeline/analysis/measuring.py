"""One thing measured at a time, by a pass of its own; `analyze` measures all of them in one pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.analysis.findings import Excerpt, Statistics
from pipeline.analysis.one_pass import collect
from pipeline.analysis.samples import Place, SampleChooser, read_excerpts, segmenting_compressor
from pipeline.analysis.statistics import ScoredBytes, StatisticsCounter
from pipeline.analysis.texts import HeldOutTexts, Texts
from schemas.batches import Documents
from schemas.manifest import Manifest, read_manifest


def scored_by(scores: Callable[[Documents], np.ndarray], *, needs_model: bool = False) -> ScoredBytes:
    """Entropies by some function, θ at 4 bits."""
    return ScoredBytes(quantity="entropy", theta_bits=4.0, needs_model=needs_model, of=scores)


def statistics_of(dataset: Path, scored: ScoredBytes | None = None, manifest: Manifest | None = None) -> Statistics:
    """Statistics of a dataset, against another manifest than its own if one is given."""
    counter = StatisticsCounter(manifest or read_manifest(dataset), scored)
    collect(str(dataset), [counter])
    return counter.result()


def chosen_places(dataset: Path, *, number: int, seed: int) -> list[Place]:
    """The places of the sample documents."""
    chooser = SampleChooser(number, seed)
    collect(str(dataset), [chooser])
    return chooser.result()


def excerpts_of(dataset: Path, scored: ScoredBytes | None, *, number: int, seed: int = 0) -> list[Excerpt]:
    """Excerpts of the sample documents; none where every segment is a document."""
    compressor = segmenting_compressor(read_manifest(dataset))
    places = chosen_places(dataset, number=number, seed=seed)
    return read_excerpts(str(dataset), places, compressor, scored) if compressor else []


def held_out_texts(dataset: Path, *, limit: int, max_bytes: int, extra: Path | None = None) -> tuple[Texts, str]:
    """Texts to edit, and where they come from."""
    texts = HeldOutTexts(limit=limit, max_bytes=max_bytes)
    collect(str(dataset), [texts])
    return texts.result(None if extra is None else str(extra))
