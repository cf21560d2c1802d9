"""verify finds every kind of damage and names it; decode gives the corpus back."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard

from pipeline.__main__ import main
from pipeline.dataset.shard_writer import ShardWriter
from schemas.batches import Documents
from schemas.encodings import encoding_of
from schemas.files import atomic_file, canonical_json
from schemas.shards import compressor_names, documents_from_array
from tests.pipeline.corpora import jsonl
from tests.pipeline.runs import (
    MIXED_DOCUMENTS,
    Preprocess,
    manifest,
    rows,
    times,
    tree,
    write_micro_lm,
    write_tree,
)

FIRST, SECOND = "shard-00000-of-00004.arrow", "shard-00001-of-00004.arrow"


def verify(dataset: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    """Exit status, and the one line on stderr."""
    capsys.readouterr()
    status = main(["verify", str(dataset), *options])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == (status != 0), lines
    return status, lines[0] if lines else ""


def change_manifest(dataset: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Write the manifest again with `change` made to its JSON."""
    value = manifest(dataset)
    change(value)
    (dataset / "manifest.json").write_bytes(canonical_json(value))


def rewrite(dataset: Path, name: str, change: Callable[[dict[str, Any], Any], Any]) -> None:
    """Write a shard again with `change` made to its encodings and documents, and the manifest with its new figures."""
    reader = pa.ipc.open_file((dataset / name).read_bytes())
    with atomic_file(dataset / name) as file, ShardWriter(file, reader.schema) as writer:
        for i in range(reader.num_record_batches):
            batch = reader.get_batch(i)
            documents = documents_from_array(batch["raw"])
            encodings = {name: encoding_of(batch, name, documents) for name in compressor_names(reader.schema)}
            documents = change(encodings, documents)
            columns = [batch[column].to_pylist() for column in ("doc_id", "source", "language")]
            writer.write(*columns, documents, encodings)
        summary = writer.close()

    def correct(value: dict[str, Any]) -> None:
        (entry,) = [shard for shard in value["shards"] if shard["name"] == name]
        entry["sha256"], entry["file_bytes"] = summary.sha256, summary.file_bytes

    change_manifest(dataset, correct)


def test_a_clean_dataset(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = times(finished / "out")
    assert main(["verify", str(finished / "out")]) == 0
    captured = capsys.readouterr()
    raw_bytes = manifest(finished / "out")["totals"]["raw_bytes"]
    assert f"verified: {MIXED_DOCUMENTS} documents, {raw_bytes:,} bytes in 4 shards" in captured.out
    assert all(name in captured.out for name in ("neural", "tokenizer", "gzip", "token_bytes"))
    assert main(["verify", str(finished / "out"), "--by-model"]) == 0
    assert times(finished / "out") == before


FIRST_RELEASE = {"compressors": ["gzip"], "entropy": False, "read": {}, "token_code": "plain", "token_width_bytes": 0}


@pytest.mark.parametrize("settings", [{}, FIRST_RELEASE])
def test_a_dataset_whose_run_was_described_in_another_form(
    settings: dict[str, Any], dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the shards hold does not depend on how a release writes down the settings of its runs."""
    change_manifest(dataset, lambda value: value.update(settings=settings))
    assert verify(dataset, capsys) == (0, "")
    assert main(["decode", str(dataset), "--out", str(tmp_path / "decoded"), "--compressor", "token_bytes"]) == 0


def test_token_bytes_are_read_with_the_width_and_code_that_they_have(
    tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tree(tmp_path / "tree")
    options = ("--compressors", "token_bytes", "--token-width-bytes", "3", "--token-code", "gray", "--shards", "1")
    assert preprocess(tmp_path / "tree", tmp_path / "out", *options) == 0
    assert verify(tmp_path / "out", capsys) == (0, "")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99999])
def test_one_flipped_bit(share: float, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray((dataset / SECOND).read_bytes())
    data[int(share * len(data))] ^= 1 << random.Random(share).randrange(8)
    (dataset / SECOND).write_bytes(data)
    status, line = verify(dataset, capsys)
    assert status == 1
    assert SECOND in line
    assert "sha256" in line


def test_a_truncated_shard(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dataset / SECOND).write_bytes((dataset / SECOND).read_bytes()[:-1])
    status, line = verify(dataset, capsys)
    assert (status, SECOND in line, "damaged" in line) == (1, True, True)


def test_a_missing_shard(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dataset / SECOND).unlink()
    status, line = verify(dataset, capsys)
    assert (status, f"{SECOND} is missing" in line) == (1, True)


def test_two_shards_swapped(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dataset / FIRST).rename(dataset / "kept")
    (dataset / SECOND).rename(dataset / FIRST)
    (dataset / "kept").rename(dataset / SECOND)
    status, line = verify(dataset, capsys)
    assert (status, FIRST in line) == (1, True)


def test_swapped_digests_too(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dataset / FIRST).rename(dataset / "kept")
    (dataset / SECOND).rename(dataset / FIRST)
    (dataset / "kept").rename(dataset / SECOND)

    def swap(value: dict[str, Any]) -> None:
        first, second = value["shards"][:2]
        first["sha256"], second["sha256"] = second["sha256"], first["sha256"]

    change_manifest(dataset, swap)
    status, line = verify(dataset, capsys)
    assert (status, FIRST in line, "rows" in line) == (1, True, True)


@pytest.mark.parametrize("by_model", [False, True])
@pytest.mark.parametrize("name", ["neural", "tokenizer", "gzip", "token_bytes"])
def test_one_wrong_symbol_under_a_right_digest(
    name: str, by_model: bool, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Of a window's 2^16 symbols, all that lie in the interval of its bytes decode to them, so a low bit may be free.
    bit = 1 << 15 if name == "neural" else 1

    def tamper(encodings: dict[str, Any], documents: Documents) -> Documents:
        symbols = encodings[name].symbols.copy()
        symbols[len(symbols) // 2] ^= bit
        encodings[name] = replace(encodings[name], symbols=symbols)
        return documents

    rewrite(dataset, SECOND, tamper)
    status, line = verify(dataset, capsys, *(["--by-model"] * by_model))
    assert (status, SECOND in line, name in line) == (1, True, True)


def test_the_first_differing_document_is_named(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pa.ipc.open_file((dataset / SECOND).read_bytes()).read_all()

    def tamper(encodings: dict[str, Any], documents: Documents) -> Documents:
        raw = documents.raw.copy()
        raw[documents.offsets[3] + 1] = ord("@")
        raw[documents.offsets[5]] = ord("@")
        return Documents(raw=raw, offsets=documents.offsets)

    rewrite(dataset, SECOND, tamper)
    status, line = verify(dataset, capsys)
    assert status == 1
    assert f"document {table['doc_id'][3].as_py()}" in line
    assert "at byte 1, raw has b'@" in line


def test_counts_that_differ_from_the_manifest(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def miscount(value: dict[str, Any]) -> None:
        first, second = value["shards"][:2]
        first["symbols"]["gzip"] += 1
        second["symbols"]["gzip"] -= 1

    change_manifest(dataset, miscount)
    status, line = verify(dataset, capsys)
    assert (status, FIRST in line, "manifest says" in line) == (1, True, True)


def test_totals_that_do_not_balance(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_manifest(dataset, lambda value: value["totals"].update(read=value["totals"]["read"] + 1))
    status, line = verify(dataset, capsys)
    assert (status, "does not balance" in line) == (2, True)


def test_no_manifest(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dataset / "manifest.json").unlink()
    for words in (["verify", str(dataset)], ["decode", str(dataset), "--out", str(dataset / "d")]):
        assert main(words) == 2
        assert "python -m pipeline preprocess --output" in capsys.readouterr().err


def test_another_byte_lm(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_micro_lm(tmp_path / "other", seed=1)
    shutil.copy(tmp_path / "other/weights.safetensors", dataset / "compressors/neural/weights.safetensors")
    status, line = verify(dataset, capsys)
    assert (status, "byte LM" in line) == (2, True)


def test_a_whole_other_neural_compressor(
    dataset: Path, finished: Path, tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    lm = write_micro_lm(tmp_path / "other", seed=1)
    assert preprocess(finished / "corpus", tmp_path / "out", "--compressors", "neural", "--lm", lm) == 0
    shutil.rmtree(dataset / "compressors/neural")
    shutil.copytree(tmp_path / "out/compressors/neural", dataset / "compressors/neural")
    status, line = verify(dataset, capsys)
    assert (status, "the neural compressor" in line, "not the one that wrote the shards" in line) == (2, True, True)


@pytest.mark.parametrize("name", ["codebook.arrow", "entropy.arrow", "compressor.json", "lm.json"])
def test_a_damaged_artifact(name: str, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = dataset / "compressors/neural" / name
    path.write_bytes(path.read_bytes()[:-3])
    assert verify(dataset, capsys)[0] == 2
    path.unlink()
    assert verify(dataset, capsys)[0] == 2


def test_a_missing_tokenizer(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dataset / "compressors/tokenizer/tokenizer.model").unlink()
    status, line = verify(dataset, capsys)
    assert (status, "tokenizer" in line) == (2, True)


@pytest.mark.parametrize("name", ["neural", "tokenizer", "gzip", "token_bytes", None])
def test_a_source_tree_comes_back_byte_for_byte(name: str | None, tmp_path: Path, preprocess: Preprocess) -> None:
    corpus = write_tree(tmp_path / "corpus")
    assert preprocess(corpus, tmp_path / "out", "--shards", "3") == 0
    words = ["decode", str(tmp_path / "out"), "--out", str(tmp_path / "back")]
    assert main([*words, *(["--compressor", name] if name else [])]) == 0
    assert tree(tmp_path / "back") == tree(corpus)


def test_records_come_back_as_json_lines(finished: Path, tmp_path: Path) -> None:
    assert main(["decode", str(finished / "out"), "--out", str(tmp_path)]) == 0
    names = {"a.jsonl", "b.jsonl", "c.jsonl", "d.parquet.jsonl", "e.arrow.jsonl"}
    assert {path.name for path in tmp_path.iterdir()} == names
    table = rows(finished / "out")
    texts = dict(zip(table["doc_id"].to_pylist(), table["raw"].to_pylist(), strict=True))
    lines = [json.loads(line) for path in tmp_path.iterdir() for line in path.read_text("utf-8").split("\n") if line]
    assert {line["doc_id"]: line["text"].encode() for line in lines} == texts


def test_files_that_differ_in_their_compression_alone_come_back_apart(tmp_path: Path, preprocess: Preprocess) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    pack: dict[str, Callable[[bytes], bytes]] = {
        "a.jsonl": bytes,
        "a.jsonl.gz": gzip.compress,
        "a.jsonl.zst": zstandard.compress,
        "a.jsonl.gz.jsonl": bytes,
        "b.jsonl.xz": lzma.compress,
        "c.jsonl.bz2": bz2.compress,
        "c.jsonl.zstd": zstandard.compress,
    }
    for name, compress in pack.items():
        (corpus / name).write_bytes(compress(jsonl({"text": name})))
    assert preprocess(corpus, tmp_path / "out", "--compressors", "gzip") == 0
    assert main(["decode", str(tmp_path / "out"), "--out", str(tmp_path / "back")]) == 0
    found = {path.name: [json.loads(line)["text"] for line in path.open()] for path in (tmp_path / "back").iterdir()}
    assert sorted(text for own in found.values() for text in own) == sorted(pack)
    assert all(len(own) == 1 for own in found.values())
    assert found["a.jsonl"] == ["a.jsonl"]
    assert found["b.jsonl"] == ["b.jsonl.xz"]


def test_records_in_a_json_file_stay_records(tmp_path: Path, preprocess: Preprocess) -> None:
    (tmp_path / "corpus.json").write_bytes(jsonl({"text": "one"}, {"text": "two"}))
    assert preprocess(tmp_path / "corpus.json", tmp_path / "out", "--compressors", "gzip") == 0
    assert main(["decode", str(tmp_path / "out"), "--out", str(tmp_path / "back")]) == 0
    lines = (tmp_path / "back/corpus.json.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["one", "two"]


def test_decoding_what_was_decoded_gives_the_same_texts(finished: Path, tmp_path: Path, preprocess: Preprocess) -> None:
    assert main(["decode", str(finished / "out"), "--out", str(tmp_path / "back")]) == 0
    assert preprocess(tmp_path / "back", tmp_path / "out", "--compressors", "gzip", "--id-field", "doc_id") == 0
    before, after = rows(finished / "out"), rows(tmp_path / "out")
    assert after["doc_id"].to_pylist() == before["doc_id"].to_pylist()
    assert after["raw"].to_pylist() == before["raw"].to_pylist()


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_decode_overwrites_nothing(
    kind: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "back"
    if kind == "directory":
        out.mkdir()
        (out / "mine").write_text("mine")
    else:
        out.write_text("mine")
    before = times(tmp_path)
    assert main(["decode", str(finished / "out"), "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "not an empty directory" in line
    assert times(tmp_path) == before


def test_decode_of_an_unknown_encoding(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["decode", str(finished / "out"), "--out", str(tmp_path / "back"), "--compressor", "zip"]
    assert main(words) == 2
    assert "has no compressor 'zip'; it has" in capsys.readouterr().err
    assert not (tmp_path / "back").exists()


def test_decode_looks_at_the_digest_before_it_writes(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bit that turned anywhere gives no file, where it once gave a wrong one."""
    whole = (dataset / FIRST).read_bytes()
    rng = random.Random(0)
    for _ in range(100):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (dataset / FIRST).write_bytes(data)
        assert main(["decode", str(dataset), "--out", str(tmp_path / "back")]) == 2
        assert not (tmp_path / "back").exists()
        (line,) = capsys.readouterr().err.splitlines()
        assert FIRST in line


@pytest.mark.parametrize("source", ["a\0b", "x" * 300, "tree.jsonl"])
def test_decode_of_a_source_that_no_file_can_have(
    source: str, tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    """NUL, too long a name, or a file that is another source's directory."""
    lines = [{"text": "one", "source": "tree.jsonl/inner"}, {"text": "two", "source": source}]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = ("--compressors", "gzip", "--shards", "1", "--source-field", "source")
    assert preprocess(tmp_path / "c.jsonl", tmp_path / "out", *options) == 0
    capsys.readouterr()
    assert main(["decode", str(tmp_path / "out"), "--out", str(tmp_path / "back")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be a file below" in line


def test_decode_of_a_damaged_shard(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dataset / FIRST).write_bytes((dataset / FIRST).read_bytes()[:-9])
    assert main(["decode", str(dataset), "--out", str(tmp_path / "back")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert FIRST in line


def test_digests_are_of_the_files(finished: Path) -> None:
    for shard in manifest(finished / "out")["shards"]:
        data = (finished / "out" / shard["name"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == shard["sha256"]
        assert len(data) == shard["file_bytes"]
