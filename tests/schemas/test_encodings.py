"""A compressor's column: exact both ways in every layout, whole and sliced; lengths that do not add up are named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.batches import Documents, Encoding
from schemas.encodings import (
    EncodingLayout,
    encoding_array,
    encoding_of,
    is_encoding_type,
    list_array,
    list_parts,
    symbols_of,
    unsigned_for,
)
from schemas.errors import DatasetError
from schemas.shards import documents_array, documents_from_array
from tests.schemas.shard_samples import (
    CORPORA,
    SEGMENTED,
    SMALL,
    TOKENS,
    WHOLE,
    WINDOWED,
    Text,
    documents_of,
    same_encoding,
)
from tests.schemas.shard_samples import (
    encoding_of as made,
)

WIDE = EncodingLayout(symbols="uint32", window_bytes="uint32", segment_symbols="uint16")


def batch_of(documents: Documents, column: pa.StructArray) -> pa.RecordBatch:
    """A shard's columns that an encoding needs."""
    ids = pa.array([f"d{i}" for i in range(len(documents))], pa.string())
    return pa.record_batch({"doc_id": ids, "raw": documents_array(documents), "x": column})


def read(batch: pa.RecordBatch) -> Encoding:
    """Its encoding x."""
    return encoding_of(batch, "x", documents_from_array(batch["raw"]))


def texts_of(layout: EncodingLayout, texts: list[Text]) -> list[Text]:
    """The texts with segments as the layout has them."""
    if layout is TOKENS:
        return [[[window] for segment in text for window in segment] for text in texts]
    if layout is WHOLE:
        return [[[(b"", 0), *((raw, symbol & 255) for segment in text for raw, symbol in segment)]] for text in texts]
    return texts


@pytest.mark.parametrize("layout", [WINDOWED, SEGMENTED, TOKENS, WHOLE, WIDE])
@given(texts=CORPORA, data=st.data())
def test_encodings_come_back_whole_and_sliced(layout: EncodingLayout, texts: list[Text], data: st.DataObject):
    texts = texts_of(layout, texts)
    dtype = np.dtype(layout.symbols).type
    column = encoding_array(made(texts, dtype, layout.has_windows), layout.column_type)
    column.validate(full=True)
    assert column.type == layout.column_type
    batch = batch_of(documents_of(texts), column)
    start = data.draw(st.integers(0, len(texts)))
    stop = data.draw(st.integers(start, len(texts)))
    expected = made(texts[start:stop], dtype, layout.has_windows)
    assert same_encoding(read(batch[start:stop]), expected)
    symbols, offsets = symbols_of(batch[start:stop], "x")
    assert np.array_equal(symbols, expected.symbols) and np.array_equal(offsets, expected.symbol_offsets)


@given(CORPORA)
def test_a_part_of_an_encoding_is_written_as_that_part(texts: list[Text]):
    whole = made(texts)
    column = encoding_array(whole, WINDOWED.column_type)
    for i in range(len(texts)):
        rows = slice(i, i + 2)
        part = replace(whole, symbol_offsets=whole.symbol_offsets[rows], segment_offsets=whole.segment_offsets[rows])
        assert encoding_array(part, WINDOWED.column_type).to_pylist() == column[i : i + 1].to_pylist()


@given(CORPORA)
def test_columns_hold_what_plain_python_says(texts: list[Text]):
    for row, text in zip(encoding_array(made(texts), WINDOWED.column_type).to_pylist(), texts, strict=True):
        windows = [window for segment in text for window in segment]
        assert row["symbols"] == [symbol for _, symbol in windows]
        assert row["window_bytes"] == [len(raw) for raw, _ in windows]
        assert row["segment_symbols"] == [len(segment) for segment in text]


def test_symbols_stay_in_their_memory():
    encoding = made(SMALL)
    column = encoding_array(encoding, WINDOWED.column_type)
    assert np.shares_memory(read(batch_of(documents_of(SMALL), column)[1:]).symbols, encoding.symbols)


def test_tokens_of_several_symbols_each_need_no_count():
    """As token_bytes has them: all segments have two symbols."""
    tokens = made(texts_of(TOKENS, SMALL))
    pairs = replace(
        tokens,
        symbols=np.repeat(tokens.symbols, 2),
        symbol_offsets=tokens.symbol_offsets * 2,
        symbol_ends=tokens.symbol_ends * np.uint32(2),
        window_ends=None,
    )
    layout = EncodingLayout(symbols="uint16", segment_bytes="uint8")
    batch = batch_of(documents_of(SMALL), encoding_array(pairs, layout.column_type))
    assert same_encoding(read(batch), pairs)


@pytest.mark.parametrize("largest", [0, 255, 256, 65535, 65536, (1 << 32) - 1])
def test_the_smallest_type_is_taken(largest: int):
    assert np.iinfo(unsigned_for(largest)).max >= largest
    smaller = {"uint8": 0, "uint16": 1 << 8, "uint32": 1 << 16}[unsigned_for(largest)]
    assert largest >= smaller


@pytest.mark.parametrize("counts", [[], [0], [3], [2, 0, 0, 1]])
def test_float_lists_come_back(counts: list[int]):
    offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
    values = np.arange(offsets[-1], dtype=np.float32)
    back, back_offsets = list_parts(list_array(values, offsets), "entropy")
    assert np.array_equal(back, values) and np.array_equal(back_offsets, offsets)


GOOD = {"symbols": [5, 6, 7], "window_bytes": [2, 1, 3], "segment_symbols": [2, 1]}


@pytest.mark.parametrize(
    ("layout", "row", "problem"),
    [
        (WINDOWED, {**GOOD, "window_bytes": [2, 1]}, "symbols and window_bytes differ in number"),
        (WINDOWED, {**GOOD, "window_bytes": [2, 1, 4]}, "window_bytes do not add up to the document"),
        (WINDOWED, {**GOOD, "segment_symbols": [2, 2]}, "segment_symbols do not add up to the document"),
        (WINDOWED, {**GOOD, "segment_symbols": [3, 0]}, "segment_symbols holds 0, the smallest is 1"),
        (WINDOWED, {**GOOD, "segment_symbols": []}, "segment_symbols do not add up to the document"),
        (TOKENS, {"symbols": [5, 6, 7], "segment_bytes": [2, 1, 2]}, "segment_bytes do not add up to the document"),
        (TOKENS, {"symbols": [5, 6], "segment_bytes": [2, 1, 3]}, "symbols are not"),
        (
            SEGMENTED,
            {"symbols": [5, 6], "segment_bytes": [3, 3], "segment_symbols": [2]},
            "segment_symbols and segment_bytes differ in number",
        ),
    ],
)
def test_lengths_that_do_not_add_up_are_named(layout: EncodingLayout, row: dict[str, Any], problem: str):
    documents = Documents.from_bytes([b"abcdef", b"abcdef"])
    fine = {
        WINDOWED: GOOD,
        TOKENS: {"symbols": [5, 6, 7], "segment_bytes": [2, 1, 3]},
        SEGMENTED: {"symbols": [5, 6], "segment_bytes": [3, 3], "segment_symbols": [1, 1]},
    }[layout]
    read(batch_of(documents, pa.array([fine, fine], layout.column_type)))
    with pytest.raises(DatasetError, match=f"column 'x': {problem}") as caught:
        read(batch_of(documents, pa.array([fine, row], layout.column_type)))
    assert "document d" in str(caught.value) or "smallest is" in str(caught.value)


def test_nulls_are_refused():
    documents = Documents.from_bytes([b"abcdef", b"abcdef"])
    for rows in ([GOOD, None], [GOOD, {**GOOD, "symbols": None}], [GOOD, {**GOOD, "window_bytes": [2, None, 3]}]):
        with pytest.raises(DatasetError, match="holds 1 nulls"):
            read(batch_of(documents, pa.array(rows, WINDOWED.column_type)))


@pytest.mark.parametrize(
    "fields",
    [
        [("symbols", pa.int16())],
        [("symbols", pa.int64())],
        [("window_bytes", pa.uint8()), ("symbols", pa.uint16())],
        [("symbols", pa.uint16()), ("window_bytes", pa.uint8())],
        [("symbols", pa.uint16()), ("window_bytes", pa.uint8()), ("segment_bytes", pa.uint8())],
        [("symbols", pa.uint16()), ("raw_ends", pa.uint32())],
        [("symbols", pa.uint16()), ("segment_symbols", pa.uint8()), ("segment_bytes", pa.uint8())],
        [],
    ],
)
def test_other_structs_are_no_encodings(fields: list[tuple[str, pa.DataType]]):
    assert not is_encoding_type(pa.struct([(name, pa.list_(kind)) for name, kind in fields]))
    assert not is_encoding_type(pa.struct([("symbols", pa.uint16())]))
    for layout in (WINDOWED, SEGMENTED, TOKENS, WHOLE, WIDE):
        assert is_encoding_type(layout.column_type)


def test_a_column_that_is_not_there_is_named():
    batch = batch_of(documents_of(SMALL), encoding_array(made(SMALL), WINDOWED.column_type))
    for read_it in (lambda: encoding_of(batch, "y", documents_of(SMALL)), lambda: symbols_of(batch, "y")):
        with pytest.raises(DatasetError, match="no column 'y' among"):
            read_it()
