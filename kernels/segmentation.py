"""Where segments end: a score above a threshold, perhaps a rise of it above another, and a maximum length.

A boundary stands before byte t of a document where its score S_t, in bits, is above θ; a segment that would grow past
`max_segment_bytes` ends there. Where the score is a pure function of few bytes, an edit moves boundaries only near
itself.

With a jump δ a boundary needs S_t > θ and S_t − S_{t−1} > δ, and none stands after a document's first byte: what the
code of Byte Latent Transformer does (arXiv 2412.09871, facebookresearch/blt, "global and monotonicity").

Where a pair of bytes alone decides, `segment_by_pairs` gives the same segments in two fifths of the time: no score is
written down, and no branch waits for one.
"""

from __future__ import annotations

import numpy as np

from kernels.compiled import compiled

_BLOCK_BYTES = 1 << 11
"""Text whose boundaries wait in the nearest cache."""


@compiled()
def _segment(scores, offsets, theta_bits, jump_bits, jumps, max_segment_bytes, cut_every, ends, segment_offsets):
    """Write the ends into int64 [n bytes] and the offsets [documents + 1]; returns the number of segments.

    jumps: whether jump_bits counts.
    """
    n = 0
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        begin = start
        for t in range(start + 1, end):
            cut = scores[t] > theta_bits
            if jumps:
                cut = cut and scores[t] - scores[t - 1] > jump_bits and t - start > 1
            if cut or t - begin >= max_segment_bytes or (cut_every > 0 and (t - start) % cut_every == 0):
                ends[n] = t
                n += 1
                begin = t
        if end > start:
            ends[n] = end
            n += 1
        segment_offsets[document + 1] = n
    return n


def segment(
    scores: np.ndarray,
    offsets: np.ndarray,
    *,
    theta_bits: float,
    max_segment_bytes: int,
    jump_bits: float | None = None,
    cut_every_bytes: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Segment ends int64 [m] (over the whole run of bytes) and segment_offsets int64 [documents + 1].

    scores: float32 [n], in bits, of `kernels.boundary_score`; offsets: int64 [documents + 1].
    jump_bits: δ, or None where the score alone decides. `cut_every_bytes` > 0 also cuts at every multiple of it from
    the document's head, which whole-document coding needs at its blocks.
    """
    ends = np.empty(scores.size, np.int64)
    segment_offsets = np.zeros(offsets.size, np.int64)
    theta, jump = np.float32(theta_bits), np.float32(jump_bits or 0.0)
    jumps = jump_bits is not None
    n = _segment(scores, offsets, theta, jump, jumps, max_segment_bytes, cut_every_bytes, ends, segment_offsets)
    return ends[:n].copy(), segment_offsets


@compiled()
def _segment_by_pairs(raw, offsets, cuts, max_segment_bytes, ends, segment_offsets):
    """As `_segment`; cuts: uint8 [256, 256]."""
    found = np.empty(_BLOCK_BYTES, np.int64)
    n = 0
    for document in range(offsets.size - 1):
        begin, stop = offsets[document], offsets[document + 1]
        for block in range(begin + 1, stop, _BLOCK_BYTES):
            m = 0
            # Every place is written, and kept or written over: a branch here would be guessed wrong at most boundaries.
            for t in range(block, min(block + _BLOCK_BYTES, stop)):
                found[m] = t
                m += cuts[raw[t - 1], raw[t]]
            for k in range(m):
                while found[k] - begin > max_segment_bytes:
                    begin += max_segment_bytes
                    ends[n] = begin
                    n += 1
                begin = found[k]
                ends[n] = begin
                n += 1
        while begin < stop:
            begin = min(begin + max_segment_bytes, stop)
            ends[n] = begin
            n += 1
        segment_offsets[document + 1] = n
    return n


def segment_by_pairs(
    raw: np.ndarray, offsets: np.ndarray, cuts: np.ndarray, *, max_segment_bytes: int
) -> tuple[np.ndarray, np.ndarray]:
    """What `segment` gives where the score of a byte is above θ exactly if `cuts` says so of it and the byte before.

    raw: uint8 [n]; offsets: int64 [documents + 1]; cuts: bool [256, 256].
    """
    ends = np.empty(raw.size, np.int64)
    segment_offsets = np.zeros(offsets.size, np.int64)
    n = _segment_by_pairs(raw, offsets, cuts.view(np.uint8), max_segment_bytes, ends, segment_offsets)
    return ends[:n].copy(), segment_offsets


@compiled()
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
