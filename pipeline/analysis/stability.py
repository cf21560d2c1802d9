"""How far a text's symbols move when some of its characters change.

    text ── edited ──► text'       distance = Levenshtein(c(text), c(text')) / longer of both, over symbols
      │ c                │ c       (token ids, windows, bytes), between 0 and 1
      ▼                  ▼
    symbols           symbols'     medians over texts, with a bootstrap interval

A compressor whose distance is near that of the characters themselves (raw) is stable. Source: design section 3, paper
section on stability; the distance of each text, not of all texts together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Levenshtein

from kernels.counter_rng import key
from pipeline.analysis.edits import KINDS, edited
from pipeline.analysis.texts import Texts
from pipeline.compressors.base import Compressor
from schemas.batches import Documents

SHARES = (0.01, 0.05, 0.10, 0.20)
RESAMPLES = 1000
CONFIDENCE = 0.95
PURPOSE = 0x57AB


@dataclass(frozen=True, kw_only=True, slots=True)
class StabilityRow:
    """One compressor under one kind and share of edits."""

    compressor: str
    kind: str
    share: float
    """Of the characters."""
    documents: int
    bytes_per_symbol: float
    """Of the texts before editing."""
    distance: float
    """Median over texts."""
    low: float
    high: float
    """95 % bootstrap interval of the median."""
    mean: float
    standard_error: float
    """Of the mean."""


def stability_rows(
    compressors: Mapping[str, Compressor],
    texts: Texts,
    *,
    kinds: Sequence[str] = KINDS,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
) -> list[StabilityRow]:
    """A row per compressor (and one for raw bytes), kind and share; `texts` at least one."""
    names = [*compressors, "raw"]
    before = {name: spelled(compressors.get(name), [text for _, text in texts]) for name in names}
    raw_bytes = sum(len(text.encode()) for _, text in texts)
    rows = []
    for kind in kinds:
        for share in shares:
            changed = [edited(text, kind=kind, share=share, seed=seed, name=name) for name, text in texts]
            for name in names:
                found = distances(before[name], spelled(compressors.get(name), changed))
                low, high = median_interval(found, seed)
                rows.append(
                    StabilityRow(
                        compressor=name,
                        kind=kind,
                        share=share,
                        documents=len(texts),
                        bytes_per_symbol=raw_bytes / max(1, sum(map(len, before[name]))),
                        distance=float(np.median(found)),
                        low=low,
                        high=high,
                        mean=float(found.mean()),
                        standard_error=float(found.std(ddof=1) / found.size**0.5) if found.size > 1 else 0.0,
                    )
                )
    return rows


def spelled(compressor: Compressor | None, texts: Sequence[str]) -> list[list[int]]:
    """The symbols of every text; its bytes where there is no compressor."""
    if compressor is None:
        return [list(text.encode()) for text in texts]
    return symbols_of(compressor, Documents.from_bytes([text.encode() for text in texts]))


def symbols_of(compressor: Compressor, documents: Documents) -> list[list[int]]:
    """The symbols of every document, by one call."""
    encoding = compressor.compress(documents)
    bounds = encoding.symbol_offsets
    return [encoding.symbols[bounds[i] : bounds[i + 1]].tolist() for i in range(len(documents))]


def distances(before: Sequence[Sequence[int]], after: Sequence[Sequence[int]]) -> np.ndarray:
    """Normalised Levenshtein distance float64 [n] of each pair; 0 for two empty ones."""
    return np.array([Levenshtein.normalized_distance(a, b) for a, b in zip(before, after, strict=True)])


def median_interval(values: np.ndarray, seed: int) -> tuple[float, float]:
    """The 95 % bootstrap interval of the median of values [n], n ≥ 1."""
    random = np.random.Generator(np.random.Philox(key=key(seed, PURPOSE)))
    medians = np.median(values[random.integers(0, values.size, (RESAMPLES, values.size))], axis=1)
    tail = (1 - CONFIDENCE) / 2
    return float(np.quantile(medians, tail)), float(np.quantile(medians, 1 - tail))
