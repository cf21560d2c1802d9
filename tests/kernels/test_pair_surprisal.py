"""Surprisals of pairs against the definition in plain Python, and how far an edit reaches."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.pair_surprisal import TABLE_SIZE, PairSurprisals, pair_names, pair_surprisals
from kernels.segmentation import segment
from schemas.batches import Documents

SAMPLE = [b"the law, the lore", b"", b"a", b"\x00\xff\x00\xff", "né\n".encode() * 3]
NUMBER = {name: i for i, name in enumerate(pair_names())}
texts = st.lists(st.binary(max_size=12) | st.text("ab ", max_size=12).map(str.encode), max_size=6)


def table_of(sample: list[bytes]) -> np.ndarray:
    """The table of a sample."""
    documents = Documents.from_bytes(sample)
    return pair_surprisals(documents.raw, documents.offsets)


def slow_bits(sample: list[bytes], name: bytes) -> float:
    """One entry, from the formula in the module's docstring."""
    singles, pairs = Counter(b"".join(sample)), Counter(pair for text in sample for pair in pairwise(text))
    p = (singles[name[-1]] + 1) / (singles.total() + 256)
    if len(name) == 1:
        return -math.log2(p)
    behind = sum(count for (a, _), count in pairs.items() if a == name[0])
    return -math.log2((pairs[name[0], name[1]] + p) / (behind + 1))


@given(texts, st.binary(min_size=1, max_size=2))
def test_every_entry_is_that_of_the_definition(sample: list[bytes], name: bytes) -> None:
    assert table_of(sample)[NUMBER[name]] == pytest.approx(slow_bits(sample, name), abs=0.51 / 1024)


@given(texts)
def test_probabilities_after_every_byte_sum_to_one(sample: list[bytes]) -> None:
    sums = np.exp2(-table_of(sample).astype(np.float64)).reshape(257, 256).sum(1)
    assert np.abs(sums - 1).max() < 1e-3


def test_names_and_entries_go_together() -> None:
    assert len(NUMBER) == TABLE_SIZE == table_of([]).size
    assert (pair_names()[7], pair_names()[256 + 256 * 65 + 66]) == (b"\x07", b"AB")
    assert table_of([]).tolist() == [8.0] * TABLE_SIZE


def test_scores_are_kept_to_a_thousandth_of_a_bit() -> None:
    scaled = table_of(SAMPLE) * 1024
    assert (scaled == np.round(scaled)).all()
    assert table_of([b"ab" * 50])[NUMBER[b"ab"]] == pytest.approx(
        -math.log2((50 + 101 / 356 - 50 / 356) / 51), abs=1e-3
    )


@given(texts)
def test_a_score_is_a_function_of_two_bytes(documents: list[bytes]) -> None:
    table = table_of(SAMPLE)
    batch = Documents.from_bytes(documents)
    found = PairSurprisals(table).scores(batch.raw, batch.offsets)
    expected = [float(table[NUMBER[text[max(0, t - 1) : t + 1]]]) for text in documents for t in range(len(text))]
    assert found.tolist() == expected


@given(st.binary(min_size=2, max_size=60), st.data(), st.floats(2, 9))
def test_an_edit_moves_no_boundary_that_it_does_not_touch(text: bytes, data: st.DataObject, theta_bits: float) -> None:
    at = data.draw(st.integers(0, len(text) - 1))
    scorer = PairSurprisals(table_of(SAMPLE))

    def ends(edited: bytes) -> set[int]:
        offsets = np.array([0, len(edited)], np.int64)
        scores = scorer.scores(np.frombuffer(edited, np.uint8), offsets)
        return set(segment(scores, offsets, theta_bits=theta_bits, max_segment_bytes=255)[0].tolist())

    before, after = ends(text), ends(text[:at] + text[at + 1 :])
    assert {end for end in before if end < at} == {end for end in after if end < at}
    assert {end - 1 for end in before if end > at + 1} == {end for end in after if end > at}


@given(st.floats(0, 12))
def test_boundary_pairs_are_those_that_are_cut(theta_bits: float) -> None:
    scorer, text = PairSurprisals(table_of(SAMPLE)), np.frombuffer(b"".join(SAMPLE), np.uint8)
    offsets = np.array([0, text.size], np.int64)
    cut = scorer.boundary_pairs(theta_bits)[text[:-1], text[1:]]
    ends, _ = segment(scorer.scores(text, offsets), offsets, theta_bits=theta_bits, max_segment_bytes=255)
    assert (np.flatnonzero(cut) + 1).tolist() == ends[:-1].tolist()


def test_a_table_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="3 surprisals, 256 first bytes and 65,536 pairs have 65792"):
        PairSurprisals(np.zeros(3, np.float32))
