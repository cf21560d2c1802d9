"""How the byte LM's work grows with a corpus, measured on the shards of a finished dataset.

    shards ── documents ──► segments ── in how many documents is each? ──► bytes and number of the distinct ones that
    half, 0.7 and all of the documents are expected to hold ──► a line through their logarithms: Growth

A segment is read once per process as long as its cache remembers it, so the model's work is the growth of a vocabulary
(Heaps' law), started from what the codebook already holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kernels.byte_spans import ByteSpans
from kernels.prefix_trie import build_trie, sort_strings
from kernels.string_table import distinct
from pipeline.job.compress_unit import BATCH_BYTES
from schemas.encodings import encoding_of
from schemas.errors import DatasetError
from schemas.held_out import hash_share
from schemas.manifest import Manifest
from schemas.shard_files import open_shards
from schemas.shards import DOC_ID, RAW, documents_from_array

MAX_FIT_BYTES = 34 << 20
"""Text that the fit looks at, at most: about 30 bytes of memory for each."""
MIN_SEGMENTS = 8
FIT_SHARES = np.array([0.5, 0.7, 1.0])
"""Of the documents, where the law is fitted: growth slows with size, so what is near the end tells what follows."""

MAX_LOGARITHM = 700.0
"""Of a number of bytes; above, a float overflows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerLaw:
    """scale · corpus_bytes ^ exponent."""

    scale: float
    exponent: float

    @classmethod
    def fit(cls, x: np.ndarray, y: np.ndarray) -> PowerLaw:
        """The exponent by least squares in logarithms, the scale by the last point, from which one goes on.

        x and y are float64 [n ≥ 2], positive, x rising.
        """
        exponent = float(np.polyfit(np.log(x), np.log(y), 1)[0])
        return cls(scale=float(y[-1] / x[-1] ** exponent), exponent=exponent)

    def at(self, corpus_bytes: float) -> float:
        """The law's value."""
        return self.scale * corpus_bytes**self.exponent if corpus_bytes > 0 else 0.0

    def inverse(self, value: float) -> float:
        """The corpus bytes at which the law has this value; infinite where it hardly grows."""
        if self.exponent <= 0 or self.scale <= 0 or value <= 0:
            return math.inf
        logarithm = math.log(value / self.scale) / self.exponent
        return math.exp(logarithm) if logarithm < MAX_LOGARITHM else math.inf


@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """Distinct segments of B bytes of a corpus, its documents drawn at random."""

    fit_bytes: int
    """Text that was looked at."""
    segment_bytes: PowerLaw
    """Bytes of the distinct segments."""
    segments: PowerLaw
    """Their number."""
    prefixes_per_byte: float
    """Prefixes that the model reads per byte of new distinct segments, which come in windows of `BATCH_BYTES`."""

    def prefixes_read(
        self, corpus_bytes: float, *, known_bytes: float, processes: int, room_segments: float
    ) -> tuple[float, float]:
        """(prefixes that all processes read, corpus bytes after which a process's cache is full and begins again).

        Each process sees an equal part of the corpus and knows the segments of `known_bytes` of it from the start.
        """
        part_bytes = max(0.0, corpus_bytes - known_bytes) / processes
        if not part_bytes:
            return 0.0, math.inf
        cycle_bytes = self.segments.inverse(self.segments.at(known_bytes) + room_segments) - known_bytes
        full, rest = divmod(part_bytes, cycle_bytes)
        new_bytes = self._new_bytes(known_bytes, rest)
        if full:
            new_bytes += full * self._new_bytes(known_bytes, cycle_bytes)
        return min(1.0, self.prefixes_per_byte) * processes * new_bytes, cycle_bytes

    def _new_bytes(self, known_bytes: float, more_bytes: float) -> float:
        return self.segment_bytes.at(known_bytes + more_bytes) - self.segment_bytes.at(known_bytes)


def measure_growth(directory: str, manifest: Manifest, *, most_bytes: int = MAX_FIT_BYTES) -> Growth:
    """Fit the growth of a dataset's neural segments; DatasetError where it holds too little text for a line."""
    segments, documents = _segments(directory, manifest, most_bytes)
    firsts, group = distinct(segments)
    if firsts.size < MIN_SEGMENTS:
        raise DatasetError(f"{directory} has {firsts.size} distinct segments, too few for a plan; preprocess more text")
    # In how many documents a segment occurs decides whether a random part of them has it.
    pairs = np.unique(group * (int(documents[-1]) + 1) + documents)
    occurs_in = np.bincount(pairs // (int(documents[-1]) + 1), minlength=firsts.size)
    held = 1 - (1 - FIT_SHARES[:, None]) ** np.arange(1, occurs_in.max() + 1)
    corpus = FIT_SHARES * segments.data.size
    sizes = segments.lengths[firsts]
    bytes_by_count = np.bincount(occurs_in, weights=sizes)[1:]
    return Growth(
        fit_bytes=int(segments.data.size),
        segment_bytes=PowerLaw.fit(corpus, held @ bytes_by_count),
        segments=PowerLaw.fit(corpus, held @ np.bincount(occurs_in)[1:]),
        prefixes_per_byte=_prefixes_per_byte(segments.take(firsts)),
    )


def _segments(directory: str, manifest: Manifest, most_bytes: int) -> tuple[ByteSpans, np.ndarray]:
    """Segments of about `most_bytes` of documents in the order of a hash, and the number of each one's document,
    int64 [segments]."""
    share = most_bytes / max(1, manifest.totals.raw_bytes)
    chosen: list[tuple[float, np.ndarray, np.ndarray]] = []
    for batch in open_shards(directory):
        texts = documents_from_array(batch[RAW])
        encoding = encoding_of(batch, "neural", texts)
        for i, doc_id in enumerate(batch[DOC_ID].to_pylist()):
            rank = hash_share("plan", doc_id)
            if rank <= share:
                ends = encoding.raw_ends[encoding.segment_offsets[i] : encoding.segment_offsets[i + 1]]
                text = texts.raw[texts.offsets[i] : texts.offsets[i + 1]]
                chosen.append((rank, text.copy(), ends.astype(np.int64)))
    chosen.sort(key=lambda document: document[0])
    if not chosen:
        raise DatasetError(f"{directory} holds no text; preprocess some first")
    raw = np.concatenate([text for _, text, _ in chosen])
    before = np.cumsum([0, *(text.size for _, text, _ in chosen)])
    ends = np.concatenate([own + start for (_, _, own), start in zip(chosen, before[:-1], strict=True)])
    documents = np.repeat(np.arange(len(chosen)), [own.size for _, _, own in chosen])
    return ByteSpans.from_ends(raw, ends), documents


def _prefixes_per_byte(segments: ByteSpans) -> float:
    """Inner nodes of the trie of the segments that the last batch (or half) adds, per byte of them."""
    raw_bytes = segments.data.size
    new = segments.take(segments.ends > raw_bytes - min(BATCH_BYTES, raw_bytes // 2))
    if not len(new):
        return 1.0
    return build_trie(new.take(sort_strings(new))).inner_nodes / int(new.lengths.sum())
