"""Words: stretches of text that no token reaches across, so that each distinct one is tokenized once.

A tokenizer joins neighbouring pieces only into pieces of its vocabulary. Where bytes a and b stand side by side in no
piece, no token can hold both, and what stands before them is tokenized as if what stands behind them were not there:

    pieces "for" " x" " in" "in" "(" "self" …      no piece holds "x " or "f("  ──►  …"for"│" x"│" in"│" self"│"("…

For BPE that is exact, whatever the merges, since it looks at the vocabulary alone. A unigram model sums scores in
float32 from the text's beginning, so its ties can fall otherwise in a whole text; a word's tokens are still a likeliest
way to spell it. So tokens are a function of the word, as neural codes are of the segment, and one codebook serves both.
"""

from __future__ import annotations

import numpy as np
from numba import njit

CONTINUATION_BYTES = slice(0x80, 0xC0)
"""Second to fourth bytes of a character in UTF-8."""


def joined_pairs(pieces: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """bool [256, 256]: whether byte b stands behind byte a in some piece, or inside some character.

    pieces: uint8 [n_bytes], all pieces end to end; starts, lengths: int64 [n_pieces].
    """
    joined = np.zeros((256, 256), np.bool_)
    joined[:, CONTINUATION_BYTES] = True
    inside = np.ones(pieces.size, np.bool_)
    inside[starts[lengths > 0]] = False
    behind = np.flatnonzero(inside)
    joined[pieces[behind - 1], pieces[behind]] = True
    return joined


@njit(cache=True, nogil=True, inline="always")
def _stands_at(raw, t, end, alone):
    if t + alone.size > end:
        return False
    k = 0
    while k < alone.size and raw[t + k] == alone[k]:
        k += 1
    return k == alone.size


@njit(cache=True, nogil=True)
def _cut_words(raw, offsets, joined, alone, ends, word_offsets):
    n = 0
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        for t in range(start + 1, end):
            cut = not joined[raw[t - 1], raw[t]]
            if not cut and raw[t] == alone[0]:
                cut = _stands_at(raw, t, end, alone)
            if not cut and raw[t - 1] == alone[-1] and t - alone.size >= start:
                cut = _stands_at(raw, t - alone.size, end, alone)
            if cut:
                ends[n] = t
                n += 1
        if end > start:
            ends[n] = end
            n += 1
        word_offsets[document + 1] = n
    return n


def cut_words(
    raw: np.ndarray, offsets: np.ndarray, joined: np.ndarray, alone: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Word ends int64 [m] over the whole run of bytes, and word_offsets int64 [documents + 1].

    raw: uint8 [n]; offsets: int64 [documents + 1]; joined: bool [256, 256], `joined_pairs` of the vocabulary. alone:
    uint8 [1 or more], one character that is a word of its own wherever it stands.
    """
    ends = np.empty(raw.size, np.int64)
    word_offsets = np.zeros(offsets.size, np.int64)
    n = _cut_words(raw, offsets, joined, alone, ends, word_offsets)
    return ends[:n].copy(), word_offsets
