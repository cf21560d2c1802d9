"""Segments against plain loops."""

from __future__ import annotations

from unittest import mock

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernels import segmentation
from kernels.segmentation import segment, segment_by_pairs


@given(
    st.lists(st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0]), max_size=30), max_size=5),
    st.integers(1, 9),
    st.sampled_from([0, 1, 4]),
    st.sampled_from([None, -1.0, 0.0, 1.0, 2.5]),
)
def test_segments_are_those_of_the_definition(
    documents: list[list[float]], longest: int, every: int, jump: float | None
) -> None:
    entropies = np.array([value for document in documents for value in document], np.float32)
    offsets = np.concatenate(([0], np.cumsum([len(document) for document in documents]))).astype(np.int64)
    ends, segment_offsets = segment(
        entropies, offsets, theta_bits=1.5, max_segment_bytes=longest, jump_bits=jump, cut_every_bytes=every
    )
    expected, counts = [], [0]
    for document, start in zip(documents, offsets[:-1].tolist(), strict=True):
        begin = 0
        for t in range(1, len(document)):
            peak = document[t] > 1.5
            if jump is not None:
                peak = peak and document[t] - document[t - 1] > jump and t > 1
            if peak or t - begin == longest or (every and t % every == 0):
                expected.append(start + t)
                begin = t
        expected += [start + len(document)] if document else []
        counts.append(len(expected))
    assert (ends.tolist(), segment_offsets.tolist()) == (expected, counts)


@given(
    st.lists(st.sampled_from([0.0, 0.5, 1.5, 3.0]), min_size=1, max_size=40),
    st.sampled_from([0.25, 1.0]),
    st.sampled_from([0.0, 0.75]),
)
def test_a_jump_cuts_where_byte_latent_transformer_does(scores: list[float], theta: float, jump: float) -> None:
    """Its rule as facebookresearch/blt computes it: a mask that is filled at once, from itself as it was before."""
    entropies = torch.tensor([scores])
    mask = torch.zeros_like(entropies, dtype=torch.bool)
    mask[:, 0] = True
    rises = entropies[:, 1:] - entropies[:, :-1]
    mask[:, 1:] = (rises > jump) & (entropies[:, 1:] > theta) & ~mask[:, :-1]
    theirs = set(np.flatnonzero(mask.numpy()[0]).tolist()) - {0}
    offsets = np.array([0, len(scores)])
    ends, _ = segment(np.array(scores, np.float32), offsets, theta_bits=theta, max_segment_bytes=255, jump_bits=jump)
    assert set(ends.tolist()) - {len(scores)} == theirs


@given(
    st.lists(st.lists(st.integers(0, 3), max_size=40), max_size=5),
    st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3))),
    st.integers(1, 9),
    st.integers(1, 5),
)
def test_where_pairs_decide_the_segments_are_the_same(
    documents: list[list[int]], pairs: set[tuple[int, int]], longest: int, block: int
) -> None:
    raw = np.array([byte for document in documents for byte in document], np.uint8)
    offsets = np.concatenate(([0], np.cumsum([len(document) for document in documents]))).astype(np.int64)
    cuts = np.zeros((256, 256), bool)
    for a, b in pairs:
        cuts[a, b] = True
    scores = cuts[np.roll(raw, 1), raw].astype(np.float32)
    expected = segment(scores, offsets, theta_bits=0.5, max_segment_bytes=longest)
    # As plain Python, since a compiled loop keeps the constant that it was compiled with.
    with mock.patch.multiple(
        segmentation, _BLOCK_BYTES=block, _segment_by_pairs=segmentation._segment_by_pairs.py_func
    ):
        plain = segment_by_pairs(raw, offsets, cuts, max_segment_bytes=longest)
    for found in (plain, segment_by_pairs(raw, offsets, cuts, max_segment_bytes=longest)):
        assert [each.tolist() for each in found] == [each.tolist() for each in expected]
