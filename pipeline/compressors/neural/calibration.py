"""From a target such as quantile=0.73 to a number of bits: θ and δ, found on the first bytes of a sample.

Both are functions of the sample, the score and the settings alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from kernels.boundary_score import BoundaryScore, CachedScores
from pipeline.compressors.neural.compressor import NeuralCompressor
from pipeline.compressors.neural.settings import JumpTarget
from schemas.batches import Documents, first_bytes
from schemas.errors import SettingsError

CALIBRATION_BYTES = 4 << 20
"""Text that θ and δ are calibrated on, at most."""
CODING_CALIBRATION_BYTES = 1 << 19
"""Text that θ is calibrated on where every try codes it anew, for bytes_per_symbol."""
BISECTIONS = 12
"""Halvings of the range in which θ is searched."""


class ScoredBeginnings:
    """The beginning of a sample, in as many bytes as are asked for, with its scores; each length is scored once."""

    def __init__(self, score: BoundaryScore, documents: Documents) -> None:
        """documents: the whole sample. Nothing is scored yet."""
        self._score, self._documents = score, documents
        self._known: dict[int, tuple[Documents, CachedScores]] = {}

    def first(self, limit_bytes: int) -> tuple[Documents, CachedScores]:
        """The first documents, up to a limit in bytes, the last of which may be cut, and their scores."""
        if limit_bytes not in self._known:
            documents = first_bytes(self._documents, limit_bytes)
            self._known[limit_bytes] = documents, CachedScores(self._score, documents.raw, documents.offsets)
        return self._known[limit_bytes]


def theta_of(compressor: NeuralCompressor, beginnings: ScoredBeginnings) -> float:
    """θ in bits that meets the compressor's `settings.theta`; SettingsError where no θ meets it.

    compressor: with the jump that it shall have; its own θ is not read. beginnings: scored by its score.
    """
    target = compressor.settings.theta
    if target.kind == "bits":
        return target.value
    coded = target.kind == "bytes_per_symbol"
    documents, score = beginnings.first(CODING_CALIBRATION_BYTES if coded else CALIBRATION_BYTES)
    if target.kind == "quantile":
        return quantile(score.bits, target.value)

    def mean_segment_bytes(theta_bits: float) -> float:
        ends, _ = compressor.variant(score=score, theta_bits=theta_bits).segments(documents)
        return documents.raw.size / max(1, ends.size)

    def bytes_per_symbol(theta_bits: float) -> float:
        encoding = compressor.variant(score=score, theta_bits=theta_bits).compress(documents)
        return documents.raw.size / max(1, encoding.symbols.size)

    return _bisect(bytes_per_symbol if coded else mean_segment_bytes, target.value, float(score.bits.max(initial=8.0)))


def jump_of(target: JumpTarget, beginnings: ScoredBeginnings) -> float:
    """δ in bits that meets a target, from the rises S_t − S_{t−1} within documents; 0 where there is no rise."""
    if target.kind == "bits":
        return target.value
    documents, score = beginnings.first(CALIBRATION_BYTES)
    is_first = np.zeros(score.bits.size + 1, bool)
    is_first[documents.offsets] = True
    rises = np.diff(score.bits)[~is_first[1:-1]]
    return quantile(rises, target.value) if rises.size else 0.0


def quantile(values: np.ndarray, share: float) -> float:
    """The value at place ⌊(n − 1) · share⌋ of n sorted ones, n at least 1; of numpy's quantiles the one it calls lower.

    Not numpy's: it computes the place in the type of the values in one release and in float64 in another, and a place
    further can be another θ.
    """
    place = math.floor((values.size - 1) * share)
    return float(np.partition(values, place)[place])


def _bisect(measure: Callable[[float], float], goal: float, high: float) -> float:
    """The smallest θ tried, between 0 and `high`, whose measure, which grows with θ, reaches the goal."""
    low, without_boundary = 0.0, measure(high)
    if without_boundary < goal:
        raise SettingsError(
            f"--theta cannot reach {goal:g}: without any boundary the sample gives {without_boundary:.2f}; ask for less"
        )
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if measure(middle) >= goal else (middle, high)
    return high
