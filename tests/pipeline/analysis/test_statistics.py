"""Statistics against plain-Python twins, on a finished dataset and on hand-made shards."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis.findings import Histogram, Statistics
from pipeline.analysis.histograms import HistogramCounter
from schemas.batches import Documents, lengths_within
from schemas.errors import DatasetError
from schemas.manifest import read_manifest
from schemas.views import comp_view
from tests.pipeline.analysis.measuring import scored_by, statistics_of
from tests.pipeline.runs import ALL_COMPRESSORS, Preprocess, rows
from tests.schemas.shard_samples import CORPORA, Text, encoding_of


def lengths(ends: list[int]) -> list[int]:
    """Ends to lengths."""
    return [b - a for a, b in zip([0, *ends], ends, strict=False)]


@pytest.fixture(scope="module")
def counted(finished: Path) -> Statistics:
    """Statistics of the finished dataset, its entropies faked by the bytes."""
    return statistics_of(finished / "out", scored_by(lambda documents: documents.raw / np.float32(32)))


def histogram(found: Statistics, quantity: str, compressor: str) -> Histogram:
    """The one of a quantity and a compressor."""
    (one,) = [h for h in found.histograms if (h.quantity, h.compressor) == (quantity, compressor)]
    return one


def test_totals_are_the_manifests(counted: Statistics, finished: Path) -> None:
    totals = read_manifest(finished / "out").totals
    assert (counted.documents, counted.raw_bytes) == (totals.written, totals.raw_bytes)
    assert {row.compressor: row.symbols for row in counted.compressors} == totals.symbols
    for name in totals.symbols:
        own = [row for row in counted.languages if row.compressor == name]
        assert sum(row.documents for row in own) == totals.written
        assert sum(row.raw_bytes for row in own) == totals.raw_bytes
        assert sum(row.symbols for row in own) == totals.symbols[name]


@pytest.mark.parametrize("name", ALL_COMPRESSORS.split(","))
def test_compressors_as_a_slow_count_finds_them(name: str, counted: Statistics, finished: Path) -> None:
    encoded = comp_view(rows(finished / "out"), name).to_pylist()
    symbols = Counter(symbol for value in encoded for symbol in value["symbols"])
    (row,) = [row for row in counted.compressors if row.compressor == name]
    assert row.alphabet_used == len(symbols)
    assert row.segments == sum(len(value["raw_ends"]) for value in encoded)
    n = symbols.total()
    bits = -sum(k * math.log2(k / n) for k in symbols.values())
    assert row.unigram_bits_per_byte == pytest.approx(bits / counted.raw_bytes)
    assert row.bytes_per_symbol == pytest.approx(counted.raw_bytes / n)


def test_lengths_as_a_slow_count_finds_them(counted: Statistics, finished: Path) -> None:
    encoded = comp_view(rows(finished / "out"), "neural").to_pylist()
    for quantity, field in {
        "segment_bytes": "raw_ends",
        "segment_symbols": "symbol_ends",
        "window_bytes": "window_ends",
    }.items():
        slow = Counter(length for value in encoded for length in lengths(value[field]))
        found = histogram(counted, quantity, "neural")
        assert found.total == slow.total()
        assert found.mean == pytest.approx(sum(k * v for k, v in slow.items()) / slow.total())
        for i, number in enumerate(found.counts[: -1 if found.open_ended else None]):
            assert number == slow[i + 1]
        assert sum(found.counts) == found.total


def test_languages_as_a_slow_count_finds_them(counted: Statistics, finished: Path) -> None:
    table = rows(finished / "out").to_pylist()
    for row in counted.languages:
        own = [value for value in table if value["language"] == row.language]
        ratios = [len(value["raw"]) / len(value[row.compressor]["symbols"]) for value in own]
        assert row.documents == len(own)
        for share, found in ((0.25, row.low), (0.5, row.middle), (0.75, row.high)):
            slow = sorted(ratios)[max(0, math.ceil(share * len(ratios)) - 1)]
            assert slow - 0.011 <= found <= slow + 1e-9 or slow > 63
    sizes = [row.raw_bytes for row in counted.languages]
    assert sizes == sorted(sizes, reverse=True)


def test_entropies_are_counted_once_each(counted: Statistics, finished: Path) -> None:
    raw = np.concatenate([np.frombuffer(value.as_py(), np.uint8) for value in rows(finished / "out")["raw"]])
    found = histogram(counted, "entropy_bits", "neural")
    assert found.total == counted.raw_bytes
    slow = np.bincount(raw // 8)
    assert list(found.counts) == slow[: len(found.counts)].tolist()


def test_without_entropies_there_is_no_such_histogram(finished: Path) -> None:
    found = statistics_of(finished / "out")
    assert not [h for h in found.histograms if h.quantity == "entropy_bits"]


def test_costly_entropies_are_asked_for_a_little(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def entropies(documents: Documents) -> np.ndarray:
        asked.append(documents.raw.size)
        assert documents.offsets[-1] == documents.raw.size
        return np.ones(documents.raw.size, np.float32)

    monkeypatch.setattr("pipeline.analysis.statistics.MODEL_SCORED_BYTES", 4 * 70)
    statistics_of(finished / "out", scored_by(entropies, needs_model=True))
    assert asked and max(asked) <= 70


def test_the_column_is_taken_where_there_is_one(tmp_path: Path, finished: Path, preprocess: Preprocess) -> None:
    options = ("--shards", "1", "--write-entropy", "--compressors", "neural")
    assert preprocess(finished / "corpus" / "a.jsonl", tmp_path / "out", *options) == 0

    def unused(documents: Documents) -> np.ndarray:
        raise AssertionError("the column holds the scores")

    found = statistics_of(tmp_path / "out", scored_by(unused))
    values = np.concatenate([np.asarray(row.values) for row in rows(tmp_path / "out")["entropy"]])
    assert histogram(found, "entropy_bits", "neural").mean == pytest.approx(float(values.mean()), rel=1e-5)


def test_a_manifest_that_says_otherwise(finished: Path) -> None:
    manifest = read_manifest(finished / "out")
    wrong = replace(manifest, totals=replace(manifest.totals, raw_bytes=1))
    with pytest.raises(DatasetError, match="the shards hold .* raw bytes, the manifest says 1"):
        statistics_of(finished / "out", manifest=wrong)


@given(CORPORA)
def test_lengths_within_documents(texts: list[Text]) -> None:
    encoding = encoding_of(texts)
    assert encoding.window_ends is not None
    slow = [len(raw) for text in texts for segment in text for raw, _ in segment]
    assert lengths_within(encoding.window_ends, encoding.symbol_offsets).tolist() == slow
    slow = [len(segment) for text in texts for segment in text]
    assert lengths_within(encoding.symbol_ends, encoding.segment_offsets).tolist() == slow


@given(st.lists(st.integers(1, 60)))
def test_a_counter_conserves_its_values(values: list[int]) -> None:
    counter = HistogramCounter(1.0, 1.0, 40, open_ended=True)
    for part in (values[::2], values[1::2]):
        counter.add(np.array(part, np.int64))
    found = counter.histogram("segment_bytes", "neural")
    assert sum(found.counts) == found.total == len(values)
    assert found.mean * max(1, len(values)) == pytest.approx(sum(values))
    assert found.open_ended == (max(values, default=0) >= 40)
