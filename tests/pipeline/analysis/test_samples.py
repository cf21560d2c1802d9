"""Samples: the documents chosen, against a slow twin that sees them all at once, and excerpts against the shards."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.counter_rng import draws, hash_strings, key
from pipeline.analysis.findings import Excerpt
from pipeline.analysis.report.sample_cells import cells
from pipeline.analysis.samples import EXCERPT_BYTES, MIN_SAMPLE_BYTES, excerpt_segments
from pipeline.analysis.seeds import Purpose
from schemas.batches import Documents
from schemas.shard_files import open_shards
from schemas.views import comp_view
from tests.pipeline.analysis.corpora import HOSTILE, hostile_dataset
from tests.pipeline.analysis.measuring import chosen_places, excerpts_of, scored_by
from tests.pipeline.runs import Preprocess, rows


def ordinals(documents: Documents) -> np.ndarray:
    """Entropies that rise with the position of a byte in its document."""
    starts = np.repeat(documents.offsets[:-1], np.diff(documents.offsets))
    return (np.arange(documents.raw.size) - starts).astype(np.float32) / 1000


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, preprocess: Preprocess) -> Path:
    """The dataset of hostile documents."""
    return hostile_dataset(tmp_path_factory.mktemp("hostile") / "corpus", preprocess)


@pytest.fixture(scope="module")
def samples(hostile: Path) -> list[Excerpt]:
    """All of its documents."""
    return excerpts_of(hostile, scored_by(ordinals), number=len(HOSTILE))


def test_samples_are_what_the_shards_say(samples: list[Excerpt], hostile: Path) -> None:
    table = {row["doc_id"]: row for row in rows(hostile).to_pylist()}
    ends_of = {row["doc_id"]: row for row in comp_view(rows(hostile), "neural").to_pylist()}
    assert sorted(sample.doc_id for sample in samples) == sorted(HOSTILE)
    for sample in samples:
        row, encoded = table[sample.doc_id], ends_of[sample.doc_id]
        stop = sample.start + len(sample.raw)
        assert sample.raw == row["raw"][sample.start : stop]
        ends = [sample.start + end for end in sample.segment_ends]
        first = sample.first_segment
        assert ends == encoded["raw_ends"][first : first + len(ends)]
        before = encoded["symbol_ends"][first - 1] if first else 0
        assert list(sample.symbols) == row["neural"]["symbols"][before : before + len(sample.symbols)]
        assert sample.window_ends is not None
        windows = [sample.start + end for end in sample.window_ends]
        assert windows == encoded["window_ends"][before : before + len(sample.symbols)]
        assert sample.window_ends[-1] == sample.segment_ends[-1] == len(sample.raw)
        assert sample.symbol_ends[-1] == len(sample.symbols)
        assert sample.document_symbols["gzip"] == len(row["gzip"]["symbols"])
        assert sample.score_bits is not None
        np.testing.assert_allclose(sample.score_bits, np.arange(sample.start, stop) / 1000, atol=1e-6)
        sample.raw.decode()


def test_the_choice_is_a_function_of_the_seed(hostile: Path) -> None:
    def chosen(seed: int, number: int = 4) -> list[str]:
        return [excerpt.doc_id for excerpt in excerpts_of(hostile, None, number=number, seed=seed)]

    assert chosen(0) == chosen(0)
    assert len({tuple(chosen(seed, len(HOSTILE))) for seed in range(5)}) > 1
    assert len(chosen(0, 1)) == 1
    assert len(chosen(0, 99)) == len(HOSTILE)


def slow_choice(dataset: Path, number: int, seed: int) -> list[int]:
    """Rows of the dataset, by the rule with all documents in memory."""
    table = rows(dataset).to_pylist()
    ids = Documents.from_bytes([row["doc_id"].encode() for row in table])
    drawn = draws(key(seed, Purpose.SAMPLES), hash_strings(ids.raw, ids.offsets)).tolist()
    order = sorted(range(len(table)), key=lambda i: (len(table[i]["raw"]) < MIN_SAMPLE_BYTES, drawn[i], i))
    sizes: dict[str, int] = {}
    for row in table:
        sizes[row["language"]] = sizes.get(row["language"], 0) + len(row["raw"])
    languages = sorted(sizes, key=lambda name: (-sizes[name], name))[: max(1, number - 2)]
    chosen = [next(i for i in order if table[i]["language"] == name) for name in languages]
    if all(table[i]["raw"].isascii() for i in chosen):
        chosen += [i for i in order if not table[i]["raw"].isascii()][:1]
    return [*chosen, *(i for i in order if i not in chosen)][:number]


@pytest.mark.parametrize("number", [1, 2, 3, 6, 200])
def test_samples_are_chosen_as_if_all_documents_were_in_memory(number: int, finished: Path, hostile: Path) -> None:
    for dataset in (finished / "out", hostile):
        starts = np.cumsum([0, *(batch.num_rows for batch in open_shards(dataset))]).tolist()
        for seed in range(4):
            places = chosen_places(dataset, number=number, seed=seed)
            assert [starts[place.batch] + place.row for place in places] == slow_choice(dataset, number, seed)


def test_without_a_byte_lm_there_are_no_shades(tmp_path: Path, finished: Path, preprocess: Preprocess) -> None:
    corpus = finished / "corpus" / "a.jsonl"
    assert preprocess(corpus, tmp_path / "tokens", "--compressors", "tokenizer", "--shards", "1") == 0
    (sample, *_) = excerpts_of(tmp_path / "tokens", None, number=2)
    assert sample.score_bits is None and sample.window_ends is None and sample.compressor == "tokenizer"
    assert not re.search(r"\bh\d", cells(sample))
    assert preprocess(corpus, tmp_path / "gzip", "--compressors", "gzip", "--shards", "1") == 0
    assert excerpts_of(tmp_path / "gzip", None, number=2) == []


@given(st.text(alphabet="aé\n☕", min_size=1, max_size=3000), st.integers(1, 9))
def test_an_excerpt_is_whole_segments_and_characters(value: str, length: int) -> None:
    raw = np.frombuffer(value.encode(), np.uint8)
    ends = np.array([*range(length, raw.size, length), raw.size], np.int64)
    first, last = excerpt_segments(raw, ends)
    assert 0 <= first < last <= ends.size
    start, stop = (int(ends[first - 1]) if first else 0), int(ends[last - 1])
    raw[start:stop].tobytes().decode()
    assert stop - start <= EXCERPT_BYTES + 40 or first == 0
