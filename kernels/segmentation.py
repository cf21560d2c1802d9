"""Where segments end: a score above a threshold, and a maximum length.

A boundary stands before byte t of a document where its score, in bits, is above θ; a segment that would grow past
`max_segment_bytes` ends there. The score is the byte's surprisal after the byte before it (`pair_surprisal.py`), or its
entropy H_t given a few bytes before it: a pure function of few bytes, so an edit moves boundaries only near itself.
"""

from __future__ import annotations

import numpy as np
from numba import njit

DENSE_CONTEXT_BYTES = 2
"""Up to this many bytes of context the entropies of all contexts fit one table."""


def dense_table_size(context_bytes: int) -> int:
    """Entries of a dense table over all contexts of 0 … context_bytes bytes."""
    return sum(256**length for length in range(context_bytes + 1))


def dense_contexts(context_bytes: int) -> list[bytes]:
    """All contexts of 0 … context_bytes bytes in the table's order: by length, then by value, big-endian."""
    return [value.to_bytes(length, "big") for length in range(context_bytes + 1) for value in range(256**length)]


@njit(cache=True, nogil=True)
def _dense(raw, offsets, table, context_bytes, out):
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        base, context = 0, 0
        size = 1
        for t in range(start, end):
            out[t] = table[base + context]
            if t - start < context_bytes:
                base += size
                size *= 256
            context = ((context << 8) | raw[t]) % size


def dense_entropies(raw: np.ndarray, offsets: np.ndarray, table: np.ndarray, context_bytes: int) -> np.ndarray:
    """H_t of every byte, float32 [n] in bits, from a dense table.

    raw: uint8 [n]; offsets: int64 [documents + 1]; table: float32 [dense_table_size(context_bytes)]. At the head of a
    document the context is what there is.
    """
    if table.size != dense_table_size(context_bytes):
        raise ValueError(f"entropy table has {table.size} entries, {context_bytes} bytes of context need another size")
    out = np.empty(raw.size, np.float32)
    _dense(raw, offsets, table, context_bytes, out)
    return out


@njit(cache=True, nogil=True)
def _segment(entropies, offsets, theta_bits, max_segment_bytes, cut_every, ends, segment_offsets):
    n = 0
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        begin = start
        for t in range(start + 1, end):
            cut = entropies[t] > theta_bits or t - begin >= max_segment_bytes
            if cut or (cut_every > 0 and (t - start) % cut_every == 0):
                ends[n] = t
                n += 1
                begin = t
        if end > start:
            ends[n] = end
            n += 1
        segment_offsets[document + 1] = n
    return n


def segment(
    entropies: np.ndarray, offsets: np.ndarray, *, theta_bits: float, max_segment_bytes: int, cut_every_bytes: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Segment ends int64 [m] (over the whole run of bytes) and segment_offsets int64 [documents + 1].

    entropies: float32 [n], the scores in bits, surprisals or entropies; offsets: int64 [documents + 1].
    `cut_every_bytes` > 0 also cuts at every multiple of it from the document's head, which whole-document coding needs
    at its blocks.
    """
    ends = np.empty(entropies.size, np.int64)
    segment_offsets = np.zeros(offsets.size, np.int64)
    n = _segment(entropies, offsets, np.float32(theta_bits), max_segment_bytes, cut_every_bytes, ends, segment_offsets)
    return ends[:n].copy(), segment_offsets


@njit(cache=True, nogil=True)
def _ends_within(ends, offsets, origins, out):
    for document in range(offsets.size - 1):
        for k in range(offsets[document], offsets[document + 1]):
            out[k] = ends[k] - origins[document]


def ends_within(ends: np.ndarray, offsets: np.ndarray, origins: np.ndarray) -> np.ndarray:
    """Ends over a batch as ends in their documents, uint32 [m].

    ends: int64 [m], of which offsets[i] to offsets[i + 1] are of document i, which begins at origins[i]; offsets and
    origins int64 [documents + 1].
    """
    out = np.empty(ends.size, np.uint32)
    _ends_within(ends, offsets, origins, out)
    return out
