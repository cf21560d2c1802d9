"""Findings about a real dataset with made-up distances, so that a page can be tested without measuring any."""

from __future__ import annotations

from pathlib import Path

from pipeline.analysis.analyze import compressor_details
from pipeline.analysis.findings import Findings, FrontierRow, StabilityRow
from pipeline.compressors.neural.compressor import NeuralCompressor
from pipeline.compressors.registry import dataset_compressors
from schemas.files import sha256_hex
from schemas.manifest import read_manifest
from tests.pipeline.analysis.measuring import excerpts_of, scored_by, statistics_of

ENCODINGS = {"raw": (1.0, 0.099), "tokenizer": (3.4, 0.412), "neural": (3.26, 0.466), "gzip": (4.5, 0.955)}
LINES = {"document": 0.63, "8": 0.43, "4": 0.40, "2": 0.37}


def stability_rows() -> list[StabilityRow]:
    """Two kinds of edits, two shares, four encodings."""
    return [
        StabilityRow(
            compressor=name, kind=kind, share=share, documents=200, bytes_per_symbol=ratio, distance=distance,
            low=distance - 0.01, high=distance + 0.01, mean=distance, standard_error=0.0071,
        )
        for kind in ("delete", "insert")
        for share in (0.05, 0.10)
        for name, (ratio, full) in ENCODINGS.items()
        for distance in (full * share / 0.10,)
    ]  # fmt: skip


def frontier_rows() -> list[FrontierRow]:
    """Four contexts, three thresholds."""
    return [
        FrontierRow(
            context=context, quantile=quantile, theta_bits=3 + quantile, bytes_per_symbol=5 * quantile - 0.8,
            distance=distance, low=distance - 0.02, high=distance + 0.02,
        )
        for context, lowest in LINES.items()
        for quantile in (0.7, 0.8, 0.9)
        for distance in (lowest + quantile / 3 - 0.2,)
    ]  # fmt: skip


def findings(dataset: Path, *, number: int = 8) -> Findings:
    """Counted: the corpus and its samples. Made up: distances."""
    manifest = read_manifest(dataset)
    neural = dataset_compressors(str(dataset), manifest)["neural"]
    assert isinstance(neural, NeuralCompressor)
    scored = scored_by(neural.scores)
    return Findings(
        dataset=dataset.name,
        command=f"python -m pipeline analyze {dataset.name}",
        manifest=manifest,
        manifest_digest=sha256_hex((dataset / "manifest.json").read_bytes()),
        score=scored.quantity,
        theta_bits=scored.theta_bits,
        compressor_details=compressor_details(manifest, str(dataset)),
        statistics=statistics_of(dataset, scored),
        stability=stability_rows(),
        frontier=frontier_rows(),
        texts_note="Made up <for> a test.",
        frontier_note="none of them",
        collisions=(),
        excerpts=excerpts_of(dataset, scored, number=number),
    )
