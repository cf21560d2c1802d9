"""How surprising a byte is after the byte before it: the score that boundaries are cut at by default.

    S_t = −log2 p(b_t | b_{t−1}),   p(b | a) = (n(ab) + p(b)) / (n(a) + 1),   p(b) = (n(b) + 1) / (N + 256)

with the counts of a sample, where n(a) counts the places of a that have a byte behind them. The first byte of a
document has −log2 p(b). S_t is a function of two bytes, so an edit moves no boundary but those it touches. Words,
names and indentation are runs of likely pairs and stay whole, which is why there are few distinct segments. Scores are
rounded to 1/1024 bit, so that the last digits of a logarithm decide nothing.
"""

from __future__ import annotations

import numpy as np
from numba import njit

SCORE_STEPS_PER_BIT = 1024
TABLE_SIZE = 256 + 256 * 256
"""Scores of first bytes, then of pairs in the order of their two bytes."""


@njit(cache=True, nogil=True)
def _count(raw, offsets, singles, pairs):
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        for t in range(start, end):
            singles[raw[t]] += 1
            if t > start:
                pairs[raw[t - 1], raw[t]] += 1


def pair_surprisals(raw: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The table float32 [TABLE_SIZE], in bits, of a sample: uint8 [n], offsets int64 [documents + 1]."""
    singles, pairs = np.zeros(256, np.int64), np.zeros((256, 256), np.int64)
    _count(raw, offsets, singles, pairs)
    p = (singles + 1) / (singles.sum() + 256)
    p_after = (pairs + p) / (pairs.sum(1, keepdims=True) + 1)
    bits = -np.log2(np.concatenate((p[None], p_after)).ravel())
    return (np.round(bits * SCORE_STEPS_PER_BIT) / SCORE_STEPS_PER_BIT).astype(np.float32)


def pair_names() -> list[bytes]:
    """What each entry of the table is about: a first byte, or two bytes, the second of which is scored."""
    return [bytes([b]) for b in range(256)] + [bytes([a, b]) for a in range(256) for b in range(256)]


@njit(cache=True, nogil=True)
def _score(raw, offsets, table, out):
    for document in range(offsets.size - 1):
        row = np.int64(0)
        for t in range(offsets[document], offsets[document + 1]):
            byte = np.int64(raw[t])
            out[t] = table[row + byte]
            row = 256 + 256 * byte


class PairSurprisals:
    """S_t of every byte of any documents, from a table. Safe to share between threads."""

    def __init__(self, table: np.ndarray) -> None:
        if table.size != TABLE_SIZE:
            raise ValueError(f"{table.size} surprisals, 256 first bytes and 65,536 pairs have {TABLE_SIZE}")
        self.table = table.astype(np.float32)

    @property
    def is_dense(self) -> bool:
        """Whether every score is in the table from the start, so that no model is asked."""
        return True

    def boundary_pairs(self, theta_bits: float) -> np.ndarray:
        """bool [256, 256]: the pairs of bytes between which a boundary stands."""
        return self.table[256:].reshape(256, 256) > np.float32(theta_bits)

    def scores(self, raw: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """S float32 [n], in bits; raw uint8 [n], offsets int64 [documents + 1]."""
        out = np.empty(raw.size, np.float32)
        _score(raw, offsets, self.table, out)
        return out
