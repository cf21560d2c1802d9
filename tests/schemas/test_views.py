"""Views against plain lists, for batches, tables of many chunks, and slices."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.encodings import encoding_array
from schemas.errors import DatasetError
from schemas.shards import documents_array
from schemas.views import comp_view, paired_view, raw_view, window_view
from tests.schemas.shard_samples import (
    CORPORA,
    LONG_WINDOWS,
    SCHEMA,
    SEGMENTED,
    SMALL,
    Text,
    documents_of,
    encodings_of,
    raw_of,
)

Row = dict[str, Any]


def batch_of(texts: list[Text], first: int = 0) -> pa.RecordBatch:
    labels = pa.array(["x"] * len(texts), pa.string()).dictionary_encode()
    encodings = encodings_of(texts)
    return pa.RecordBatch.from_arrays(
        [
            pa.array([f"d{first + i}" for i in range(len(texts))], pa.string()),
            labels,
            labels,
            documents_array(documents_of(texts)),
            encoding_array(encodings["neural"], LONG_WINDOWS.column_type),
            encoding_array(encodings["tokenizer"], SEGMENTED.column_type),
        ],
        schema=SCHEMA,
    )


def slow_pairs(texts: list[Text], first: int = 0) -> list[Row]:
    return [
        {
            "doc_id": f"d{first + i}",
            "segment": j,
            "raw": b"".join(raw for raw, _ in segment),
            "symbols": [symbol for _, symbol in segment],
        }
        for i, text in enumerate(texts)
        for j, segment in enumerate(text)
    ]


def slow_comp(texts: list[Text], first: int = 0) -> list[Row]:
    rows = []
    for i, text in enumerate(texts):
        windows = [window for segment in text for window in segment]
        lengths, counts = [sum(len(raw) for raw, _ in segment) for segment in text], [len(segment) for segment in text]
        rows.append(
            {
                "doc_id": f"d{first + i}",
                "symbols": [symbol for _, symbol in windows],
                "raw_ends": list(accumulate(lengths)),
                "symbol_ends": list(accumulate(counts)),
                "window_ends": list(accumulate(len(raw) for raw, _ in windows)),
            }
        )
    return rows


def slow_windows(texts: list[Text], first: int = 0) -> list[Row]:
    return [
        {"doc_id": f"d{first + i}", "segment": j, "window": k, "raw": raw, "symbol": symbol}
        for i, text in enumerate(texts)
        for j, segment in enumerate(text)
        for k, (raw, symbol) in enumerate(segment)
    ]


@given(st.lists(CORPORA, max_size=3), st.data())
def test_views_of_chunked_and_sliced_tables_equal_plain_lists(chunks: list[list[Text]], data: st.DataObject):
    texts = [text for chunk in chunks for text in chunk]
    starts = np.cumsum([0, *map(len, chunks)])
    batches = [batch_of(chunk, int(first)) for chunk, first in zip(chunks, starts, strict=False)]
    table = pa.Table.from_batches(batches, SCHEMA)
    start = data.draw(st.integers(0, len(texts)))
    stop = data.draw(st.integers(start, len(texts)))
    part, part_texts = table[start:stop], texts[start:stop]
    for name in ("neural", "tokenizer"):
        pairs = paired_view(part, name)
        pairs.validate(full=True)
        assert pairs.to_pylist() == slow_pairs(part_texts, start)
    windows = window_view(part)
    windows.validate(full=True)
    assert windows.to_pylist() == slow_windows(part_texts, start)
    assert comp_view(part, "neural").to_pylist() == slow_comp(part_texts, start)
    assert raw_view(part)["raw"].to_pylist() == [raw_of(text) for text in part_texts]


def test_a_batch_and_its_slice_give_the_rows_of_a_table():
    batch = batch_of(SMALL)
    assert paired_view(batch, "neural").equals(paired_view(pa.Table.from_batches([batch]), "neural"))
    assert paired_view(batch[2:], "neural").to_pylist() == slow_pairs(SMALL[2:], 2)
    assert window_view(batch[1:]).to_pylist() == slow_windows(SMALL[1:], 1)
    assert isinstance(raw_view(batch), pa.RecordBatch)
    assert isinstance(comp_view(batch, "tokenizer"), pa.RecordBatch)
    assert comp_view(batch, "tokenizer").schema.names == ["doc_id", "symbols", "raw_ends", "symbol_ends"]


def test_views_copy_neither_text_nor_symbols():
    batch = batch_of(SMALL)
    pairs, windows = paired_view(batch, "neural"), window_view(batch)

    def address(array: pa.Array) -> int:
        return array.buffers()[-1].address

    raw, symbols = batch["raw"], batch["neural"].field("symbols")
    assert address(pairs["raw"].chunk(0)) == address(windows["raw"].chunk(0)) == address(raw)
    assert address(pairs["symbols"].chunk(0)) == address(windows["symbol"].chunk(0)) == address(symbols)
    assert address(comp_view(batch, "neural")["symbols"]) == address(symbols)


def test_types_of_the_views():
    batch = batch_of(SMALL)
    assert paired_view(batch, "tokenizer").schema.field("symbols").type == pa.list_(pa.uint32())
    assert window_view(batch).schema.field("symbol").type == pa.uint16()
    for table in (paired_view(batch, "neural"), window_view(batch)):
        assert table.schema.field("segment").type == pa.uint32()
        assert table.schema.field("raw").type == pa.large_binary()


def test_wrong_names_are_answered_with_those_present():
    batch = batch_of(SMALL)
    with pytest.raises(DatasetError, match=r"no compressor 'gzip' .* choose one of \['neural', 'tokenizer'\]"):
        paired_view(batch, "gzip")
    with pytest.raises(DatasetError, match="no compressor 'raw'"):
        comp_view(batch, "raw")
    with pytest.raises(DatasetError, match=r"'tokenizer' has no windows; .* \['neural'\]"):
        window_view(batch, "tokenizer")
    with pytest.raises(DatasetError, match="no column 'raw'"):
        paired_view(batch.select(["doc_id", "neural"]), "neural")
    with pytest.raises(DatasetError, match="no column 'source'"):
        raw_view(batch.select(["doc_id"]))


def test_a_struct_of_other_types_is_refused():
    other = pa.struct([("symbols", pa.list_(pa.int64()))])
    table = pa.table({"doc_id": ["a"], "raw": [b"a"], "neural": pa.array([{"symbols": [1]}], other)})
    with pytest.raises(DatasetError, match="which no shard holds"):
        paired_view(table, "neural")


@pytest.mark.parametrize(
    ("field", "lengths"), [("window_bytes", [2, 2]), ("window_bytes", [1, 1]), ("segment_symbols", [1])]
)
def test_pieces_that_do_not_fill_their_document_are_refused(field: str, lengths: list[int]):
    row = {"symbols": [5, 6], "window_bytes": [2, 1], "segment_symbols": [1, 1], field: lengths}
    neural = pa.array([row], LONG_WINDOWS.column_type)
    table = pa.table({"doc_id": ["a"], "raw": pa.array([b"abc"], pa.large_binary()), "neural": neural})
    with pytest.raises(DatasetError, match=f"document a: column 'neural': {field} do not add up to the document"):
        paired_view(table, "neural")


def test_collisions_in_a_few_lines_of_pandas(tmp_path: Path):
    pytest.importorskip("pandas")
    texts: list[Text] = [[[(b"foo", 1)], [(b"bar", 2)]], [[(b"foo\n", 1)], [(b"bar", 2)]]]
    pairs = paired_view(pa.Table.from_batches([batch_of(texts[:1]), batch_of(texts[1:], 1)]), "neural").to_pandas()
    chunks_of_code = pairs.groupby(pairs.symbols.map(tuple)).raw.unique()
    assert {code: set(chunks) for code, chunks in chunks_of_code.items() if len(chunks) > 1} == {
        (1,): {b"foo", b"foo\n"}
    }
    assert list(pairs.doc_id) == ["d0", "d0", "d1", "d1"]
