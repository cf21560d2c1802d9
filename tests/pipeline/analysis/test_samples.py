"""Samples are what the shard says, and their cells are one per byte and never markup."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis.samples import (
    EXCERPT_BYTES,
    SHADES,
    THETA_SHADE,
    Sample,
    _excerpt,
    cells,
    choose_samples,
    data,
    faces,
    shade,
)
from schemas.batches import Documents
from schemas.manifest import read_manifest
from tests.pipeline.analysis.corpora import HOSTILE, hostile_dataset
from tests.pipeline.analysis.report.test_markup_and_svg import Tags
from tests.pipeline.runs import Preprocess, rows

CELL = re.compile(r'<i class="([a-z0-9 ]*)"(?: tabindex="0")?>([^<]*)</i>\n?')


def ordinals(documents: Documents) -> np.ndarray:
    """Entropies that tell where a byte stands in its document."""
    starts = np.repeat(documents.offsets[:-1], np.diff(documents.offsets))
    return (np.arange(documents.raw.size) - starts).astype(np.float32) / 1000


def sample_of(raw: bytes, ends: list[int]) -> Sample:
    """A document with these segments, each one symbol."""
    return Sample(
        doc_id="d", source="s", language="l", compressor="neural", document_bytes=len(raw),
        document_symbols={"neural": len(ends)}, start=0, first_segment=0, raw=raw,
        score="entropy", theta_bits=4.0,
        score_bits=tuple(float(i % 9) for i in range(len(raw))), segment_ends=tuple(ends),
        symbol_ends=tuple(range(1, len(ends) + 1)), symbols=tuple(range(len(ends))), window_ends=tuple(ends),
    )  # fmt: skip


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, preprocess: Preprocess) -> Path:
    """The dataset of hostile documents."""
    return hostile_dataset(tmp_path_factory.mktemp("hostile") / "corpus", preprocess)


@pytest.fixture(scope="module")
def samples(hostile: Path) -> list[Sample]:
    """All of its documents."""
    return choose_samples(str(hostile), read_manifest(hostile), ordinals, number=len(HOSTILE), seed=0)


def test_samples_are_what_the_shards_say(samples: list[Sample], hostile: Path) -> None:
    table = {row["doc_id"]: row for row in rows(hostile).to_pylist()}
    assert sorted(sample.doc_id for sample in samples) == sorted(HOSTILE)
    for sample in samples:
        row = table[sample.doc_id]
        stop = sample.start + len(sample.raw)
        assert sample.raw == row["raw"][sample.start : stop]
        ends = [sample.start + end for end in sample.segment_ends]
        first = sample.first_segment
        assert ends == row["neural"]["raw_ends"][first : first + len(ends)]
        before = row["neural"]["symbol_ends"][first - 1] if first else 0
        assert list(sample.symbols) == row["neural"]["symbols"][before : before + len(sample.symbols)]
        assert sample.window_ends is not None
        windows = [sample.start + end for end in sample.window_ends]
        assert windows == row["neural"]["window_ends"][before : before + len(sample.symbols)]
        assert sample.window_ends[-1] == sample.segment_ends[-1] == len(sample.raw)
        assert sample.symbol_ends[-1] == len(sample.symbols)
        assert sample.document_symbols["gzip"] == len(row["gzip"]["symbols"])
        assert sample.score_bits is not None
        np.testing.assert_allclose(sample.score_bits, np.arange(sample.start, stop) / 1000, atol=1e-6)
        sample.raw.decode()


def test_the_choice_is_a_function_of_the_seed(hostile: Path) -> None:
    def chosen(seed: int, number: int = 4) -> list[str]:
        found = choose_samples(str(hostile), read_manifest(hostile), None, number=number, seed=seed)
        return [sample.doc_id for sample in found]

    assert chosen(0) == chosen(0)
    assert len({tuple(chosen(seed, len(HOSTILE))) for seed in range(5)}) > 1
    assert len(chosen(0, 1)) == 1
    assert len(chosen(0, 99)) == len(HOSTILE)


def test_without_a_byte_lm_there_are_no_shades(tmp_path: Path, finished: Path, preprocess: Preprocess) -> None:
    corpus = finished / "corpus" / "a.jsonl"
    assert preprocess(corpus, tmp_path / "tokens", "--compressors", "tokenizer", "--shards", "1") == 0
    (sample, *_) = choose_samples(str(tmp_path / "tokens"), read_manifest(tmp_path / "tokens"), None, number=2, seed=0)
    assert sample.score_bits is None and sample.window_ends is None and sample.compressor == "tokenizer"
    assert not re.search(r"\bh\d", cells(sample))
    assert preprocess(corpus, tmp_path / "gzip", "--compressors", "gzip", "--shards", "1") == 0
    assert choose_samples(str(tmp_path / "gzip"), read_manifest(tmp_path / "gzip"), None, number=2, seed=0) == []


def test_hostile_documents_become_cells(samples: list[Sample]) -> None:
    for sample in samples:
        written = cells(sample)
        found = CELL.findall(written)
        assert "".join(CELL.sub("", written)) == "", sample.doc_id
        assert len(found) == len(sample.raw)
        assert set(Tags(written).tags) <= {"i"}
        assert "<" not in data(sample) and "\u2028" not in data(sample)
        numbers = json.loads(data(sample))
        assert bytes(numbers["bytes"]) == sample.raw


@given(st.text(min_size=1, max_size=40), st.data())
def test_one_cell_per_byte_wherever_segments_cut(value: str, draw: st.DataObject) -> None:
    raw = value.encode("utf-8", "surrogatepass")
    cuts = draw.draw(st.lists(st.integers(1, len(raw)), unique=True).map(sorted))
    ends = sorted({*cuts, len(raw)})
    found = CELL.findall(cells(sample_of(raw, ends)))
    assert len(found) == len(raw)
    starts = [i for i, (classes, _) in enumerate(found) if "s" in classes.split()]
    assert starts == [0, *ends[:-1]]


@given(st.binary(max_size=30))
def test_any_bytes_have_faces(raw: bytes) -> None:
    shown = list(faces(raw))
    assert len(shown) == len(raw)
    assert all(unescape(face).isprintable() and face for face, _ in shown)


def test_faces() -> None:
    assert list(faces("<é\n \t\0".encode())) == [
        ("&lt;", ""), ("é", ""), ("a9", "x"), ("↵", "q"), ("·", "q"), ("→", "q"), ("00", "x"),
    ]  # fmt: skip
    assert list(faces(b"\xff\xe2\x98")) == [("ff", "x"), ("e2", "x"), ("98", "x")]
    assert next(faces("\u202e".encode())) == ("U+202E", "x")
    assert next(faces("\u0301".encode())) == ("◌\u0301", "")


@pytest.mark.parametrize(
    ("bits", "level"), [(0, 0), (0.49, 0), (0.5, 1), (4, 7), (4.001, 8), (4.5, 9), (5.5, 11), (20, SHADES - 1)]
)
def test_shades_of_half_a_bit(bits: float, level: int) -> None:
    assert shade(bits, 4.0) == level


@given(st.floats(0, 20), st.floats(0, 20), st.floats(0, 16))
def test_shades_rise_and_tell_boundaries(one: float, other: float, theta_bits: float) -> None:
    low, high = sorted((one, other))
    assert 0 <= shade(low, theta_bits) <= shade(high, theta_bits) < SHADES
    assert (shade(one, theta_bits) >= THETA_SHADE) == (one > theta_bits)


@given(st.text(alphabet="aé\n☕", min_size=1, max_size=3000), st.integers(1, 9))
def test_an_excerpt_is_whole_segments_and_characters(value: str, length: int) -> None:
    raw = np.frombuffer(value.encode(), np.uint8)
    ends = np.array([*range(length, raw.size, length), raw.size], np.int64)
    first, last = _excerpt(raw, ends)
    assert 0 <= first < last <= ends.size
    start, stop = (int(ends[first - 1]) if first else 0), int(ends[last - 1])
    raw[start:stop].tobytes().decode()
    assert stop - start <= EXCERPT_BYTES + 40 or first == 0
