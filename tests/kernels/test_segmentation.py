"""Segments against plain loops, and entropies from tables and memos against the model asked one by one."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import entropy_memo
from kernels.entropy_memo import EntropyMemo, context_entropies, distinct_contexts
from kernels.prefix_coding import PrefixCoder
from kernels.segmentation import dense_contexts, dense_entropies, segment
from tests.kernels.micro_lm import flat, micro_lm

MODEL = micro_lm()
TEXTS = [b"hello, hello", b"\x00", b"abcabcabcabd" * 4, b"zz"]


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


@pytest.mark.parametrize("context_bytes", [1, 2])
def test_tables_hold_every_context(context_bytes: int) -> None:
    contexts = dense_contexts(context_bytes)
    table = np.arange(len(contexts), dtype=np.float32)
    number = {context: i for i, context in enumerate(contexts)}
    raw, starts, ends = flat(TEXTS)
    found = dense_entropies(raw, np.concatenate((starts, ends[-1:])), table, context_bytes)
    expected = [number[text[max(0, t - context_bytes) : t]] for text in TEXTS for t in range(len(text))]
    assert found.tolist() == expected


@pytest.mark.parametrize("context_bytes", [3, 5, 8])
@pytest.mark.parametrize("known", [False, True])
def test_a_memo_gives_what_the_model_gives(context_bytes: int, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entropy_memo, "MAX_ENTRIES", 3)
    raw, starts, ends = flat(TEXTS)
    offsets = np.concatenate((starts, ends[-1:]))
    reader = PrefixCoder(MODEL)
    contexts = distinct_contexts(raw, offsets, context_bytes) if known else []
    bits = context_entropies(contexts, reader) if known else np.empty(0, np.float32)
    memo = EntropyMemo(context_bytes, contexts, bits)
    expected = context_entropies([t[max(0, i - context_bytes) : i] for t in TEXTS for i in range(len(t))], reader)
    found: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: found.append(memo.entropies(raw, offsets, PrefixCoder(MODEL))))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.tolist() for each in found] == [expected.tolist()] * 3
