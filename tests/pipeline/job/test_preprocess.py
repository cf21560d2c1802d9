"""Whole runs: balanced counts, the same bytes however the work is cut, and a second run that does nothing."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kernels.prefix_coding import PrefixCoder
from pipeline.__main__ import main
from pipeline.corpus.read import read_documents
from pipeline.corpus.records import Record
from pipeline.corpus.settings import ReadSettings
from pipeline.corpus.source_files import FORMATS
from schemas.manifest import read_manifest
from schemas.shards import ENTROPY
from tests.pipeline.corpora import jsonl, texts, whole
from tests.pipeline.runs import (
    ALL_COMPRESSORS,
    MIXED_DOCUMENTS,
    MIXED_REJECTS,
    Models,
    Preprocess,
    content,
    manifest,
    rows,
    shard_digests,
    times,
    tree,
    write_tree,
)

GZIP = ("--compressors", "gzip")
ROOT = Path(__file__).parents[3]
OLDER_CPU = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}
"""What hides most instructions of a CPU from torch, oneDNN and MKL."""


def test_counts_balance(finished: Path) -> None:
    totals = manifest(finished / "out")["totals"]
    assert totals["read"] == totals["written"] + totals["rejected"]
    assert totals["written"] == MIXED_DOCUMENTS == rows(finished / "out").num_rows
    assert totals["rejected_by_reason"] == MIXED_REJECTS
    lines = [line for path in (finished / "out/rejects").iterdir() for line in path.read_text().splitlines()]
    assert len(lines) == totals["rejected"]
    for shard in manifest(finished / "out")["shards"]:
        table = pa.ipc.open_file(finished / "out" / shard["name"]).read_all()
        assert table.num_rows == shard["rows"]
        assert sum(len(text) for text in table["raw"].to_pylist()) == shard["raw_bytes"]
        for name, count in shard["symbols"].items():
            assert sum(len(symbols) for symbols in table[name].combine_chunks().field("symbols").to_pylist()) == count


def test_documents_are_those_that_the_reader_reads(finished: Path) -> None:
    kinds = {"a.jsonl": "jsonl", "b.jsonl.gz": "jsonl.gz", "c.jsonl.zst": "jsonl.zst"}
    kinds |= {"d.parquet": "parquet", "e.arrow": "arrow"}
    assert set(kinds.values()) < set(FORMATS)
    items = list(read_documents([whole(finished / "corpus" / k, v) for k, v in kinds.items()], ReadSettings()))
    records = [item for item in items if isinstance(item, Record)]
    table = rows(finished / "out")
    assert table["raw"].to_pylist() == [record.text for record in records]
    assert table["doc_id"].to_pylist() == [record.doc_id for record in records]
    assert table["source"].to_pylist() == [record.source for record in records]
    assert len(set(table["doc_id"].to_pylist())) == MIXED_DOCUMENTS


def test_a_finished_dataset_is_shards_manifest_rejects_report_and_models(finished: Path) -> None:
    names = {path.name for path in (finished / "out").iterdir()}
    shards = {shard["name"] for shard in manifest(finished / "out")["shards"]}
    assert names == shards | {"manifest.json", "report.json", "settings.json", "rejects", "compressors", ".lock"}
    assert len(shards) == 4


@pytest.mark.parametrize("workers", ["1", "2", "5"])
def test_workers_do_not_matter(workers: str, finished: Path, tmp_path: Path, preprocess: Preprocess) -> None:
    assert preprocess(finished / "corpus", tmp_path / "out", "--shards", "4", "--workers", workers) == 0
    assert content(tmp_path / "out") == content(finished / "out")


def test_an_older_cpu_makes_the_same_dataset_and_the_same_models(
    finished: Path, tmp_path: Path, models: Models
) -> None:
    """To the byte, and so to the digests by which datasets are mixed and trainings continued."""
    inputs = ["--input", str(finished / "corpus"), "--output", str(tmp_path / "out"), "--shards", "4", "--workers", "1"]
    command = [sys.executable, "-m", "pipeline", "preprocess", *inputs, *models.options]
    options = ["--compressors", ALL_COMPRESSORS]
    subprocess.run([*command, *options], env={**os.environ, **OLDER_CPU}, cwd=ROOT, check=True, capture_output=True)
    assert content(tmp_path / "out") == content(finished / "out")
    assert tree(tmp_path / "out/compressors") == tree(finished / "out/compressors")


def test_a_moved_corpus_gives_the_same_bytes(finished: Path, tmp_path: Path, preprocess: Preprocess) -> None:
    moved = Path(shutil.copytree(finished / "corpus", tmp_path / "elsewhere" / "deep" / "corpus"))
    assert preprocess(moved, tmp_path / "out", "--shards", "4") == 0
    assert content(tmp_path / "out") == content(finished / "out")


def test_relative_paths_give_the_same_bytes(
    finished: Path, tmp_path: Path, preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished / "corpus", "corpus")
    assert preprocess(Path("./corpus"), "some/where/out/", "--shards", "4") == 0
    assert content(tmp_path / "some/where/out") == content(finished / "out")


def test_the_order_of_inputs_does_not_matter(finished: Path, tmp_path: Path, preprocess: Preprocess) -> None:
    files = sorted((finished / "corpus").iterdir())
    for seed in range(2):
        random.Random(seed).shuffle(files)
        assert preprocess([*files, files[0]], tmp_path / str(seed), "--shards", "4") == 0
        assert shard_digests(tmp_path / str(seed)) == shard_digests(finished / "out")


@pytest.mark.parametrize("batch", [5, 1000])
def test_lm_batch_sizes_do_not_matter(
    batch: int, finished: Path, tmp_path: Path, preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PrefixCoder.__init__.__kwdefaults__, "prefixes_per_read", batch)
    assert preprocess(finished / "corpus", tmp_path / "out", "--shards", "4") == 0
    assert shard_digests(tmp_path / "out") == shard_digests(finished / "out")


def test_the_number_of_shards_does_not_change_codes(finished: Path, tmp_path: Path, preprocess: Preprocess) -> None:
    assert preprocess(finished / "corpus", tmp_path / "out", "--shards", "9") == 0
    assert len(shard_digests(tmp_path / "out")) == 9
    assert rows(tmp_path / "out").to_pylist() == rows(finished / "out").to_pylist()
    assert tree(tmp_path / "out/compressors") == tree(finished / "out/compressors")


def test_a_second_run_touches_nothing(
    finished: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    before = times(finished / "out")
    assert preprocess(finished / "corpus", finished / "out", "--shards", "4") == 0
    assert "everything is in place" in capsys.readouterr().out
    assert preprocess(finished / "corpus", finished / "out", "--shards", "4", "--workers", "3") == 0
    assert times(finished / "out") == before


@pytest.mark.parametrize("name", ["neural", "tokenizer", "gzip", "token_bytes"])
def test_each_compressor_alone(name: str, tmp_path: Path, preprocess: Preprocess, finished: Path) -> None:
    assert preprocess(finished / "corpus", tmp_path / "out", "--shards", "4", "--compressors", name) == 0
    assert list(manifest(tmp_path / "out")["compressors"]) == [name]
    alone, beside = rows(tmp_path / "out"), rows(finished / "out")
    assert alone.schema.names == ["doc_id", "source", "language", "raw", name]
    assert alone[name].to_pylist() == beside[name].to_pylist()
    assert main(["verify", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize(
    "options",
    [
        ("--boundary-score", "document_entropy", "--score-context-bytes", "2"),
        ("--boundary-score", "pair_surprisal", "--score-context-bytes", "2"),
        ("--score-context-bytes", "3"),
        ("--context", "document"),
        ("--max-segment-bytes", "1"),
        ("--theta", "0"),
        ("--theta", "8"),
        ("--theta", "mean_bytes=3"),
        ("--token-code", "gray", "--token-width-bytes", "3"),
        ("--tokenizer", "", "--tokenizer-vocabulary", "310"),
    ],
    ids=lambda options: "_".join(options).strip("-"),
)
def test_every_setting_of_the_compressors_verifies(
    options: tuple[str, ...], finished: Path, tmp_path: Path, preprocess: Preprocess
) -> None:
    assert preprocess(finished / "corpus", tmp_path / "out", "--shards", "2", *options) == 0
    assert main(["verify", str(tmp_path / "out"), "--by-model"]) == 0


def test_entropy_is_written_on_request(finished: Path, tmp_path: Path, preprocess: Preprocess) -> None:
    options = ("--shards", "4", "--compressors", "neural", "--write-entropy")
    assert preprocess(finished / "corpus", tmp_path / "out", *options) == 0
    table = rows(tmp_path / "out")
    assert table.schema.field(ENTROPY).type == pa.list_(pa.float32())
    for bits, text in zip(table[ENTROPY].to_pylist(), table["raw"].to_pylist(), strict=True):
        assert len(bits) == len(text)
        assert np.isfinite(bits).all()
        assert 0 <= min(bits) <= max(bits) <= 8
    assert table["neural"].to_pylist() == rows(finished / "out")["neural"].to_pylist()


def test_uncompressed_shards_hold_the_same_rows(finished: Path, tmp_path: Path, preprocess: Preprocess) -> None:
    assert preprocess(finished / "corpus", tmp_path / "out", "--shards", "4", "--compression", "none") == 0
    assert rows(tmp_path / "out").equals(rows(finished / "out"))
    assert shard_digests(tmp_path / "out") != shard_digests(finished / "out")
    with pa.memory_map(str(next((tmp_path / "out").glob("shard-*")))) as file:
        before = pa.total_allocated_bytes()
        raw = pa.ipc.open_file(file).get_batch(0).column("raw")
        assert pa.total_allocated_bytes() == before, "a plain shard is read without a copy"
        assert len(raw) > 0


@pytest.mark.parametrize("count", [1, 2])
def test_few_documents(count: int, tmp_path: Path, preprocess: Preprocess) -> None:
    (tmp_path / "corpus.jsonl").write_bytes(jsonl(*({"text": text} for text in texts(count))))
    assert preprocess(tmp_path / "corpus.jsonl", tmp_path / "out", "--shards", "5") == 0
    assert manifest(tmp_path / "out")["totals"]["written"] == count
    assert main(["verify", str(tmp_path / "out")]) == 0


def test_no_document_is_left(tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "corpus.jsonl").write_bytes(b"no\nno\n")
    limit = ("--max-reject-fraction", "1")
    assert preprocess(tmp_path / "corpus.jsonl", tmp_path / "neural", *limit) == 2
    assert "no document could be read" in capsys.readouterr().err
    assert preprocess(tmp_path / "corpus.jsonl", tmp_path / "gzip", *limit, *GZIP) == 0
    assert manifest(tmp_path / "gzip")["totals"]["rejected"] == 2
    assert main(["verify", str(tmp_path / "gzip")]) == 0


def test_a_source_tree_is_one_document_a_file(tmp_path: Path, preprocess: Preprocess) -> None:
    corpus = write_tree(tmp_path / "corpus")
    assert preprocess(corpus, tmp_path / "out", *GZIP) == 0
    table = rows(tmp_path / "out")
    assert dict(zip(table["source"].to_pylist(), table["raw"].to_pylist(), strict=True)) == tree(corpus)
    languages = dict(zip(table["source"].to_pylist(), table["language"].to_pylist(), strict=True))
    assert languages["main.py"] == "Python"
    assert languages["pkg/deep/er/util.c"] == "C"


def test_own_ids_are_kept(tmp_path: Path, preprocess: Preprocess) -> None:
    (tmp_path / "corpus.jsonl").write_bytes(jsonl(*({"text": t, "key": f"k{i}"} for i, t in enumerate(texts(3)))))
    assert preprocess(tmp_path / "corpus.jsonl", tmp_path / "out", "--id-field", "key", *GZIP) == 0
    assert rows(tmp_path / "out")["doc_id"].to_pylist() == ["k0", "k1", "k2"]


def test_the_text_field_can_be_named(tmp_path: Path, preprocess: Preprocess) -> None:
    (tmp_path / "corpus.jsonl").write_bytes(jsonl({"text": "no", "code": "yes"}))
    assert preprocess(tmp_path / "corpus.jsonl", tmp_path / "out", "--text-field", "code", "text", *GZIP) == 0
    assert rows(tmp_path / "out")["raw"].to_pylist() == [b"yes"]


def test_the_summary_says_what_is_there(
    finished: Path, tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    assert preprocess(finished / "corpus", tmp_path / "out", "--shards", "4") == 0
    out = capsys.readouterr().out
    totals = manifest(tmp_path / "out")["totals"]
    assert f"{MIXED_DOCUMENTS:,} documents" in out
    assert "rejected: 3 (1 bad_json, 1 empty, 1 no_text_field)" in out
    for name in ("neural", "tokenizer", "gzip", "token_bytes"):
        (line,) = [line for line in out.splitlines() if line.startswith(f"{name} ")]
        assert f"{totals['raw_bytes'] / totals['symbols'][name]:.3f}" in line
    assert f"python -m pipeline verify {tmp_path / 'out'}" in out


def test_the_report_has_seconds_and_the_manifest_has_none(finished: Path) -> None:
    report = json.loads((finished / "out/report.json").read_bytes())
    assert {"stage_seconds", "wall_seconds", "shards_wall_seconds", "workers"} <= set(report)
    assert "seconds" not in (finished / "out/manifest.json").read_text()
    assert str(finished) not in (finished / "out/manifest.json").read_text()


def test_an_object_store_gets_the_same_bytes(finished: Path, tmp_path: Path, preprocess: Preprocess) -> None:
    url = f"file://{tmp_path}/out"
    assert preprocess(finished / "corpus", url, "--shards", "4", "--workers", "2") == 0
    stored = tree(tmp_path / "out")
    assert content(tmp_path / "out") == content(finished / "out")
    assert not [name for name in stored if name.startswith("_work")], "nothing staged is left"
    assert preprocess(finished / "corpus", url, "--shards", "4") == 0
    assert tree(tmp_path / "out") == stored
    assert preprocess(finished / "corpus", url, "--shards", "5") == 2


def test_a_finished_dataset_can_be_read_back_and_balances(finished: Path) -> None:
    assert read_manifest(finished / "out").imbalance() is None
