"""The same byte LM over boundary rules and θ: how short its encodings are, and how far they move under edits.

    texts, 10 % of the characters deleted ── for each rule, for each θ ──► bytes per symbol, distance

Many variants on little text: the first of the texts, each cut shorter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from kernels.codebook import Codebook
from kernels.entropy_memo import EntropyMemo, context_entropies, table_contexts
from kernels.pair_surprisal import PairSurprisals
from kernels.prefix_coding import PrefixCoder
from kernels.string_table import distinct
from pipeline.analysis.edits import edited
from pipeline.analysis.findings import FrontierRow
from pipeline.analysis.stability import distances, median_interval, symbols_of
from pipeline.analysis.texts import Texts
from pipeline.compressors.neural.artifact import NeuralSettings
from pipeline.compressors.neural.compressor import NeuralCompressor
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
                    theta_bits=variant.config.theta_bits,
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
    """(quantile, compressor) with the byte LM of `compressor`; θ from the scores of the first `raw_bytes` bytes."""
    if context == PAIRS:
        yield from _pair_variants(compressor, documents, raw_bytes)
        return
    size = 0 if context in (DOCUMENT, DOCUMENT_CODES) else int(context)
    memo = None
    if size:
        contexts = table_contexts(documents.raw, documents.offsets, size)
        memo = EntropyMemo(size, contexts, context_entropies(contexts, PrefixCoder(compressor.model)))
    settings = replace(
        compressor.config,
        entropy_context_bytes=size,
        context="document" if context == DOCUMENT_CODES else "segment",
    )
    bits = _variant(compressor, settings, memo, Codebook()).entropies(documents)
    at = [replace(settings, theta_bits=theta_bits) for theta_bits in _thetas(bits[:raw_bytes])]
    known = _Known(bits)
    book = Codebook() if context == DOCUMENT_CODES else _shared_book(compressor, at, known, documents)
    for quantile, own in zip(QUANTILES, at, strict=True):
        yield quantile, _variant(compressor, own, known, book)


def _pair_variants(
    compressor: NeuralCompressor, documents: Documents, raw_bytes: int
) -> Iterator[tuple[float, NeuralCompressor]]:
    """The variants by pairs; none where the compressor has no table of them. Codes know θ, so no book is shared."""
    memo = compressor.memo
    if not isinstance(memo, PairSurprisals):
        return
    scores = memo.scores(documents.raw, documents.offsets)
    settings = replace(compressor.config, entropy_context_bytes=None, context="segment")
    for quantile, theta_bits in zip(QUANTILES, _thetas(scores[:raw_bytes]), strict=True):
        yield quantile, _variant(compressor, replace(settings, theta_bits=theta_bits), memo, Codebook())


def _thetas(bits: np.ndarray) -> list[float]:
    """θ at each of QUANTILES of some scores [n], n ≥ 1."""
    ordered = np.sort(bits)
    return [float(ordered[min(int(quantile * ordered.size), ordered.size - 1)]) for quantile in QUANTILES]


class _Known:
    """The entropies of one batch of documents, read once: they do not depend on θ."""

    def __init__(self, bits: np.ndarray) -> None:
        self._bits = bits

    def entropies(self, raw: np.ndarray, offsets: np.ndarray, reader: PrefixCoder) -> np.ndarray:
        """H float32 [n], in bits, of the documents that the entropies were made of."""
        assert raw.size == self._bits.size, "entropies of other documents"
        return self._bits


def _shared_book(
    compressor: NeuralCompressor, settings: Sequence[NeuralSettings], known: _Known, documents: Documents
) -> Codebook:
    """The codes of the segments of all θ: those of one place begin alike, so that the model reads them together."""
    found = [_variant(compressor, own, known, Codebook()).segments(documents)[0] for own in settings]
    ends = np.concatenate(found)
    starts = np.concatenate([np.concatenate(([0], own[:-1])) for own in found]).astype(np.int64)
    firsts, _ = distinct(documents.raw, starts, ends)
    starts, ends = starts[firsts], ends[firsts]
    book = Codebook()
    if ends.size:
        symbols, window_bytes, symbol_ends = _variant(compressor, settings[0], known, book).code(
            documents.raw, starts, ends
        )
        book.insert(documents.raw, starts, ends, symbols, window_bytes, symbol_ends)
    return book


def _variant(compressor: NeuralCompressor, settings: NeuralSettings, memo: object, book: Codebook) -> NeuralCompressor:
    return NeuralCompressor(
        model=compressor.model,
        lm_digest="",
        settings=settings,
        memo=memo,  # type: ignore[arg-type]
        book=book,
        threads=compressor.threads,
    )
