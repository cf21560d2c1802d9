"""What boundaries are cut at: one number for every byte, in bits, in three kinds.

    PairSurprisal    −log2 p of a byte after the byte before it, by a sample's counts of pairs    a table, no model
    ContextEntropy   H of a byte under the byte LM, given 1 to 8 bytes before it (context_entropy.py)
    DocumentEntropy  H of a byte under the byte LM, given its document before it                  no table

The score of a byte depends on its document up to that byte alone. PairSurprisal, in full:

    S_t = −log2 p(b_t | b_{t−1}),   p(b | a) = (n(ab) + p(b)) / (n(a) + 1),   p(b) = (n(b) + 1) / (N + 256)

with the counts n of a sample of N bytes, where n(a) counts the places of a that have a byte behind them. The first byte
of a document has −log2 p(b). S_t is a function of two bytes, so an edit moves no boundary but those it touches. Words,
names and indentation are runs of likely pairs and stay whole, which is why there are few distinct segments.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from kernels.byte_model import ByteModel
from kernels.byte_windows import scored_logits
from kernels.compiled import compiled

SCORE_STEPS_PER_BIT = 1024
"""Scores are rounded to 2^-10 bit, so that the last digits of a logarithm decide nothing."""
PAIR_TABLE_SIZE = 256 + 256 * 256
"""Scores of first bytes, then of pairs in the order of their two bytes."""


class BoundaryScore(Protocol):
    """Scores of bytes, in bits. Safe to share between threads."""

    @property
    def needs_model(self) -> bool:
        """Whether bytes may be scored that the model has to read first; if not, a table tells every score."""
        ...

    def scores(self, raw: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """float32 [n], in bits, of every byte of some documents: raw uint8 [n], offsets int64 [documents + 1]."""
        ...

    def forbidden_pairs(self, theta_bits: float) -> np.ndarray | None:
        """bool [256, 256]: where byte b never follows byte a inside a segment, since its score is above θ there.

        None where pairs of bytes alone decide nothing.
        """
        ...

    def table(self) -> tuple[list[bytes], np.ndarray]:
        """What is kept of the score beside the model: n strings, and float32 [n] in bits for each."""
        ...


@compiled()
def _count(raw, offsets, singles, pairs):
    """Add the bytes of all documents to singles int64 [256], and those after another byte to pairs int64 [256, 256]."""
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        for t in range(start, end):
            singles[raw[t]] += 1
            if t > start:
                pairs[raw[t - 1], raw[t]] += 1


@compiled()
def _score(raw, offsets, bits, out):
    """Write S_t of every byte into out float32 [n]; bits float32 [PAIR_TABLE_SIZE]."""
    for document in range(offsets.size - 1):
        row = np.int64(0)
        for t in range(offsets[document], offsets[document + 1]):
            byte = np.int64(raw[t])
            out[t] = bits[row + byte]
            row = 256 + 256 * byte


class PairSurprisal:
    """S_t of every byte of any documents, from a table of all pairs."""

    needs_model = False

    def __init__(self, bits: np.ndarray) -> None:
        """bits: float32 [PAIR_TABLE_SIZE], of `of_sample` or the second array of `table`; ValueError for others."""
        if bits.size != PAIR_TABLE_SIZE:
            raise ValueError(f"{bits.size} surprisals, 256 first bytes and 65,536 pairs have {PAIR_TABLE_SIZE}")
        self.bits = bits.astype(np.float32)

    @classmethod
    def of_sample(cls, raw: np.ndarray, offsets: np.ndarray) -> PairSurprisal:
        """The score by the counts of a sample: raw uint8 [N], offsets int64 [documents + 1]."""
        singles, pairs = np.zeros(256, np.int64), np.zeros((256, 256), np.int64)
        _count(raw, offsets, singles, pairs)
        p = (singles + 1) / (singles.sum() + 256)
        p_after = (pairs + p) / (pairs.sum(1, keepdims=True) + 1)
        bits = -np.log2(np.concatenate((p[None], p_after)).ravel())
        return cls(np.round(bits * SCORE_STEPS_PER_BIT) / SCORE_STEPS_PER_BIT)

    def scores(self, raw: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """S float32 [n], in bits; raw uint8 [n], offsets int64 [documents + 1]."""
        out = np.empty(raw.size, np.float32)
        _score(raw, offsets, self.bits, out)
        return out

    def forbidden_pairs(self, theta_bits: float) -> np.ndarray:
        """bool [256, 256]: the pairs of bytes whose second one has a score above θ, and so begins a segment."""
        return self.bits[256:].reshape(256, 256) > np.float32(theta_bits)

    def table(self) -> tuple[list[bytes], np.ndarray]:
        """Every first byte and every pair, of which the second byte is scored, with their bits."""
        names = [bytes([b]) for b in range(256)] + [bytes([a, b]) for a in range(256) for b in range(256)]
        return names, self.bits


class DocumentEntropy:
    """H of every byte given its document before it: at least the model's `attention_bytes` of it, where it has them."""

    needs_model = True

    def __init__(self, model: ByteModel) -> None:
        self._model = model

    def scores(self, raw: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """H float32 [n], in bits; raw uint8 [n], offsets int64 [documents + 1]. The model reads every byte twice."""
        out = np.empty(raw.size, np.float32)
        for outputs, places in scored_logits(self._model, raw, offsets):
            out[places] = self._model.entropies_bits(outputs).cpu().numpy()
        return out

    def forbidden_pairs(self, theta_bits: float) -> None:
        """None: what the model says depends on more than the byte before."""

    def table(self) -> tuple[list[bytes], np.ndarray]:
        """Nothing: the model is all there is."""
        return [], np.empty(0, np.float32)


class CachedScores:
    """A score of one set of documents, computed once, for what is tried over many thresholds."""

    def __init__(self, score: BoundaryScore, raw: np.ndarray, offsets: np.ndarray) -> None:
        """raw uint8 [n], offsets int64 [documents + 1]: the only documents that can be scored."""
        self._score, self._raw = score, raw
        self.bits = score.scores(raw, offsets)
        """float32 [n], in bits."""

    needs_model = False

    def scores(self, raw: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """The scores, float32 [n] in bits, of the documents that the cache was made with."""
        assert raw is self._raw or np.array_equal(raw, self._raw), "scores of other documents"
        return self.bits

    def forbidden_pairs(self, theta_bits: float) -> np.ndarray | None:
        """As the score that is cached."""
        return self._score.forbidden_pairs(theta_bits)

    def table(self) -> tuple[list[bytes], np.ndarray]:
        """As the score that is cached."""
        return self._score.table()
