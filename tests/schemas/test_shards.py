"""Columns and flat arrays: exact both ways, over the same memory, slices included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.batches import Documents
from schemas.errors import DatasetError, FormatVersionError
from schemas.shards import (
    compressor_names,
    compressor_type,
    documents_array,
    documents_from_array,
    encoding_array,
    encoding_from_array,
    list_array,
    list_parts,
    open_shard,
    read_batch,
    shard_name,
    shard_schema,
)
from tests.schemas.shard_samples import CORPORA, SMALL, Text, documents_of, encoding_of, same_encoding, write_shard

GOLDEN = Path(__file__).parents[1] / "golden"


def test_the_schema_is_the_format():
    schema = shard_schema(
        {
            "neural": compressor_type(np.dtype(np.uint16), True),
            "tokenizer": compressor_type(np.dtype(np.uint32), False),
            "gzip": compressor_type(np.dtype(np.uint16), False),
        },
        entropy=True,
    )
    text = "".join(f"{field.name}: {field.type}\n" for field in schema) + f"metadata: {schema.metadata}\n"
    assert text == (GOLDEN / "shard_schema.txt").read_text(), "another format: see schemas/CHANGES.md"
    assert compressor_names(schema) == ["neural", "tokenizer", "gzip"]


def test_without_entropy_there_is_no_such_column():
    assert shard_schema({}, entropy=False).names == ["doc_id", "source", "language", "raw"]


def test_shard_names_sort_like_their_indices():
    assert shard_name(0, 16) == "shard-00000-of-00016.arrow"
    names = [shard_name(i, 1200) for i in range(1200)]
    assert sorted(names) == names


@given(CORPORA, st.data())
def test_documents_come_back_whole_and_sliced(texts: list[Text], data: st.DataObject):
    documents = documents_of(texts)
    array = documents_array(documents)
    array.validate(full=True)
    start = data.draw(st.integers(0, len(texts)))
    stop = data.draw(st.integers(start, len(texts)))
    back = documents_from_array(array[start:stop])
    assert [back.text(i) for i in range(len(back))] == [documents.text(i) for i in range(start, stop)]
    assert back.offsets[0] == 0 and back.offsets[-1] == len(back.raw)


@given(CORPORA, st.sampled_from([np.uint16, np.uint32]), st.booleans(), st.data())
def test_encodings_come_back_whole_and_sliced(texts: list[Text], dtype: type, windows: bool, data: st.DataObject):
    array = encoding_array(encoding_of(texts, dtype, windows))
    array.validate(full=True)
    assert array.type == compressor_type(np.dtype(dtype), windows)
    start = data.draw(st.integers(0, len(texts)))
    stop = data.draw(st.integers(start, len(texts)))
    assert same_encoding(encoding_from_array(array[start:stop]), encoding_of(texts[start:stop], dtype, windows))


@given(CORPORA)
def test_arrays_hold_what_plain_python_says(texts: list[Text]):
    rows = encoding_array(encoding_of(texts)).to_pylist()
    for row, text in zip(rows, texts, strict=True):
        assert row["symbols"] == [symbol for segment in text for _, symbol in segment]
        lengths = [len(segment) for segment in text]
        assert row["symbol_ends"] == [sum(lengths[: i + 1]) for i in range(len(text))]


def test_values_stay_in_their_memory():
    documents, encoding = documents_of(SMALL), encoding_of(SMALL)
    array, struct = documents_array(documents), encoding_array(encoding)
    assert np.shares_memory(documents_from_array(array).raw, documents.raw)
    assert np.shares_memory(documents_from_array(array[1:]).raw, documents.raw)
    back = encoding_from_array(struct[1:])
    assert np.shares_memory(back.symbols, encoding.symbols)
    assert np.shares_memory(back.window_ends, encoding.window_ends)


def test_documents_in_the_middle_of_a_run():
    documents = documents_of(SMALL)
    tail = Documents(raw=documents.raw, offsets=documents.offsets[2:])
    assert documents_array(tail).to_pylist() == [documents.text(2)]


@pytest.mark.parametrize("counts", [[], [0], [3], [2, 0, 0, 1]])
def test_float_lists_come_back(counts: list[int]):
    offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
    values = np.arange(offsets[-1], dtype=np.float32)
    back, back_offsets = list_parts(list_array(values, offsets), "entropy")
    assert np.array_equal(back, values) and np.array_equal(back_offsets, offsets)


def test_nulls_and_contradictions_are_refused():
    with pytest.raises(DatasetError, match="'raw' holds 1 nulls"):
        documents_from_array(pa.array([b"a", None], pa.large_binary()))
    struct_type = compressor_type(np.dtype(np.uint16), True)
    row = {"symbols": [1], "raw_ends": [1, 2], "symbol_ends": [1], "window_ends": [1]}
    with pytest.raises(DatasetError, match="'raw_ends' and 'symbol_ends' differ in length"):
        encoding_from_array(pa.array([row], struct_type))
    row = {"symbols": [1], "raw_ends": [1], "symbol_ends": [1], "window_ends": []}
    with pytest.raises(DatasetError, match="'symbols' and 'window_ends' differ in length"):
        encoding_from_array(pa.array([row], struct_type))


def test_what_is_no_shard_is_named(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"gone\.arrow does not exist"):
        open_shard(tmp_path / "gone.arrow")
    for name, data in {"empty": b"", "text": b"hello\n" * 9, "magic": b"ARROW1\0\0"}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DatasetError, match=f"{name} is not a whole Arrow IPC file"):
            open_shard(tmp_path / name)
    table = pa.table({"text": ["a"]})
    with pa.ipc.new_file(tmp_path / "foreign.arrow", table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(DatasetError, match="has no column 'doc_id', so it is no shard"):
        open_shard(tmp_path / "foreign.arrow")


def test_another_format_version_is_refused(tmp_path: Path):
    schema = shard_schema({}, False).with_metadata({"format_version": "2"})
    with pa.ipc.new_file(tmp_path / "next.arrow", schema):
        pass
    with pytest.raises(FormatVersionError, match="has format version 2, this program reads 1"):
        open_shard(tmp_path / "next.arrow")


def test_a_truncated_and_a_damaged_shard_are_named(tmp_path: Path):
    path = tmp_path / "shard.arrow"
    write_shard(path, [[[(bytes(range(256)) * 40, 1)]]])
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(DatasetError, match="not a whole Arrow IPC file"):
        open_shard(path)
    compressed_at = whole.index(b"\x28\xb5\x2f\xfd", whole.index(b"\x28\xb5\x2f\xfd") + 1)
    path.write_bytes(whole[:compressed_at] + b"\0" * 8 + whole[compressed_at + 8 :])
    reader = open_shard(path)
    with pytest.raises(DatasetError, match=r"shard\.arrow is damaged in record batch 0"):
        read_batch(reader, 0, path)
