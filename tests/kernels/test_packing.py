"""Packing: sequences end to end are the stream of encoded documents, whatever their length and the blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.counter_rng import unit_limit
from kernels.packing import COMP, COMP_RAW, PAIR, RAW, RAW_COMP, Choice, Cursor, PackedSequences, gather, pack_sequence
from tests.kernels.slow_packing import Symbol, Texts, slow_encode

DOCUMENTS = st.lists(
    st.tuples(st.binary(max_size=9), st.lists(st.integers(0, 65535), max_size=6), st.integers(0, 2**64 - 1)), max_size=8
)
CHOICES = [
    Choice(limit=unit_limit(0.5), if_comp=COMP, if_raw=RAW, sentinels=False),
    Choice(limit=unit_limit(0.5), if_comp=COMP, if_raw=RAW, sentinels=True),
    Choice(limit=unit_limit(0.5), if_comp=PAIR, if_raw=RAW, sentinels=True),
    Choice(limit=unit_limit(0.5), if_comp=COMP, if_raw=PAIR, sentinels=True),
    Choice(limit=0, if_comp=COMP, if_raw=RAW, sentinels=True),
    Choice(limit=1 << 53, if_comp=COMP, if_raw=RAW, sentinels=True),
]


def slow_representation(draw: int, choice: Choice) -> int:
    found = choice.if_comp if draw << 53 < choice.limit << 64 else choice.if_raw
    return RAW_COMP if found == PAIR and draw % 2 else found


def packed(
    texts: Texts, choices: list[Choice], sequence_length: int, lookahead: int = 0
) -> tuple[PackedSequences, list[list[tuple]]]:
    """One row per choice, from copies of the same block one after the other."""
    block, cursor = texts.block(), Cursor()
    rows = PackedSequences.empty(len(choices), sequence_length, lookahead)
    listing = np.empty((sequence_length // 2 + 2, 2), np.int64)
    pieces: list[list[tuple]] = []
    for row, choice in enumerate(choices):
        at = number = 0
        pieces.append([])
        while at < sequence_length:
            cursor, at, number, count = pack_sequence(
                block, cursor, choice, rows, index=row, column=at, number=number, listing=listing
            )
            pieces[-1] += [tuple(line) for line in listing[:count].tolist()]
            if cursor.document == block.size:
                cursor = Cursor()
        assert number == len(pieces[-1]) == rows.documents[row, -1] + 1
    return rows, pieces


def slow_stream(
    texts: Texts, choices: list[Choice], sequence_length: int
) -> tuple[list[Symbol], list[tuple[int, int, int]]]:
    """The stream, at least as long as the rows, and (first position, document, representation) of each document."""
    stream: list[Symbol] = []
    documents: list[tuple[int, int, int]] = []
    while True:
        for number, (raw, symbols, draw) in enumerate(texts.items):
            row = len(stream) // sequence_length
            if row >= len(choices):
                return stream, documents
            representation = slow_representation(draw, choices[row])
            documents.append((len(stream), number, representation))
            stream += slow_encode(raw, symbols, representation, choices[row].sentinels)


@settings(deadline=None)
@given(
    DOCUMENTS.filter(bool), st.lists(st.sampled_from(CHOICES), min_size=1, max_size=9), st.integers(2, 30), st.data()
)
def test_rows_end_to_end_are_the_stream(
    items: list[tuple[bytes, list[int], int]], choices: list[Choice], sequence_length: int, data: st.DataObject
):
    lookahead = data.draw(st.integers(0, 4))
    choices = [choice for choice in choices if choice.sentinels == choices[0].sentinels]
    texts = Texts(items)
    rows, pieces = packed(texts, choices, sequence_length, lookahead)
    stream, documents = slow_stream(texts, choices, sequence_length)
    size = len(choices) * sequence_length
    assert rows.ids.ravel().tolist() == [symbol for symbol, _ in stream[:size]]
    assert rows.spans.ravel().tolist() == [span for _, span in stream[:size]]
    starts = [start for start, _, _ in documents] + [len(stream)]
    for row in range(len(choices)):
        begin, end = row * sequence_length, (row + 1) * sequence_length
        inside = [i for i in range(len(documents)) if starts[i] < end and starts[i + 1] > begin]
        assert pieces[row] == [documents[i][1:] for i in inside]
        numbers = [
            number for number, i in enumerate(inside) for _ in range(max(begin, starts[i]), min(end, starts[i + 1]))
        ]
        assert rows.documents[row].tolist() == numbers
        rest = [symbol for symbol, _ in stream[end : starts[inside[-1] + 1]]][:lookahead]
        assert rows.next_ids[row].tolist() == rest + [0] * (lookahead - len(rest))


def test_golden_rows():
    """<bos> <raw> "ab" </raw> <eos>, then a pair that is cut by the row's end."""
    texts = Texts([(b"ab", [7], 2**63), (b"c", [8, 65535], 2**64 - 1)])
    choices = [CHOICES[1], CHOICES[3]]
    rows, pieces = packed(texts, [CHOICES[3]] * 2, 10, 3)
    assert rows.ids.tolist() == [
        [1, 14, 327, 15, 12, 161, 162, 13, 2, 1],
        [12, 163, 13, 14, 328, 65855, 15, 2, 1, 14],
    ]
    assert rows.documents.tolist() == [[0] * 9 + [1], [0] * 8 + [1] * 2]
    assert rows.spans.tolist() == [[0, 0, 2, 0, 0, 1, 1, 0, 0, 0], [0, 1, 0, 0, 2, 2, 0, 0, 0, 0]]
    assert rows.next_ids.tolist() == [[12, 163, 13], [327, 15, 12]]
    assert pieces == [[(0, COMP_RAW), (1, RAW_COMP)], [(1, RAW_COMP), (0, COMP_RAW)]]
    rows, pieces = packed(texts, choices, 9)
    assert rows.ids[0].tolist() == [1, 12, 161, 162, 13, 2, 1, 12, 163]
    assert pieces[0] == [(0, RAW), (1, RAW)]


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_an_exact_fit_leaves_the_next_document_to_the_next_choice(dtype: type):
    block = Texts([(b"xy", [1], 0), (b"z", [96639 % 65536], 0)]).block(dtype)
    rows, listing = PackedSequences.empty(2, 4, 0), np.empty((4, 2), np.int64)
    plain = Choice(limit=0, if_comp=COMP, if_raw=RAW, sentinels=False)
    cursor, at, number, count = pack_sequence(
        block, Cursor(), plain, rows, index=0, column=0, number=0, listing=listing
    )
    assert (cursor, at, number, count) == (Cursor(document=1), 4, 1, 1)
    comp = Choice(limit=1 << 53, if_comp=COMP, if_raw=RAW, sentinels=False)
    cursor, at, number, count = pack_sequence(block, cursor, comp, rows, index=1, column=0, number=0, listing=listing)
    assert (cursor.document, at, number, count) == (2, 3, 1, 1)
    assert rows.ids[1, :3].tolist() == [1, 320 + 96639 % 65536, 2]


def test_a_document_of_many_rows():
    text = bytes(range(256)) * 64
    choice = Choice(limit=0, if_comp=COMP, if_raw=RAW, sentinels=True)
    rows, pieces = packed(Texts([(text, [], 0)]), [choice] * 200, 100, 5)
    stream = [1, 12, *(64 + byte for byte in text), 13, 2] * 2
    assert rows.ids.ravel().tolist() == stream[:20000]
    assert (rows.documents[:160] == 0).all()
    assert rows.next_ids[0].tolist() == stream[100:105]
    assert all(piece == [(0, RAW)] for piece in pieces[:160])


@settings(deadline=None)
@given(st.lists(st.binary(max_size=5), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_gather_copies_each_document_to_its_place(texts: list[bytes], random):
    offsets = np.concatenate(([0], np.cumsum([len(text) for text in texts], dtype=np.int64)))
    order = random.sample(range(len(texts)), len(texts))
    out_offsets = np.zeros(len(texts) + 1, np.int64)
    for row, place in enumerate(order):
        out_offsets[place + 1] = len(texts[row])
    out_offsets = np.cumsum(out_offsets)
    out = np.empty(offsets[-1], np.uint8)
    values = np.frombuffer(b"".join(texts), np.uint8)
    gather(values, offsets, np.arange(len(texts)), np.array(order), out, out_offsets)
    inverse = [order.index(place) for place in range(len(texts))]
    assert out.tobytes() == b"".join(texts[row] for row in inverse)
