"""What a finished dataset holds, in numbers: one pass over its shards, memory bounded by languages and compressors.

shards ── record batch ──┬─ per compressor  symbols, segments, lengths    ──► compressor rows, histograms
                         ├─ per language    documents, bytes, symbols     ──► language rows
                         └─ entropies       the column, the table, the LM ──► entropy histogram
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schemas.batches import Documents, Encoding, lengths_within
from schemas.errors import DatasetError
from schemas.manifest import Manifest, open_shards
from schemas.shards import ENTROPY, LANGUAGE, RAW, documents_from_array, encoding_from_array, list_parts

Entropies = Callable[[Documents], np.ndarray]
"""What decides boundaries, float32 [n_bytes] in bits, of every byte of some documents: its entropy or its surprisal."""

MAX_SCORE_BITS = 16.0
SCORE_BIN_BITS = 0.25
ENTROPY_BYTES = 1 << 22
"""Entropies that only the byte LM can tell are counted over this many bytes, the first of every batch."""
MAX_LENGTH_BIN, MAX_COUNT_BIN = 40, 8
RATIO_BIN, MAX_RATIO = 0.01, 64.0
"""Bytes per symbol of a document are counted in bins of this width, so that their quartiles need no list of them."""
QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True, kw_only=True, slots=True)
class CompressorRow:
    """One compressor over the whole corpus."""

    compressor: str
    alphabet: int
    """Symbols that it could use."""
    alphabet_used: int
    """Distinct symbols that it did use."""
    symbols: int
    segments: int
    bytes_per_symbol: float
    bytes_per_segment: float
    unigram_bits_per_byte: float
    """Entropy of the symbols, each on its own, over the raw bytes: what a model of their counts alone would pay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageRow:
    """One compressor over the documents of one language."""

    language: str
    compressor: str
    documents: int
    raw_bytes: int
    symbols: int
    bytes_per_symbol: float
    """All bytes over all symbols."""
    low: float
    """First quartile over documents, rounded down to 0.01."""
    middle: float
    """Median over documents, rounded down to 0.01."""
    high: float
    """Third quartile over documents, rounded down to 0.01."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Histogram:
    """Counts of a quantity in bins of equal width; bin i is [first + i·width, first + (i + 1)·width)."""

    quantity: str
    """entropy_bits or surprisal_bits, segment_bytes, segment_symbols, window_bytes."""
    compressor: str
    first: float
    width: float
    counts: tuple[int, ...]
    open_ended: bool
    """Whether the last bin holds all that is larger too."""
    mean: float
    total: int
    """Values counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """All tables of a corpus."""

    documents: int
    raw_bytes: int
    compressors: tuple[CompressorRow, ...]
    languages: tuple[LanguageRow, ...]
    """By bytes, the largest language first, and by compressor in the manifest's order."""
    histograms: tuple[Histogram, ...]


def corpus_statistics(
    directory: str, manifest: Manifest, entropies: Entropies | None = None, *, entropies_are_cheap: bool = False
) -> Statistics:
    """Count everything in the shards of a finished dataset; DatasetError where the manifest says otherwise.

    `entropies` tells those of a dataset without the entropy column; if it is not cheap it is asked for about
    ENTROPY_BYTES bytes only.
    """
    names = sorted(manifest.compressors)
    tally = _Tally({name: manifest.compressors[name]["alphabet_size"] for name in names}, score_name(manifest))
    limit_bytes = None if entropies_are_cheap else ENTROPY_BYTES // max(1, len(manifest.shards))
    for batch in open_shards(directory):
        tally.add(batch)
        bits = _batch_entropies(batch, entropies, limit_bytes)
        if bits is not None:
            tally.entropy.add(bits)
    tally.check(manifest)
    return tally.statistics()


def score_name(manifest: Manifest) -> str:
    """What the neural compressor cuts at: `surprisal` where byte pairs decide, else `entropy` under the byte LM."""
    settings = manifest.compressors.get("neural", {}).get("settings", {})
    return "surprisal" if settings.get("entropy_context_bytes", 0) is None else "entropy"


def _batch_entropies(batch: pa.RecordBatch, entropies: Entropies | None, limit_bytes: int | None) -> np.ndarray | None:
    if ENTROPY in batch.schema.names:
        return list_parts(batch[ENTROPY], ENTROPY)[0]
    if entropies is None:
        return None
    documents = documents_from_array(batch[RAW])
    if limit_bytes is not None:
        n = int(np.searchsorted(documents.offsets, limit_bytes))
        offsets = np.minimum(documents.offsets[: n + 1], limit_bytes)
        documents = Documents(raw=documents.raw[: offsets[-1]], offsets=offsets)
    return entropies(documents)


class _Counter:
    """A histogram in the making."""

    def __init__(self, first: float, width: float, bins: int, *, open_ended: bool) -> None:
        self.first, self.width, self.open_ended = first, width, open_ended
        self.counts = np.zeros(bins, np.int64)
        self.sum = 0.0

    def add(self, values: np.ndarray) -> None:
        bins = ((values - self.first) / self.width).astype(np.int64)
        self.counts += np.bincount(np.clip(bins, 0, self.counts.size - 1), minlength=self.counts.size)
        self.sum += float(values.sum(dtype=np.float64))

    def quantile(self, share: float) -> float:
        """The lower edge of the bin in which this share of the values is reached."""
        position = np.searchsorted(np.cumsum(self.counts), share * self.counts.sum())
        return round(self.first + self.width * int(min(position, self.counts.size - 1)), 6)

    def histogram(self, quantity: str, compressor: str) -> Histogram:
        total = int(self.counts.sum())
        used = int(np.flatnonzero(self.counts).max(initial=0)) + 1
        return Histogram(
            quantity=quantity,
            compressor=compressor,
            first=self.first,
            width=self.width,
            counts=tuple(self.counts[:used].tolist()),
            open_ended=self.open_ended and used == self.counts.size,
            mean=self.sum / max(1, total),
            total=total,
        )


class _Group:
    """Documents of one language in one encoding."""

    def __init__(self) -> None:
        self.documents = self.raw_bytes = self.symbols = 0
        self.ratios = _Counter(0.0, RATIO_BIN, int(MAX_RATIO / RATIO_BIN), open_ended=True)


class _Tally:
    """Everything that one pass counts."""

    def __init__(self, alphabets: dict[str, int], score: str) -> None:
        self.score = score
        self.documents = self.raw_bytes = 0
        self.symbols = {name: np.zeros(size, np.int64) for name, size in alphabets.items()}
        self.segments = dict.fromkeys(alphabets, 0)
        self.languages: dict[tuple[str, str], _Group] = defaultdict(_Group)
        self.entropy = _Counter(0.0, SCORE_BIN_BITS, int(MAX_SCORE_BITS / SCORE_BIN_BITS), open_ended=True)
        self.lengths: dict[tuple[str, str], _Counter] = {}
        for name in alphabets:
            self.lengths["segment_bytes", name] = _Counter(1.0, 1.0, MAX_LENGTH_BIN, open_ended=True)
            self.lengths["segment_symbols", name] = _Counter(1.0, 1.0, MAX_COUNT_BIN, open_ended=True)
            self.lengths["window_bytes", name] = _Counter(1.0, 1.0, MAX_LENGTH_BIN, open_ended=True)

    def add(self, batch: pa.RecordBatch) -> None:
        lengths = np.diff(documents_from_array(batch[RAW]).offsets)
        self.documents += batch.num_rows
        self.raw_bytes += int(lengths.sum())
        labels = batch[LANGUAGE].to_pylist()
        known = sorted(set(labels))
        group = np.searchsorted(known, labels) if known else np.empty(0, np.int64)
        for name in self.symbols:
            encoding = encoding_from_array(batch[name])
            self._count_encoding(name, encoding)
            counts = np.diff(encoding.symbol_offsets)
            for i, language in enumerate(known):
                self._count_documents(self.languages[language, name], lengths[group == i], counts[group == i])

    @staticmethod
    def _count_documents(group: _Group, lengths: np.ndarray, symbols: np.ndarray) -> None:
        group.documents += lengths.size
        group.raw_bytes += int(lengths.sum())
        group.symbols += int(symbols.sum())
        group.ratios.add(lengths / np.maximum(1, symbols))

    def _count_encoding(self, name: str, encoding: Encoding) -> None:
        self.symbols[name] += np.bincount(encoding.symbols, minlength=self.symbols[name].size)
        self.segments[name] += encoding.raw_ends.size
        pieces = {"segment_bytes": (encoding.raw_ends, encoding.segment_offsets)}
        pieces["segment_symbols"] = (encoding.symbol_ends, encoding.segment_offsets)
        if encoding.window_ends is not None:
            pieces["window_bytes"] = (encoding.window_ends, encoding.symbol_offsets)
        for quantity, (ends, offsets) in pieces.items():
            self.lengths[quantity, name].add(lengths_within(ends, offsets))

    def check(self, manifest: Manifest) -> None:
        """DatasetError unless the manifest's totals are those of the shards."""
        totals = manifest.totals
        found: dict[str, object] = {"documents": self.documents, "raw bytes": self.raw_bytes}
        stated: dict[str, object] = {"documents": totals.written, "raw bytes": totals.raw_bytes}
        for name, counts in self.symbols.items():
            found[f"{name} symbols"], stated[f"{name} symbols"] = int(counts.sum()), totals.symbols[name]
        for what, value in stated.items():
            if found[what] != value:
                raise DatasetError(f"the shards hold {found[what]} {what}, the manifest says {value}: write them again")

    def statistics(self) -> Statistics:
        return Statistics(
            documents=self.documents,
            raw_bytes=self.raw_bytes,
            compressors=tuple(self._compressor(name) for name in self.symbols),
            languages=tuple(self._languages()),
            histograms=tuple(self._histograms()),
        )

    def _compressor(self, name: str) -> CompressorRow:
        counts = self.symbols[name]
        symbols, segments = int(counts.sum()), self.segments[name]
        shares = counts[counts > 0] / max(1, symbols)
        return CompressorRow(
            compressor=name,
            alphabet=counts.size,
            alphabet_used=int(shares.size),
            symbols=symbols,
            segments=segments,
            bytes_per_symbol=self.raw_bytes / max(1, symbols),
            bytes_per_segment=self.raw_bytes / max(1, segments),
            unigram_bits_per_byte=float(-(shares * np.log2(shares)).sum()) * symbols / max(1, self.raw_bytes),
        )

    def _languages(self) -> Iterator[LanguageRow]:
        by_size = sorted(self.languages, key=lambda pair: (-self.languages[pair].raw_bytes, pair))
        for language, name in by_size:
            group = self.languages[language, name]
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
        if self.entropy.counts.any():
            yield self.entropy.histogram(f"{self.score}_bits", "neural")
        for (quantity, name), counter in self.lengths.items():
            # A segment that is a whole document, or always one symbol, has no distribution worth a picture.
            whole = self.segments[name] <= self.documents
            if not whole and np.count_nonzero(counter.counts) > 1:
                yield counter.histogram(quantity, name)
