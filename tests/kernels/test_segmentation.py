"""Segments against plain loops."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kernels.segmentation import segment


@given(
    st.lists(st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0]), max_size=30), max_size=5),
    st.integers(1, 9),
    st.sampled_from([0, 1, 4]),
)
def test_segments_are_those_of_the_definition(documents: list[list[float]], longest: int, every: int) -> None:
    entropies = np.array([value for document in documents for value in document], np.float32)
    offsets = np.concatenate(([0], np.cumsum([len(document) for document in documents]))).astype(np.int64)
    ends, segment_offsets = segment(
        entropies, offsets, theta_bits=1.5, max_segment_bytes=longest, cut_every_bytes=every
    )
    expected, counts = [], [0]
    for document, start in zip(documents, offsets[:-1].tolist(), strict=True):
        begin = 0
        for t in range(1, len(document)):
            if document[t] > 1.5 or t - begin == longest or (every and t % every == 0):
                expected.append(start + t)
                begin = t
        expected += [start + len(document)] if document else []
        counts.append(len(expected))
    assert (ends.tolist(), segment_offsets.tolist()) == (expected, counts)
