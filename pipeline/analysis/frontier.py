"""The same byte LM over boundary rules and θ: how short its encodings are, and how far they move under edits.

    texts, 10 % of the characters deleted ── for each rule, for each θ ──► bytes per symbol, distance

Many variants on little text: the first of the texts, each cut shorter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kernels.boundary_score import CachedScores
from kernels.byte_spans import ByteSpans, starts_of
from kernels.codebook import Codebook
from kernels.string_table import distinct
from pipeline.analysis.edits import edited
from pipeline.analysis.findings import FrontierRow
from pipeline.analysis.stability import distances, median_interval, symbols_of
from pipeline.analysis.texts import Texts
from pipeline.compressors.neural.compressor import NeuralCompressor
from pipeline.compressors.neural.score import score_of_sample
from pipeline.compressors.neural.settings import NeuralSettings
from schemas.batches import Documents

FRONTIER_TEXTS = 60
FRONTIER_BYTES = 2048
FRONTIER_SHARE = 0.10
FRONTIER_NOTE = f"at most {FRONTIER_TEXTS} of these texts and {FRONTIER_BYTES:,} bytes of each"
QUANTILES = (0.6, 0.7, 0.75, 0.8, 0.85, 0.9)
DOCUMENT, DOCUMENT_CODES = "document", "document-codes"
PAIRS = "pairs"
CONTEXTS = (PAIRS, "2", "4", DOCUMENT, DOCUMENT_CODES)
"""What decides boundaries: the surprisal of byte pairs, where the dataset's compressor has their table; else entropies
given so many bytes. `document-codes` takes the codes' probabilities from the whole document too."""


def frontier_rows(compressor: NeuralCompressor, texts: Texts, *, seed: int = 0) -> list[FrontierRow]:
    """The same byte LM over contexts and θ, on the first of the texts, each cut shorter: many variants, little text."""
    chosen = [(name, text.encode()[:FRONTIER_BYTES].decode(errors="ignore")) for name, text in texts[:FRONTIER_TEXTS]]
    changed = [edited(text, kind="delete", share=FRONTIER_SHARE, seed=seed, name=name) for name, text in chosen]
    both = Documents.from_bytes([text.encode() for text in [*(text for _, text in chosen), *changed]])
    raw_bytes = int(both.offsets[len(chosen)])
    rows = []
    for context in CONTEXTS:
        for quantile, variant in neural_variants(compressor, context, both, raw_bytes):
            encoding = symbols_of(variant, both)
            found = distances(encoding[: len(chosen)], encoding[len(chosen) :])
            low, high = median_interval(found, seed)
            rows.append(
                FrontierRow(
                    context=context,
                    quantile=quantile,
                    theta_bits=variant.theta_bits,
                    bytes_per_symbol=raw_bytes / max(1, sum(map(len, encoding[: len(chosen)]))),
                    distance=float(np.median(found)),
                    low=low,
                    high=high,
                )
            )
    return rows


def neural_variants(
    compressor: NeuralCompressor, context: str, documents: Documents, raw_bytes: int
) -> Iterator[tuple[float, NeuralCompressor]]:
    """(quantile, compressor) with the byte LM of `compressor`; θ from the scores of the first `raw_bytes` bytes.

    None for pairs where the compressor has no table of them.
    """
    settings = _settings(compressor.settings, context)
    score = compressor.score
    if context != PAIRS:
        score = score_of_sample(settings, compressor.model, documents)
    elif compressor.settings.boundary_score != "pair_surprisal":
        return
    cached = CachedScores(score, documents.raw, documents.offsets)
    base = NeuralCompressor(compressor.model, cached, settings, 0.0, threads=compressor.coder.threads)
    thetas_bits = _thetas(cached.bits[:raw_bytes])
    book = _shared_book(base, thetas_bits, documents)
    for quantile, theta_bits in zip(QUANTILES, thetas_bits, strict=True):
        yield quantile, base.variant(theta_bits=theta_bits, book=book)


def _settings(settings: NeuralSettings, context: str) -> NeuralSettings:
    """The settings of one of CONTEXTS, otherwise as those given."""
    if context == PAIRS:
        changes: dict[str, Any] = {"boundary_score": "pair_surprisal"}
    elif context in (DOCUMENT, DOCUMENT_CODES):
        changes = {"boundary_score": "document_entropy"}
    else:
        changes = {"boundary_score": "context_entropy", "score_context_bytes": int(context)}
    default_bytes = NeuralSettings().score_context_bytes
    changes = {"score_context_bytes": default_bytes, **changes}
    return replace(settings, **changes, context="document" if context == DOCUMENT_CODES else "segment")


def _thetas(bits: np.ndarray) -> list[float]:
    """θ at each of QUANTILES of some scores [n], n ≥ 1."""
    ordered = np.sort(bits)
    return [float(ordered[min(int(quantile * ordered.size), ordered.size - 1)]) for quantile in QUANTILES]


def _shared_book(base: NeuralCompressor, thetas_bits: Sequence[float], documents: Documents) -> Codebook | None:
    """The codes of the segments of all θ: those of one place begin alike, so that the model reads them together.

    None where codes depend on θ or on the document, and nothing can be shared.
    """
    if base.settings.context == "document" or base.score.forbidden_pairs(thetas_bits[0]) is not None:
        return None
    ends = [base.variant(theta_bits=theta_bits).segments(documents)[0] for theta_bits in thetas_bits]
    starts = np.concatenate([starts_of(own) for own in ends])
    segments = ByteSpans(documents.raw, starts, np.concatenate(ends))
    segments = segments.take(distinct(segments)[0])
    book = Codebook()
    if len(segments):
        book.insert(segments, base.coder.codes(segments))
    return book
