"""The same byte LM over boundary rules and θ: how short its encodings are, and how far they move under edits.

    texts, 10 % of the characters deleted ── for each rule, for each θ ──► bytes per symbol, distance

Many variants on little text: the first of the texts, each cut shorter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from kernels.boundary_score import BoundaryScore, CachedScores, DocumentEntropy
from kernels.byte_spans import ByteSpans, starts_of
from kernels.codebook import Codebook
from kernels.prefix_coding import PrefixCoder
from kernels.string_table import distinct
from kernels.window_coder import encode_windows
from pipeline.analysis.edits import edited
from pipeline.analysis.findings import FrontierRow
from pipeline.analysis.stability import distances, median_interval, symbols_of
from pipeline.analysis.texts import Texts
from pipeline.compressors.neural.coder import SegmentCoder, block_ends
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
    variants = Variants(compressor, both, raw_bytes)
    rows = []
    for context in CONTEXTS:
        for quantile, variant in variants.of(context):
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


class Variants:
    """Compressors with the byte LM of one, all for the same documents; what they have in common is computed once.

    In common are the scores of a context, the codes of segments that depend on the segment alone, and the intervals of
    bytes that depend on the document alone.
    """

    def __init__(self, compressor: NeuralCompressor, documents: Documents, raw_bytes: int) -> None:
        """documents: the only ones that are compressed. raw_bytes: of them, the first, whose scores θ comes from."""
        self.compressor, self.documents, self.raw_bytes = compressor, documents, raw_bytes
        self._book = Codebook()

    def of(self, context: str) -> Iterator[tuple[float, NeuralCompressor]]:
        """(quantile, compressor) for each of QUANTILES; none for pairs where the compressor has no table of them."""
        settings = _settings(self.compressor.settings, context)
        scores = self._scores(context, settings)
        if scores is None:
            return
        threads = self.compressor.coder.threads
        base = NeuralCompressor(self.compressor.model, scores, settings, 0.0, threads=threads)
        thetas_bits = _thetas(scores.bits[: self.raw_bytes])
        whole = settings.context == "document"
        # Where pairs of bytes decide, codes know which bytes a θ allows, and nothing can be shared.
        shared = not whole and scores.forbidden_pairs(0.0) is None
        if shared:
            self._learn(base, thetas_bits)
        for quantile, theta_bits in zip(QUANTILES, thetas_bits, strict=True):
            variant = base.variant(theta_bits=theta_bits, book=self._book if shared else None)
            if whole:
                variant.coder = self._whole_documents
            yield quantile, variant

    def _scores(self, context: str, settings: NeuralSettings) -> CachedScores | None:
        if context == PAIRS:
            has_pairs = self.compressor.settings.boundary_score == "pair_surprisal"
            return self._cached(self.compressor.score) if has_pairs else None
        if context in (DOCUMENT, DOCUMENT_CODES):
            return self._document_scores
        return self._cached(score_of_sample(settings, self.compressor.model, self.documents))

    def _cached(self, score: BoundaryScore) -> CachedScores:
        return CachedScores(score, self.documents.raw, self.documents.offsets)

    @cached_property
    def _document_scores(self) -> CachedScores:
        return self._cached(DocumentEntropy(self.compressor.model))

    @cached_property
    def _whole_documents(self) -> _WholeDocuments:
        return _WholeDocuments(self.compressor, self.documents)

    def _learn(self, base: NeuralCompressor, thetas_bits: Sequence[float]) -> None:
        """Code the segments of all θ at once: those of one place begin alike, so that the model reads them together."""
        ends = [base.variant(theta_bits=theta_bits).segments(self.documents)[0] for theta_bits in thetas_bits]
        starts = np.concatenate([starts_of(own) for own in ends])
        segments = ByteSpans(self.documents.raw, starts, np.concatenate(ends))
        segments = segments.take(distinct(segments)[0])
        segments = segments.take(self._book.find(segments)[0] < 0)
        if len(segments):
            self._book.insert(segments, base.coder.codes(segments))


class _WholeDocuments(SegmentCoder):
    """A coder of one set of whole documents. Their bytes' intervals do not depend on segments and are computed once."""

    def __init__(self, compressor: NeuralCompressor, documents: Documents) -> None:
        model, threads, window_bits = compressor.model, compressor.coder.threads, compressor.settings.window_bits
        super().__init__(model, window_bits=window_bits, threads=threads)
        blocks = ByteSpans.from_ends(documents.raw, block_ends(documents.offsets, self.block_bytes))
        self._intervals = PrefixCoder(model, threads=threads, window_bits=window_bits).intervals(blocks)
        self._documents, self._bits = documents, window_bits

    def block_codes(self, documents: Documents, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As SegmentCoder, for the documents that this was made with."""
        assert documents is self._documents, "intervals of other documents"
        return encode_windows(*self._intervals, ends, window_bits=self._bits)


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
    return replace(settings, **changes, jump=None, context="document" if context == DOCUMENT_CODES else "segment")


def _thetas(bits: np.ndarray) -> list[float]:
    """θ at each of QUANTILES of some scores [n], n ≥ 1."""
    ordered = np.sort(bits)
    return [float(ordered[min(int(quantile * ordered.size), ordered.size - 1)]) for quantile in QUANTILES]
