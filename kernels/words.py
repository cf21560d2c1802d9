"""Words: stretches of text that no token reaches across, so that each distinct one is tokenized once.

A tokenizer joins neighbouring pieces only into pieces of its vocabulary. Where byte b follows byte a in no piece, no
token can hold both, and the text up to a is tokenized as if it ended there:

    pieces "for" " x" " in" "in" "(" "self" …      no piece holds "x " or "f("  ──►  …"for"│" x"│" in"│" self"│"("…

For BPE that is exact, whatever the merges, since it looks at the vocabulary alone. A unigram model sums scores in
float32 from the text's beginning, so a tie between two ways to cut a word can be decided in another way in a whole
text. Tokens here are always a function of the word, as neural codes are of the segment, and one kind of codebook serves
both.
"""

from __future__ import annotations

import numpy as np

from kernels.byte_spans import ByteSpans, span_indices
from kernels.compiled import compiled

CONTINUATION_BYTES = slice(0x80, 0xC0)
"""Second to fourth bytes of a character in UTF-8."""


def joined_pairs(pieces: ByteSpans) -> np.ndarray:
    """bool [256, 256]: whether byte b follows byte a in some piece of a vocabulary, or inside some character."""
    joined = np.zeros((256, 256), np.bool_)
    joined[:, CONTINUATION_BYTES] = True
    pieces = pieces.take(pieces.lengths > 1)
    second = span_indices(pieces.starts + 1, pieces.lengths - 1)
    joined[pieces.data[second - 1], pieces.data[second]] = True
    return joined


@compiled(inline="always")
def _is_at(raw, t, end, alone):
    """Whether raw[t:end] begins with the bytes `alone`, uint8."""
    if t + alone.size > end:
        return False
    k = 0
    while k < alone.size and raw[t + k] == alone[k]:
        k += 1
    return k == alone.size


@compiled()
def _cut_words(raw, offsets, joined, alone, ends, word_offsets):
    """Write the ends int64 [n bytes] and word_offsets int64 [documents + 1]; returns the number of words."""
    n = 0
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        for t in range(start + 1, end):
            cut = not joined[raw[t - 1], raw[t]]
            if not cut and raw[t] == alone[0]:
                cut = _is_at(raw, t, end, alone)
            if not cut and raw[t - 1] == alone[-1] and t - alone.size >= start:
                cut = _is_at(raw, t - alone.size, end, alone)
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
    uint8 [1 or more], one character that is a word of its own wherever it occurs.
    """
    ends = np.empty(raw.size, np.int64)
    word_offsets = np.zeros(offsets.size, np.int64)
    n = _cut_words(raw, offsets, joined, alone, ends, word_offsets)
    return ends[:n].copy(), word_offsets
