"""Stability: distances against a slow oracle, raw bytes as the yardstick, one variant per context and θ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.analysis.frontier import CONTEXTS, QUANTILES, Variants, frontier_rows
from pipeline.analysis.stability import distances, median_interval, stability_rows, symbols_of, symbols_of_texts
from pipeline.analysis.texts import head
from pipeline.compressors.gzip import GzipCompressor
from pipeline.compressors.neural.compressor import NeuralCompressor
from pipeline.compressors.neural.score import score_of_sample
from pipeline.compressors.registry import dataset_compressors
from pipeline.corpus.sample import HELD_OUT_SHARE
from schemas.batches import Documents
from schemas.errors import DatasetError, SettingsError
from schemas.held_out import is_held_out
from schemas.manifest import read_manifest
from tests.pipeline.analysis.measuring import held_out_texts
from tests.pipeline.runs import Preprocess

TEXTS = [(f"t{i}", f"def function_{i}(value):\n    return value * {i}\n" * (2 + i)) for i in range(5)]


def slow_distance(a: list[int], b: list[int]) -> float:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (x != y))
    return row[-1] / max(len(a), len(b), 1)


def test_distances_are_the_definitions() -> None:
    random = np.random.default_rng(0)
    before = [random.integers(0, 3, n).tolist() for n in (0, 1, 2, 9, 30)]
    after = [random.integers(0, 3, n).tolist() for n in (0, 3, 2, 4, 25)]
    wanted = [slow_distance(a, b) for a, b in zip(before, after, strict=True)]
    assert distances(before, after).tolist() == pytest.approx(wanted)


def test_raw_bytes_lose_what_is_deleted_and_gzip_more() -> None:
    rows = stability_rows({"gzip": GzipCompressor()}, TEXTS, shares=(0.1,), seed=1)
    found = {(row.compressor, row.kind): row for row in rows}
    raw, gzip = found["raw", "delete"], found["gzip", "delete"]
    assert raw.distance == pytest.approx(0.1, abs=0.02)
    assert raw.bytes_per_symbol == 1
    assert raw.low <= raw.distance <= raw.high < gzip.distance <= 1
    assert {row.kind for row in rows} == {"delete", "insert", "substitute"}
    assert raw.documents == len(TEXTS)


def test_a_row_does_not_depend_on_the_other_compressors() -> None:
    alone = stability_rows({}, TEXTS, kinds=("insert",), shares=(0.05,))
    with_gzip = stability_rows({"gzip": GzipCompressor()}, TEXTS, kinds=("insert",), shares=(0.05,))
    assert [row for row in with_gzip if row.compressor == "raw"] == alone


def test_no_edits_no_distance() -> None:
    (row,) = stability_rows({}, TEXTS, kinds=("delete",), shares=(0.0,))
    assert (row.distance, row.low, row.high, row.mean) == (0, 0, 0, 0)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A hundred small files, of which some are held out."""
    directory = tmp_path / "corpus"
    directory.mkdir()
    for i in range(100):
        (directory / f"{i}.py").write_text(f"def function_{i}(value):\n    return value * {i}\n" * 3)
    return directory


@pytest.mark.parametrize("n", [1, 2, 500])
def test_the_interval_holds_the_median(n: int) -> None:
    values = np.linspace(0, 1, n)
    low, high = median_interval(values, seed=0)
    assert low <= np.median(values) <= high
    assert median_interval(values, seed=0) == (low, high)


PAIR_OPTIONS = ("--boundary-score", "pair_surprisal", "--score-context-bytes", "2")


@pytest.mark.parametrize(("options", "contexts"), [(PAIR_OPTIONS, CONTEXTS), ((), CONTEXTS[1:])])
def test_every_context_and_threshold_has_a_row(
    options: tuple[str, ...], contexts: tuple[str, ...], preprocess: Preprocess, corpus: Path, tmp_path: Path
) -> None:
    """Byte pairs too, where the dataset's compressor has their table."""
    assert preprocess(corpus, tmp_path / "data", "--compressors", "neural", *options) == 0
    dataset = str(tmp_path / "data")
    neural = dataset_compressors(dataset, read_manifest(dataset))["neural"]
    assert isinstance(neural, NeuralCompressor)
    rows = frontier_rows(neural, TEXTS, seed=0)
    assert [(row.context, row.quantile) for row in rows] == [(c, q) for c in contexts for q in QUANTILES]
    assert all(0 <= row.low <= row.distance <= row.high <= 1 for row in rows)
    for context in contexts:
        thetas = [row.theta_bits for row in rows if row.context == context]
        assert thetas == sorted(thetas)
    assert rows == frontier_rows(neural, TEXTS, seed=0)


def test_a_variant_encodes_as_a_compressor_of_its_own(preprocess: Preprocess, corpus: Path, tmp_path: Path) -> None:
    """Shared entropies and a shared book change no symbol."""
    assert preprocess(corpus, tmp_path / "data", "--compressors", "neural") == 0
    dataset = str(tmp_path / "data")
    neural = dataset_compressors(dataset, read_manifest(dataset))["neural"]
    assert isinstance(neural, NeuralCompressor)
    documents = Documents.from_bytes([text.encode() for _, text in TEXTS])
    variants = Variants(neural, documents, documents.raw.size)
    for context in CONTEXTS[1:]:
        for _, variant in variants.of(context):
            score = score_of_sample(variant.settings, neural.model, documents)
            alone = NeuralCompressor(neural.model, score, variant.settings, variant.theta_bits)
            assert symbols_of(variant, documents) == symbols_of(alone, documents)


def test_a_text_has_the_same_symbols_alone_and_among_others() -> None:
    gzip = GzipCompressor()
    texts = [text for _, text in TEXTS]
    assert symbols_of_texts(gzip, texts) == [symbols_of_texts(gzip, [text])[0] for text in texts]


def test_held_out_texts_are_held_out_and_files_fill_up(preprocess: Preprocess, corpus: Path, tmp_path: Path) -> None:
    assert preprocess(corpus, tmp_path / "data", "--compressors", "gzip") == 0
    more = tmp_path / "more"
    more.mkdir()
    for i in range(30):
        (more / f"{i}.py").write_text(f"# file {i}\n" * 20)
    (more / "binary").write_bytes(b"\xff\xfe" * 100)
    (more / "0.broken.py").write_bytes(b"more than 100 bytes, \xff\xfe" * 10)
    texts, note = held_out_texts(tmp_path / "data", limit=12, max_bytes=100, extra=more)
    assert len(texts) == 12
    documents = [name for name, _ in texts if not name.endswith(".py")]
    everything, _ = held_out_texts(tmp_path / "data", limit=99, max_bytes=100, extra=more)
    assert not {"binary", "0.broken.py"} & {name for name, _ in everything}
    assert all(is_held_out(name, HELD_OUT_SHARE) for name in documents)
    assert f"{len(documents)} held-out documents" in note
    assert all(len(text.encode()) <= 100 for _, text in texts)
    assert (texts, note) == held_out_texts(tmp_path / "data", limit=12, max_bytes=100, extra=more)


def test_a_dataset_without_held_out_texts_says_so(preprocess: Preprocess, tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text('{"text": "short"}\n')
    assert preprocess(tmp_path / "one.jsonl", tmp_path / "data", "--compressors", "gzip") == 0
    with pytest.raises(DatasetError, match="--texts"):
        held_out_texts(tmp_path / "data", limit=5, max_bytes=100)
    with pytest.raises(SettingsError, match="is not a directory"):
        held_out_texts(tmp_path / "data", limit=5, max_bytes=100, extra=tmp_path / "nowhere")


@pytest.mark.parametrize(("raw", "wanted"), [(b"", ""), ("aé".encode(), "a"), ("éa".encode(), "é")])
def test_heads_end_before_a_character(raw: bytes, wanted: str) -> None:
    assert head(raw, 2) == wanted
