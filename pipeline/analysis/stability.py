"""How far a text's symbols move when some of its characters change.

    text ── edited ──► text'       distance = Levenshtein(c(text), c(text')) / longer of both, over symbols
      │ c                │ c       (token ids, windows, bytes), between 0 and 1
      ▼                  ▼
    symbols           symbols'     medians over texts, with a bootstrap interval

A compressor whose distance is near that of the bytes themselves (raw) is stable. Distances are those of each text, not
of all texts together; the paper (arXiv 2602.04289) measures stability in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from rapidfuzz.distance import Levenshtein

from kernels.bootstrap import bootstrap_interval
from kernels.counter_rng import key
from pipeline.analysis.edits import KINDS, edited
from pipeline.analysis.findings import CONFIDENCE, StabilityRow
from pipeline.analysis.seeds import Purpose
from pipeline.analysis.texts import Texts
from pipeline.compressors.base import Compressor
from schemas.batches import Documents

SHARES = (0.01, 0.05, 0.10, 0.20)
"""Shares of the characters that are edited."""
RESAMPLES = 1000
"""Bootstrap resamples of a median."""


def stability_rows(
    compressors: Mapping[str, Compressor],
    texts: Texts,
    *,
    kinds: Sequence[str] = KINDS,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
) -> list[StabilityRow]:
    """A row per kind of edit, share of characters and compressor, raw bytes last; `texts` holds at least one."""
    names = [*compressors, "raw"]
    before = {name: symbols_of_texts(compressors.get(name), [text for _, text in texts]) for name in names}
    raw_bytes = sum(len(text.encode()) for _, text in texts)
    rows = []
    for kind in kinds:
        for share in shares:
            changed = [edited(text, kind=kind, share=share, seed=seed, name=name) for name, text in texts]
            for name in names:
                values = distances(before[name], symbols_of_texts(compressors.get(name), changed))
                low, high = median_interval(values, seed)
                rows.append(
                    StabilityRow(
                        compressor=name,
                        kind=kind,
                        share=share,
                        documents=len(texts),
                        bytes_per_symbol=raw_bytes / max(1, sum(map(len, before[name]))),
                        distance=float(np.median(values)),
                        low=low,
                        high=high,
                        mean=float(values.mean()),
                        standard_error=float(values.std(ddof=1) / values.size**0.5) if values.size > 1 else 0.0,
                    )
                )
    return rows


def symbols_of_texts(compressor: Compressor | None, texts: Sequence[str]) -> list[list[int]]:
    """The symbols of every text; its UTF-8 bytes where `compressor` is None."""
    if compressor is None:
        return [list(text.encode()) for text in texts]
    return symbols_of(compressor, Documents.from_bytes([text.encode() for text in texts]))


def symbols_of(compressor: Compressor, documents: Documents) -> list[list[int]]:
    """The symbols of every document, compressed in one call."""
    encoding = compressor.compress(documents)
    bounds = encoding.symbol_offsets
    return [encoding.symbols[bounds[i] : bounds[i + 1]].tolist() for i in range(len(documents))]


def distances(before: Sequence[Sequence[int]], after: Sequence[Sequence[int]]) -> np.ndarray:
    """Levenshtein distance float64 [n] of each pair over the length of the longer one; 0 for two empty ones."""
    return np.array([Levenshtein.normalized_distance(a, b) for a, b in zip(before, after, strict=True)])


def median_interval(values: np.ndarray, seed: int) -> tuple[float, float]:
    """The bootstrap interval, of CONFIDENCE, of the median of values float64 [n], n ≥ 1."""
    random = np.random.Generator(np.random.Philox(key=key(seed, Purpose.BOOTSTRAP)))
    return bootstrap_interval(values, np.median, random, resamples=RESAMPLES, confidence=CONFIDENCE)
