"""The manifest: exact bytes, balanced totals, and a plain word about whatever is not whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from schemas.errors import DatasetError, FormatVersionError
from schemas.files import canonical_json
from schemas.manifest import (
    Manifest,
    ShardEntry,
    Totals,
    read_manifest,
    write_manifest_atomically,
)
from schemas.shard_files import open_shards, read_batches
from schemas.shards import shard_name
from tests.schemas.hostile_json import tampered
from tests.schemas.shard_samples import SMALL, raw_of, write_shard

GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = ("neural", "tokenizer")


def manifest_of(shards: list[ShardEntry]) -> Manifest:
    rejected = sum(sum(shard.rejects.values()) for shard in shards)
    read = sum(shard.rows for shard in shards) + rejected
    return Manifest(
        shards=tuple(shards),
        compressors={
            "neural": {"digest": "ab" * 32, "alphabet_size": 65536, "symbol_dtype": "uint16", "threshold_bits": 2.25},
            "tokenizer": {"digest": "cd" * 32, "alphabet_size": 8192, "symbol_dtype": "uint16"},
        },
        totals=Totals.of(shards, read=read, compressors=NAMES),
        settings={"inputs": ["é/*.jsonl"], "shard_compression": "zstd"},
        versions={"python": "3.11", "torch": "2.13.0"},
    )


def entry(index: int, total: int, rejects: dict[str, int]) -> ShardEntry:
    return ShardEntry(
        name=shard_name(index, total),
        rows=3 + index,
        raw_bytes=1000,
        symbols={"neural": 300, "tokenizer": 280},
        segments={"neural": 200, "tokenizer": 280},
        rejects=rejects,
        sha256="0123456789abcdef" * 4,
        file_bytes=4096,
    )


SAMPLE = manifest_of([entry(0, 2, {"empty": 2, "bad_json": 1}), entry(1, 2, {"empty": 1})])


def dataset(directory: Path) -> Manifest:
    """A finished dataset of two shards."""
    shards = []
    for index, texts in enumerate([SMALL, SMALL[:1] * 4]):
        summary = write_shard(directory / shard_name(index, 2), texts)
        counts = {name: getattr(summary, name) for name in ("rows", "raw_bytes", "symbols", "segments")}
        sizes = {"sha256": summary.sha256, "file_bytes": summary.file_bytes}
        shards.append(ShardEntry(name=shard_name(index, 2), rejects={}, **counts, **sizes))
    manifest = manifest_of(shards)
    write_manifest_atomically(directory, manifest)
    return manifest


def test_the_bytes_are_the_format():
    assert SAMPLE.to_bytes() == (GOLDEN / "manifest.json").read_bytes(), "another format: see schemas/CHANGES.md"


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_bytes_come_back_as_the_manifest(count: int):
    manifest = manifest_of([entry(i, count, {}) for i in range(count)])
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest
    manifest.check_balance()


def test_totals_are_sums():
    assert SAMPLE.totals == Totals(
        read=11,
        written=7,
        rejected=4,
        rejected_by_reason={"bad_json": 1, "empty": 3},
        raw_bytes=2000,
        symbols={"neural": 600, "tokenizer": 560},
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"read": 12}, "read 12 is not written 7 \\+ rejected 4"),
        ({"rejected_by_reason": {"empty": 3}}, "rejected 4 is not the sum of its reasons"),
        ({"rejected_by_reason": {"empty": 4}}, "total rejected_by_reason"),
        ({"read": 12, "written": 8}, "total written is 8, its shards sum to 7"),
        ({"raw_bytes": 1}, "total raw_bytes"),
        ({"symbols": {"neural": 600}}, "total symbols"),
    ],
)
def test_what_does_not_balance_is_neither_written_nor_read(tmp_path: Path, changes: dict[str, Any], words: str):
    manifest = replace(SAMPLE, totals=replace(SAMPLE.totals, **changes))
    with pytest.raises(AssertionError, match=words):
        write_manifest_atomically(tmp_path, manifest)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "manifest.json").write_bytes(manifest.to_bytes())
    with pytest.raises(DatasetError, match=words):
        read_manifest(tmp_path)


def test_a_shard_without_one_of_the_compressors_does_not_balance():
    shard = replace(SAMPLE.shards[0], symbols={"neural": 1})
    assert "counts ['neural']" in str(replace(SAMPLE, shards=(shard,)).imbalance())


def drop(*path: Any) -> Callable[[Any], None]:
    return lambda value: _parent(value, path).pop(path[-1])


def put(new: Any, *path: Any) -> Callable[[Any], None]:
    return lambda value: _parent(value, path).__setitem__(path[-1], new)


def _parent(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        value = value[key]
    return value


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (drop("totals"), "no key 'totals'"),
        (drop("format_version"), "no key 'format_version'"),
        (drop("shards", 1, "sha256"), "shards\\[1\\]: no key 'sha256'"),
        (drop("totals", "read"), "totals: no key 'read'"),
        (drop("compressors", "neural", "digest"), "compressor 'neural' lacks 'digest'"),
        (put(1, "complete"), "unknown key 'complete'"),
        (put(1, "shards", 0, "extra"), "shards\\[0\\]: unknown key 'extra'"),
        (put("7", "shards", 0, "rows"), "rows is '7', not an integer from 0"),
        (put(True, "shards", 0, "rows"), "rows is True, not an integer"),
        (put(-1, "totals", "read"), "read is -1, not an integer from 0"),
        (put({"neural": 1.5}, "totals", "symbols"), "symbols\\['neural'\\] is 1.5, not an integer"),
        (put({}, "shards"), "shards is {}, not tuple"),
        (put(7, "shards", 0), "shards\\[0\\]: 7 where an object is expected"),
        (put("../x.arrow", "shards", 0, "name"), "shard 0 is called '../x.arrow', not shard-00000-of-00002.arrow"),
        (put(shard_name(0, 2), "shards", 1, "name"), "shard 1 is called 'shard-00000-of-00002.arrow', not shard-00001"),
        (put("8192", "compressors", "tokenizer", "alphabet_size"), "alphabet_size of compressor 'tokenizer' is '8192'"),
        (put(0, "compressors", "tokenizer", "alphabet_size"), "alphabet_size of compressor 'tokenizer' is 0"),
        (put("int8", "compressors", "neural", "symbol_dtype"), "symbol_dtype of compressor 'neural' is 'int8'"),
        (put(["a"], "compressors", "neural", "digest"), "digest of compressor 'neural' is"),
        (put("two", "format_version"), "format_version is 'two'"),
    ],
)
def test_foreign_keys_and_values_are_refused_by_name(edit: Callable[[Any], None], words: str):
    value = json.loads(SAMPLE.to_bytes())
    edit(value)
    with pytest.raises(DatasetError, match=words):
        Manifest.from_bytes(canonical_json(value))


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[]", b"null", b'"x"', b"[" * 100_000, b'{"a":' * 100_000])
def test_what_is_no_manifest_is_refused(data: bytes):
    with pytest.raises(DatasetError, match=r"manifest\.json cannot be read \(.*\); write"):
        Manifest.from_bytes(data)


@given(tampered(json.loads(SAMPLE.to_bytes())))
@settings(max_examples=500)
def test_whatever_is_changed_a_manifest_is_read_or_refused_in_one_line(value: Any):
    try:
        manifest = Manifest.from_bytes(json.dumps(value).encode())
    except DatasetError as error:
        assert len(str(error).splitlines()) == 1
    else:
        manifest.imbalance()
        assert all(Path(shard.name).name == shard.name for shard in manifest.shards)
        assert len({shard.name for shard in manifest.shards}) == len(manifest.shards)


def test_another_format_version_is_refused_before_its_keys_are_read(tmp_path: Path):
    (tmp_path / "manifest.json").write_text('{"format_version": 3, "new": 1}')
    with pytest.raises(
        FormatVersionError, match="has format version 3, this program reads 2: read it with the release"
    ):
        read_manifest(tmp_path)


def test_an_unfinished_dataset_names_the_command_that_finishes_it(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"not a finished dataset: .*`python -m pipeline preprocess --output .*same"):
        read_manifest(tmp_path)


def test_writing_replaces_and_leaves_nothing_else(tmp_path: Path):
    write_manifest_atomically(tmp_path, manifest_of([]))
    write_manifest_atomically(tmp_path, SAMPLE)
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    assert read_manifest(tmp_path) == SAMPLE


def test_failed_writing_leaves_nothing(tmp_path: Path):
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(OSError):
        write_manifest_atomically(tmp_path, SAMPLE)
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_some_batches_are_those_of_all(tmp_path: Path):
    dataset(tmp_path)
    batches = list(open_shards(tmp_path))
    assert len(batches) > 1
    for numbers in ([], [0], [len(batches) - 1], range(len(batches))):
        chosen = list(read_batches(tmp_path, numbers))
        assert len(chosen) == len(numbers)
        assert all(batch.equals(batches[number]) for batch, number in zip(chosen, numbers, strict=True))


def test_open_shards_gives_every_document_in_order(tmp_path: Path):
    dataset(tmp_path)
    raws = [raw for batch in open_shards(tmp_path) for raw in batch["raw"].to_pylist()]
    assert raws == [raw_of(text) for text in SMALL + SMALL[:1] * 4]


def test_missing_truncated_and_foreign_shards_are_named_before_the_first_batch(tmp_path: Path):
    dataset(tmp_path)
    path = tmp_path / shard_name(1, 2)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(DatasetError, match=f"{path.name} has {len(whole) - 1} bytes, manifest.json says {len(whole)}"):
        next(open_shards(tmp_path))
    path.unlink()
    with pytest.raises(DatasetError, match=f"{path.name} does not exist"):
        next(open_shards(tmp_path))
    path.write_bytes(b"x" * len(whole))
    with pytest.raises(DatasetError, match=f"{path.name} is damaged: its sha256 is"):
        list(open_shards(tmp_path))


def test_a_shard_with_other_rows_than_the_manifest_says_is_named(tmp_path: Path):
    manifest = dataset(tmp_path)
    first = replace(manifest.shards[0], rows=4)
    write_manifest_atomically(tmp_path, manifest_of([first, manifest.shards[1]]))
    with pytest.raises(DatasetError, match="shard-00000-of-00002.arrow has 3 rows, manifest.json says 4"):
        list(open_shards(tmp_path))
