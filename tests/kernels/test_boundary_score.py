"""Boundary scores: pairs against the definition in plain Python, how far an edit reaches, and the three as one type."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.boundary_score import PAIR_TABLE_SIZE, BoundaryScore, CachedScores, DocumentEntropy, PairSurprisal
from kernels.context_entropy import ContextEntropy
from kernels.prefix_coding import PrefixCoder
from kernels.segmentation import segment
from schemas.batches import Documents
from tests.kernels.micro_lm import micro_lm

SAMPLE = [b"the law, the lore", b"", b"a", b"\x00\xff\x00\xff", "né\n".encode() * 3]
MODEL = micro_lm()
texts = st.lists(st.binary(max_size=12) | st.text("ab ", max_size=12).map(str.encode), max_size=6)


def of(sample: list[bytes]) -> PairSurprisal:
    """The score of a sample."""
    documents = Documents.from_bytes(sample)
    return PairSurprisal.of_sample(documents.raw, documents.offsets)


def table_of(sample: list[bytes]) -> np.ndarray:
    """Its bits."""
    return of(sample).bits


NUMBER = {name: i for i, name in enumerate(of([]).table()[0])}


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
    assert len(NUMBER) == PAIR_TABLE_SIZE == table_of([]).size
    names, _ = of([]).table()
    assert (names[7], names[256 + 256 * 65 + 66]) == (b"\x07", b"AB")
    assert table_of([]).tolist() == [8.0] * PAIR_TABLE_SIZE


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
    found = PairSurprisal(table).scores(batch.raw, batch.offsets)
    expected = [float(table[NUMBER[text[max(0, t - 1) : t + 1]]]) for text in documents for t in range(len(text))]
    assert found.tolist() == expected


@given(st.binary(min_size=2, max_size=60), st.data(), st.floats(2, 9))
def test_an_edit_moves_no_boundary_that_it_does_not_touch(text: bytes, data: st.DataObject, theta_bits: float) -> None:
    at = data.draw(st.integers(0, len(text) - 1))
    scorer = of(SAMPLE)

    def ends(edited: bytes) -> set[int]:
        offsets = np.array([0, len(edited)], np.int64)
        scores = scorer.scores(np.frombuffer(edited, np.uint8), offsets)
        return set(segment(scores, offsets, theta_bits=theta_bits, max_segment_bytes=255)[0].tolist())

    before, after = ends(text), ends(text[:at] + text[at + 1 :])
    assert {end for end in before if end < at} == {end for end in after if end < at}
    assert {end - 1 for end in before if end > at + 1} == {end for end in after if end > at}


@given(st.floats(0, 12))
def test_forbidden_pairs_are_those_that_are_cut(theta_bits: float) -> None:
    scorer, text = of(SAMPLE), np.frombuffer(b"".join(SAMPLE), np.uint8)
    offsets = np.array([0, text.size], np.int64)
    cut = scorer.forbidden_pairs(theta_bits)[text[:-1], text[1:]]
    ends, _ = segment(scorer.scores(text, offsets), offsets, theta_bits=theta_bits, max_segment_bytes=255)
    assert (np.flatnonzero(cut) + 1).tolist() == ends[:-1].tolist()


def test_a_table_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="3 surprisals, 256 first bytes and 65,536 pairs have 65792"):
        PairSurprisal(np.zeros(3, np.float32))


def scores() -> list[BoundaryScore]:
    """One of each kind, and of each size of table."""
    documents = Documents.from_bytes(SAMPLE)
    coder = PrefixCoder(MODEL)
    contexts = [ContextEntropy.of_sample(size, documents.raw, documents.offsets, coder) for size in (1, 3)]
    return [of(SAMPLE), *contexts, DocumentEntropy(MODEL)]


@pytest.mark.parametrize("number", range(4))
def test_a_score_is_cached_for_its_documents_and_kept_by_its_table(number: int) -> None:
    score, batch = scores()[number], Documents.from_bytes([b"the lore of the law", b"", b"a"])
    bits = score.scores(batch.raw, batch.offsets)
    assert (bits.dtype, bits.size) == (np.float32, batch.raw.size)
    cached = CachedScores(score, batch.raw, batch.offsets)
    assert cached.scores(batch.raw, batch.offsets).tolist() == bits.tolist()
    with pytest.raises(AssertionError, match="scores of other documents"):
        cached.scores(batch.raw[1:], np.array([0, batch.raw.size - 1]))
    forbidden = [each.forbidden_pairs(5.0) for each in (score, cached)]
    assert np.array_equal(*forbidden) if forbidden[0] is not None else forbidden == [None, None]
    names, stored = score.table()
    assert len(names) == stored.size
    assert stored.dtype == np.float32
    assert cached.table()[0] == names


def test_only_pairs_forbid_and_only_tables_of_all_contexts_need_no_model() -> None:
    assert [score.forbidden_pairs(5.0) is not None for score in scores()] == [True, False, False, False]
    assert [score.needs_model for score in scores()] == [False, False, True, True]


@pytest.mark.parametrize("number", range(4))
def test_what_follows_a_byte_does_not_change_its_score(number: int) -> None:
    score, text = scores()[number], np.frombuffer(b"".join(SAMPLE), np.uint8)
    whole = score.scores(text, np.array([0, text.size]))
    for end in (0, 1, 7, 20):
        assert score.scores(text[:end], np.array([0, end])).tolist() == whole[:end].tolist()
