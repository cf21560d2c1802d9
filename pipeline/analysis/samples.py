"""Sample documents: which ones are shown, and the excerpt of each as its shard encodes it.

    DecodedBatch ── SampleChooser ──► places of documents, drawn by a hash of their ids
    those places ── read_excerpts ──► whole segments from the middle, with the score of every byte ──► Excerpt

Only the record batches of the chosen documents are decoded a second time; keeping every document that might be chosen
would take memory in proportion to the documents' lengths.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from kernels.counter_rng import draws, hash_strings, key
from pipeline.analysis.findings import Excerpt
from pipeline.analysis.one_pass import DecodedBatch
from pipeline.analysis.seeds import Purpose
from pipeline.analysis.statistics import ScoredBytes
from schemas.batches import Documents
from schemas.encodings import encoding_of, symbols_of
from schemas.manifest import Manifest
from schemas.shard_files import KeptShards, read_batches
from schemas.shards import (
    DOC_ID,
    ENTROPY,
    LANGUAGE,
    RAW,
    SOURCE,
    compressor_names,
    documents_from_array,
)

EXCERPT_BYTES = 1200
"""Length of an excerpt, up to the end of the segment in which it is reached."""
MIN_SAMPLE_BYTES = EXCERPT_BYTES // 2
"""A shorter document shows little; it is drawn only where there is no longer one."""
FREE_CHOICES = 2
"""Samples beside those of the largest languages: one that is not plain ASCII, and one of any language."""
MAX_ASCII = 0x7F
NEWLINE = 0x0A


class Place(NamedTuple):
    """Where a document is in a dataset; places are ordered as the documents are."""

    batch: int
    """Number of its record batch, counted from 0 over all shards."""
    row: int
    """Index in the record batch."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class _Candidate:
    """A document in the order in which documents are drawn."""

    is_short: bool
    draw: int
    """uint64 that is a function of the seed and of the document's id."""
    place: Place
    language: str = field(compare=False)
    is_ascii: bool = field(compare=False)


class SampleChooser:
    """Collects the places of documents to show: one of each language, the largest languages first, then any others.

    One of them is not plain ASCII, if the dataset has such a document. Memory is bounded by the number of languages.
    """

    def __init__(self, number: int, seed: int) -> None:
        """number: documents to choose, at least 1."""
        self._number, self._seed = number, seed
        self._batches = 0
        self._first: list[_Candidate] = []
        self._first_of_language: dict[str, _Candidate] = {}
        self._first_not_ascii: _Candidate | None = None
        self._language_bytes: dict[str, int] = {}

    def add(self, batch: DecodedBatch) -> None:
        """Consider the documents of a batch."""
        candidates = self._candidates(batch)
        for candidate, raw_bytes in zip(candidates, np.diff(batch.documents.offsets).tolist(), strict=True):
            language = candidate.language
            self._language_bytes[language] = self._language_bytes.get(language, 0) + raw_bytes
            self._first_of_language[language] = min(candidate, self._first_of_language.get(language, candidate))
            if not candidate.is_ascii:
                self._first_not_ascii = min(candidate, self._first_not_ascii or candidate)
        self._first = sorted([*self._first, *candidates])[: self._number]
        self._batches += 1

    def result(self) -> list[Place]:
        """Places of at most `number` documents, in the order in which they are shown."""
        languages = sorted(self._first_of_language, key=lambda name: (-self._language_bytes[name], name))
        largest = languages[: max(1, self._number - FREE_CHOICES)]
        chosen = [self._first_of_language[name] for name in largest]
        if self._first_not_ascii is not None and all(candidate.is_ascii for candidate in chosen):
            chosen.append(self._first_not_ascii)
        chosen += [candidate for candidate in self._first if candidate not in chosen]
        return [candidate.place for candidate in chosen[: self._number]]

    def _candidates(self, batch: DecodedBatch) -> list[_Candidate]:
        ids = Documents.from_bytes([doc_id.encode() for doc_id in batch.doc_ids])
        drawn = draws(key(self._seed, Purpose.SAMPLES), hash_strings(ids.raw, ids.offsets)).tolist()
        documents = batch.documents
        other_bytes = np.concatenate(([0], np.cumsum(documents.raw > MAX_ASCII)))
        is_ascii = (np.diff(other_bytes[documents.offsets]) == 0).tolist()
        is_short = (np.diff(documents.offsets) < MIN_SAMPLE_BYTES).tolist()
        return [
            _Candidate(
                is_short=is_short[i],
                draw=drawn[i],
                place=Place(self._batches, i),
                language=batch.languages[i],
                is_ascii=is_ascii[i],
            )
            for i in range(len(documents))
        ]


def segmenting_compressor(manifest: Manifest) -> str | None:
    """The compressor whose segments are shown: neural, else the one with most, or None where all are documents."""
    if "neural" in manifest.compressors:
        return "neural"
    segments = {name: sum(shard.segments[name] for shard in manifest.shards) for name in sorted(manifest.compressors)}
    name = max(segments, key=segments.__getitem__, default=None)
    return name if name is not None and segments[name] > manifest.totals.written else None


def read_excerpts(
    dataset: str, places: Sequence[Place], compressor: str, scored: ScoredBytes | None, kept: KeptShards | None = None
) -> list[Excerpt]:
    """The excerpts of some documents of a dataset, in their order; `kept` as in `read_batches`."""
    excerpts: dict[Place, Excerpt] = {}
    numbers = sorted({place.batch for place in places})
    for number, rows in zip(numbers, read_batches(dataset, numbers, kept), strict=True):
        for place in places:
            if place.batch == number:
                excerpts[place] = _excerpt(rows.slice(place.row, 1), compressor, scored)
    return [excerpts[place] for place in places]


def _excerpt(row: pa.RecordBatch, compressor: str, scored: ScoredBytes | None) -> Excerpt:
    documents = documents_from_array(row[RAW])
    raw, encoding = documents.raw, encoding_of(row, compressor, documents)
    ends, symbol_ends = encoding.raw_ends.astype(np.int64), encoding.symbol_ends.astype(np.int64)
    first, last = excerpt_segments(raw, ends)
    start, stop = _before(ends, first), _before(ends, last)
    symbol_start, symbol_stop = _before(symbol_ends, first), _before(symbol_ends, last)
    windows = encoding.window_ends
    return Excerpt(
        doc_id=row[DOC_ID][0].as_py(),
        source=row[SOURCE][0].as_py(),
        language=row[LANGUAGE][0].as_py(),
        compressor=compressor,
        document_bytes=int(raw.size),
        document_symbols=dict(_symbol_counts(row)),
        start=start,
        first_segment=first,
        raw=raw[start:stop].tobytes(),
        score="entropy" if scored is None else scored.quantity,
        theta_bits=0.0 if scored is None else scored.theta_bits,
        score_bits=None if scored is None else _score_bits(row, raw, scored, start, stop),
        segment_ends=tuple((ends[first:last] - start).tolist()),
        symbol_ends=tuple((symbol_ends[first:last] - symbol_start).tolist()),
        symbols=tuple(encoding.symbols[symbol_start:symbol_stop].tolist()),
        window_ends=None
        if windows is None
        else tuple((windows[symbol_start:symbol_stop].astype(np.int64) - start).tolist()),
    )


def excerpt_segments(raw: np.ndarray, ends: np.ndarray) -> tuple[int, int]:
    """Segments [first, last) of about EXCERPT_BYTES, from the start of a line in the middle of a document.

    raw: uint8 [n]; ends: int64 [segments], in bytes. No character is cut in two at either end.
    """
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1])) if ends.size else ends
    begins_character = (raw[starts] & 0xC0) != 0x80
    middle = max(0, (raw.size - EXCERPT_BYTES) // 2)
    newlines = np.flatnonzero(raw[:middle] == NEWLINE)
    line = int(newlines[-1]) + 1 if newlines.size else 0
    possible = np.flatnonzero(begins_character & (starts >= line))
    first = int(possible[0]) if possible.size else 0
    last = int(np.searchsorted(ends, starts[first] + EXCERPT_BYTES)) + 1 if ends.size else 0
    while last < ends.size and not begins_character[last]:
        last += 1
    return first, min(last, int(ends.size))


def _before(ends: np.ndarray, index: int) -> int:
    """Where the piece with this index begins, from the ends of all pieces."""
    return int(ends[index - 1]) if index else 0


def _symbol_counts(row: pa.RecordBatch) -> Iterator[tuple[str, int]]:
    for name in sorted(compressor_names(row.schema)):
        yield name, int(symbols_of(row, name)[0].size)


def _score_bits(row: pa.RecordBatch, raw: np.ndarray, scored: ScoredBytes, start: int, stop: int) -> tuple[float, ...]:
    """Scores of the bytes from start to stop of the only document of a row."""
    if ENTROPY in row.schema.names:
        bits = np.asarray(row[ENTROPY][0].values)
    else:
        # The score of a byte depends on what precedes it alone, so the rest of the document is not scored.
        bits = scored.of(Documents(raw=raw[:stop], offsets=np.array([0, stop], np.int64)))
    return tuple(bits[start:stop].astype(np.float64).tolist())
