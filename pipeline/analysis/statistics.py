"""What a finished dataset holds, in numbers.

    DecodedBatch ──┬─ per compressor  symbols, segments, lengths          ──► CompressorRow, Histogram
                   ├─ per language    documents, bytes, symbols           ──► LanguageRow
                   └─ scores          the column, or the boundary score's ──► Histogram

Memory is bounded by the languages and compressors of the dataset, not by its documents.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.analysis.findings import CompressorRow, Histogram, LanguageRow, Statistics
from pipeline.analysis.histograms import HistogramCounter
from pipeline.analysis.one_pass import DecodedBatch
from schemas.batches import Documents, first_bytes
from schemas.encodings import list_parts
from schemas.errors import DatasetError
from schemas.manifest import Manifest
from schemas.shards import ENTROPY

MAX_SCORE_BITS = 16.0
SCORE_BIN_BITS = 0.25
MODEL_SCORED_BYTES = 1 << 22
"""Scores that only the byte LM can compute are counted over about this many bytes, the first ones of every batch."""
MAX_LENGTH_BIN = 40
"""Lengths in bytes from here on are one bin."""
MAX_SYMBOLS_BIN = 8
"""Numbers of symbols from here on are one bin."""
RATIO_BIN, MAX_RATIO = 0.01, 64.0
"""Bytes per symbol of a document are counted in bins of this width, so that their quartiles need no list of them."""
QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredBytes:
    """What the boundaries of a dataset's neural encoding are cut at."""

    quantity: str
    """`surprisal` where pairs of bytes decide, `entropy` where the byte LM does."""
    theta_bits: float
    """A boundary precedes every byte whose score is above this."""
    needs_model: bool
    """Whether the byte LM has to read the bytes, which is slow; if not, a table holds every score."""
    of: Callable[[Documents], np.ndarray]
    """float32 [n_bytes] in bits, of every byte of some documents. A byte's score depends on what precedes it alone."""


class _LanguageCounts:
    """Documents of one language in one encoding."""

    def __init__(self) -> None:
        self.documents = self.raw_bytes = self.symbols = 0
        self.ratios = HistogramCounter(0.0, RATIO_BIN, int(MAX_RATIO / RATIO_BIN), open_ended=True)

    def add(self, raw_bytes: np.ndarray, symbols: np.ndarray) -> None:
        """Count documents by their lengths in bytes and in symbols, both int64 [n]."""
        self.documents += raw_bytes.size
        self.raw_bytes += int(raw_bytes.sum())
        self.symbols += int(symbols.sum())
        self.ratios.add(raw_bytes / np.maximum(1, symbols))


class StatisticsCounter:
    """Collects the Statistics of a dataset."""

    def __init__(self, manifest: Manifest, scored: ScoredBytes | None = None) -> None:
        """scored: what boundaries are cut at; None for a dataset without the neural compressor."""
        self._manifest, self._scored = manifest, scored
        self._documents = self._raw_bytes = 0
        alphabets = {name: manifest.compressors[name]["alphabet_size"] for name in sorted(manifest.compressors)}
        self._symbols = {name: np.zeros(size, np.int64) for name, size in alphabets.items()}
        self._segments = dict.fromkeys(alphabets, 0)
        self._languages: dict[tuple[str, str], _LanguageCounts] = defaultdict(_LanguageCounts)
        self._scores = HistogramCounter(0.0, SCORE_BIN_BITS, int(MAX_SCORE_BITS / SCORE_BIN_BITS), open_ended=True)
        self._lengths: dict[tuple[str, str], HistogramCounter] = {}
        for name in alphabets:
            self._lengths["segment_bytes", name] = HistogramCounter(1.0, 1.0, MAX_LENGTH_BIN, open_ended=True)
            self._lengths["segment_symbols", name] = HistogramCounter(1.0, 1.0, MAX_SYMBOLS_BIN, open_ended=True)
            self._lengths["window_bytes", name] = HistogramCounter(1.0, 1.0, MAX_LENGTH_BIN, open_ended=True)

    def add(self, batch: DecodedBatch) -> None:
        """Count the documents of a batch."""
        raw_bytes = np.diff(batch.documents.offsets)
        self._documents += raw_bytes.size
        self._raw_bytes += int(raw_bytes.sum())
        known = sorted(set(batch.languages))
        language_of = np.searchsorted(known, batch.languages) if known else np.empty(0, np.int64)
        for name in self._symbols:
            self._count_pieces(name, batch)
            symbols = np.diff(batch.encoding(name).symbol_offsets)
            for i, language in enumerate(known):
                own = language_of == i
                self._languages[language, name].add(raw_bytes[own], symbols[own])
        bits = self._score_bits(batch)
        if bits is not None:
            self._scores.add(bits)

    def result(self) -> Statistics:
        """The Statistics of all batches; DatasetError unless they hold what the manifest says."""
        self._check()
        return Statistics(
            documents=self._documents,
            raw_bytes=self._raw_bytes,
            compressors=tuple(self._compressor_row(name) for name in self._symbols),
            languages=tuple(self._language_rows()),
            histograms=tuple(self._histograms()),
        )

    def _count_pieces(self, name: str, batch: DecodedBatch) -> None:
        pieces, counts = batch.pieces(name), self._symbols[name]
        counts += np.bincount(batch.encoding(name).symbols, minlength=counts.size)
        self._segments[name] += pieces.segment_bytes.size
        self._lengths["segment_bytes", name].add(pieces.segment_bytes)
        self._lengths["segment_symbols", name].add(pieces.segment_symbols)
        if pieces.window_bytes is not None:
            self._lengths["window_bytes", name].add(pieces.window_bytes)

    def _score_bits(self, batch: DecodedBatch) -> np.ndarray | None:
        """Scores float32 of the bytes of a batch, or of its first ones where they are slow to compute."""
        if self._scored is None:
            return None
        if ENTROPY in batch.rows.schema.names:
            return list_parts(batch.rows[ENTROPY], ENTROPY)[0]
        if not self._scored.needs_model:
            return self._scored.of(batch.documents)
        limit_bytes = MODEL_SCORED_BYTES // max(1, len(self._manifest.shards))
        return self._scored.of(first_bytes(batch.documents, limit_bytes))

    def _check(self) -> None:
        totals = self._manifest.totals
        counted = {"documents": self._documents, "raw bytes": self._raw_bytes}
        stated = {"documents": totals.written, "raw bytes": totals.raw_bytes}
        for name, counts in self._symbols.items():
            counted[f"{name} symbols"], stated[f"{name} symbols"] = int(counts.sum()), totals.symbols[name]
        for what, value in stated.items():
            if counted[what] != value:
                raise DatasetError(
                    f"the shards hold {counted[what]} {what}, the manifest says {value}: write them again"
                )

    def _compressor_row(self, name: str) -> CompressorRow:
        counts = self._symbols[name]
        symbols, segments = int(counts.sum()), self._segments[name]
        shares = counts[counts > 0] / max(1, symbols)
        return CompressorRow(
            compressor=name,
            alphabet=counts.size,
            alphabet_used=int(shares.size),
            symbols=symbols,
            segments=segments,
            bytes_per_symbol=self._raw_bytes / max(1, symbols),
            bytes_per_segment=self._raw_bytes / max(1, segments),
            unigram_bits_per_byte=float(-(shares * np.log2(shares)).sum()) * symbols / max(1, self._raw_bytes),
        )

    def _language_rows(self) -> Iterator[LanguageRow]:
        by_size = sorted(self._languages, key=lambda pair: (-self._languages[pair].raw_bytes, pair))
        for language, name in by_size:
            group = self._languages[language, name]
            low, middle, high = (group.ratios.quantile(share) for share in QUARTILES)
            yield LanguageRow(
                language=language,
                compressor=name,
                documents=group.documents,
                raw_bytes=group.raw_bytes,
                symbols=group.symbols,
                bytes_per_symbol=group.raw_bytes / max(1, group.symbols),
                low=low,
                middle=middle,
                high=high,
            )

    def _histograms(self) -> Iterator[Histogram]:
        if self._scored is not None and self._scores.counts.any():
            yield self._scores.histogram(f"{self._scored.quantity}_bits", "neural")
        for (quantity, name), counter in self._lengths.items():
            # A segment that is a whole document, or always one symbol, has no distribution worth a picture.
            whole = self._segments[name] <= self._documents
            if not whole and np.count_nonzero(counter.counts) > 1:
                yield counter.histogram(quantity, name)
