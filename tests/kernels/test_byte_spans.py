"""Strings and codes in flat arrays against lists of Python's."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kernels.byte_spans import ByteSpans, Codes, span_indices, starts_of

strings = st.lists(st.binary(max_size=5), max_size=8)


@given(strings, st.integers(0, 3))
def test_strings_go_into_spans_and_come_back(texts: list[bytes], start: int) -> None:
    spans = ByteSpans.from_bytes(texts)
    assert len(spans) == len(texts)
    assert spans.to_bytes() == texts
    assert spans.lengths.tolist() == list(map(len, texts))
    assert spans.joined().tobytes() == b"".join(texts)
    shifted = ByteSpans.from_ends(
        np.frombuffer(b"?" * start + b"".join(texts), np.uint8), spans.ends + start, start=start
    )
    assert shifted.to_bytes() == texts


@given(strings, st.data())
def test_some_of_the_strings_in_any_order(texts: list[bytes], data: st.DataObject) -> None:
    spans = ByteSpans.from_bytes(texts)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts))), np.bool_)
    assert spans.take(mask).to_bytes() == [text for text, taken in zip(texts, mask, strict=True) if taken]
    order = data.draw(st.permutations(range(len(texts))))
    taken = spans.take(np.array(order, np.int64))
    assert taken.joined().tobytes() == b"".join(texts[i] for i in order)
    places = span_indices(taken.starts, taken.lengths)
    assert spans.data[places].tobytes() == b"".join(texts[i] for i in order)


@given(st.lists(st.tuples(st.lists(st.integers(0, 9), max_size=4), st.booleans()), max_size=8))
def test_codes_of_some_strings_are_those_strings_codes(codes: list[tuple[list[int], bool]]) -> None:
    symbols = np.array([symbol for own, _ in codes for symbol in own], np.uint16)
    ends = np.cumsum([len(own) for own, _ in codes], dtype=np.int64)
    taken = Codes(symbols, symbols + 1, ends).take(np.array([taken for _, taken in codes], np.bool_))
    expected = [own for own, kept in codes if kept]
    found = [taken.symbols[a:b].tolist() for a, b in zip(starts_of(taken.ends), taken.ends, strict=True)]
    assert found == expected
    assert (taken.window_bytes - taken.symbols == 1).all()
    assert len(taken) == len(expected)


def test_parts_of_nothing() -> None:
    nothing = np.empty(0, np.int64)
    assert starts_of(nothing).size == starts_of(nothing, start=5).size == 0
    assert starts_of(np.array([3]), start=1).tolist() == [1]
    assert ByteSpans.from_bytes([]).joined().size == 0
