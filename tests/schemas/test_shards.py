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
    documents_array,
    documents_from_array,
    open_shard,
    read_batch,
    shard_name,
    shard_schema,
)
from tests.schemas.shard_samples import (
    CORPORA,
    SEGMENTED,
    SMALL,
    TOKENS,
    WHOLE,
    WINDOWED,
    Text,
    documents_of,
    write_shard,
)

GOLDEN = Path(__file__).parents[1] / "golden"


def test_the_schema_is_the_format():
    schema = shard_schema(
        {"neural": WINDOWED, "tokenizer": TOKENS, "other": SEGMENTED, "gzip": WHOLE},
        entropy=True,
    )
    text = "".join(f"{field.name}: {field.type}\n" for field in schema) + f"metadata: {schema.metadata}\n"
    assert text == (GOLDEN / "shard_schema.txt").read_text(), "another format: see schemas/CHANGES.md"
    assert compressor_names(schema) == ["neural", "tokenizer", "other", "gzip"]


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


def test_texts_stay_in_their_memory():
    documents = documents_of(SMALL)
    array = documents_array(documents)
    assert np.shares_memory(documents_from_array(array).raw, documents.raw)
    assert np.shares_memory(documents_from_array(array[1:]).raw, documents.raw)


def test_documents_in_the_middle_of_a_run():
    documents = documents_of(SMALL)
    tail = Documents(raw=documents.raw, offsets=documents.offsets[2:])
    assert documents_array(tail).to_pylist() == [documents.text(2)]


def test_nulls_are_refused():
    with pytest.raises(DatasetError, match="'raw' holds 1 nulls"):
        documents_from_array(pa.array([b"a", None], pa.large_binary()))


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


@pytest.mark.parametrize("version", ["1", "3", "two"])
def test_another_format_version_is_refused(version: str, tmp_path: Path):
    schema = shard_schema({}, False).with_metadata({"format_version": version})
    with pa.ipc.new_file(tmp_path / "next.arrow", schema):
        pass
    with pytest.raises(FormatVersionError, match=f"has format version {version}, this program reads 2"):
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


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("doc_id", pa.int64()),
        ("raw", pa.binary()),
        ("source", pa.string()),
        ("language", pa.dictionary(pa.int8(), pa.string())),
        ("entropy", pa.list_(pa.float64())),
        ("neural", pa.struct([("symbols", pa.list_(pa.int16()))])),
        ("neural", pa.struct([("symbols", pa.list_(pa.uint16())), ("raw_ends", pa.list_(pa.uint32()))])),
        ("extra", pa.int32()),
    ],
)
def test_a_column_of_another_type_is_named(name: str, kind: pa.DataType, tmp_path: Path):
    schema = shard_schema({"neural": WINDOWED}, entropy=True)
    fields = {field.name: field.type for field in schema} | {name: kind}
    with pa.ipc.new_file(tmp_path / "other.arrow", pa.schema([*fields.items()], metadata=schema.metadata)):
        pass
    with pytest.raises(DatasetError, match=f"column '{name}' of .*other.arrow is .*, which no shard holds"):
        open_shard(tmp_path / "other.arrow")


def test_two_columns_of_one_name_are_refused(tmp_path: Path):
    schema = shard_schema({"neural": WINDOWED}, entropy=False)
    with pa.ipc.new_file(tmp_path / "twice.arrow", schema.append(schema.field("neural"))):
        pass
    with pytest.raises(DatasetError, match="has column 'neural' twice"):
        open_shard(tmp_path / "twice.arrow")
