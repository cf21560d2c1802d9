"""The sample is a function of the documents alone, and what is held out stays out."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pipeline.compressors.tokenizer.training
import pipeline.corpus.sample
from pipeline.corpus.read import read_documents
from pipeline.corpus.records import Record
from pipeline.corpus.sample import HELD_OUT_SHARE, draw_sample
from pipeline.corpus.settings import CorpusSettings, ReadSettings
from schemas.errors import InputError
from schemas.held_out import hash_share, is_held_out
from schemas.sample import read_sample, write_sample
from tests.pipeline.corpora import jsonl, plan_units, texts
from tests.pipeline.runs import Preprocess, write_mixed

READ = ReadSettings()


def draw(inputs: list[str], read: ReadSettings, sample_bytes: int) -> list[tuple[str, bytes, bool]]:
    return draw_sample(CorpusSettings(inputs=tuple(inputs), read=read), sample_bytes)


MANY = 5000


def documents(*inputs: Path) -> dict[str, bytes]:
    """All documents of a corpus by id."""
    units = plan_units([str(path) for path in inputs], shards=1, unit_bytes=1)
    items = [item for unit in units for item in read_documents(unit.pieces, READ)]
    return {item.doc_id: item.text for item in items if isinstance(item, Record)}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5,000 tiny documents in ten files."""
    root = tmp_path_factory.mktemp("many")
    for number in range(10):
        records = [{"text": f"{number} {i} " + "x" * (i % 50)} for i in range(MANY // 10)]
        (root / f"{number}.jsonl").write_bytes(jsonl(*records))
    return root


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units of a kilobyte, so that a corpus of some files is larger than what is read for a sample."""
    monkeypatch.setattr(pipeline.corpus.sample, "SAMPLE_UNIT_BYTES", 1000)


def test_a_small_corpus_is_taken_whole(tmp_path: Path) -> None:
    corpus = write_mixed(tmp_path / "corpus")
    rows = draw([str(corpus)], READ, 1 << 20)
    assert {doc_id: text for doc_id, text, _ in rows} == documents(corpus)
    shares = [hash_share("sample", doc_id) for doc_id, *_ in rows]
    assert shares == sorted(shares)


def test_the_held_out_share(many: Path) -> None:
    rows = draw([str(many)], READ, 1 << 30)
    assert len(rows) == MANY
    share = sum(held for *_, held in rows) / MANY
    sigma = (HELD_OUT_SHARE * (1 - HELD_OUT_SHARE) / MANY) ** 0.5
    assert abs(share - HELD_OUT_SHARE) < 4 * sigma
    assert all(held == is_held_out(doc_id, HELD_OUT_SHARE) for doc_id, _, held in rows)


def test_held_out_documents_are_never_in_the_training_split(many: Path, tmp_path: Path) -> None:
    rows = draw([str(many)], READ, 1 << 30)
    write_sample(str(tmp_path / "sample.arrow"), rows)
    sample = read_sample(str(tmp_path / "sample.arrow"))
    train = [sample.train.text(i) for i in range(len(sample.train))]
    held_out = [sample.held_out.text(i) for i in range(len(sample.held_out))]
    assert train == [text for _, text, held in rows if not held]
    assert held_out == [text for _, text, held in rows if held]
    assert not set(train) & set(held_out)


def test_a_smaller_sample_holds_out_the_same_documents(many: Path, small_units: None) -> None:
    few, most = (draw([str(many)], READ, size) for size in (5_000, 80_000))
    assert len(few) < len(most) < MANY
    held = {doc_id: held for doc_id, _, held in most}
    assert all(held.get(doc_id, is_held_out(doc_id, HELD_OUT_SHARE)) == held_out for doc_id, _, held_out in few)


@pytest.mark.parametrize("sample_bytes", [1, 100, 5_000, 20_000])
def test_the_sample_is_no_larger_than_asked(sample_bytes: int, many: Path, small_units: None) -> None:
    rows = draw([str(many)], READ, sample_bytes)
    size = sum(len(text) for _, text, _ in rows)
    assert len(rows) == 1 or size <= sample_bytes
    assert size > 0.9 * sample_bytes - 60, "and not much smaller"


@given(sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=30), limit=st.integers(1, 4000))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_documents_of_any_size(sizes: list[int], limit: int, tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_bytes(jsonl(*({"text": "y" * size} for size in sizes)))
    rows = draw([str(tmp_path / "c.jsonl")], READ, limit)
    everything = documents(tmp_path / "c.jsonl")
    assert len(rows) == 1 or sum(len(text) for _, text, _ in rows) <= limit
    assert rows
    assert len({doc_id for doc_id, *_ in rows}) == len(rows)
    assert all(everything[doc_id] == text for doc_id, text, _ in rows)


@pytest.mark.parametrize("sample_bytes", [3_000, 1 << 30])
def test_the_order_of_inputs_does_not_matter(sample_bytes: int, many: Path, small_units: None) -> None:
    files = sorted(str(path) for path in many.iterdir())
    expected = draw(files, READ, sample_bytes)
    for seed in range(3):
        random.Random(seed).shuffle(files)
        assert draw(files, READ, sample_bytes) == expected
    assert draw([str(many / "*.jsonl")], READ, sample_bytes) == expected


def test_the_place_of_the_corpus_does_not_matter(many: Path, tmp_path: Path, small_units: None) -> None:
    moved = shutil.copytree(many, tmp_path / "moved")
    assert draw([str(moved)], READ, 3_000) == draw([str(many)], READ, 3_000)


def test_only_a_few_times_the_sample_is_read(many: Path, small_units: None, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def spy(*arguments: Any) -> Iterator[Any]:
        for item in read_documents(*arguments):
            read.append(len(item.text) if isinstance(item, Record) else 0)
            yield item

    monkeypatch.setattr(pipeline.corpus.sample, "read_documents", spy)
    draw([str(many)], READ, 2_000)
    assert sum(read) < 4 * 2_000 + 1_000


def test_the_sample_comes_from_all_over_a_large_corpus(many: Path, small_units: None) -> None:
    rows = draw([str(many)], READ, 20_000)
    counts = [sum(text.startswith(b"%d " % number) for _, text, _ in rows) for number in range(10)]
    assert min(counts) > 0


@pytest.mark.parametrize("shards", ["1", "4"])
def test_models_do_not_depend_on_shards(shards: str, finished: Path, tmp_path: Path, preprocess: Preprocess) -> None:
    corpus = finished / "corpus"
    assert preprocess(corpus, tmp_path / "out", "--shards", shards, "--compressors", "neural") == 0
    made = finished / "out/compressors"
    for name in ("sample.arrow", "neural/compressor.json", "neural/codebook.arrow", "neural/entropy.arrow"):
        assert (tmp_path / "out/compressors" / name).read_bytes() == (made / name).read_bytes()


def test_the_tokenizer_is_trained_without_what_is_held_out(
    many: Path, tmp_path: Path, preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    train = pipeline.compressors.tokenizer.training.train_tokenizer

    def spy(given: Iterator[bytes], *arguments: Any) -> None:
        seen.extend(given)
        train(iter(seen), *arguments)

    monkeypatch.setattr(pipeline.compressors.tokenizer.training, "train_tokenizer", spy)
    options = ("--compressors", "tokenizer", "--tokenizer", "", "--tokenizer-vocabulary", "300")
    assert preprocess(many / "0.jsonl", tmp_path / "out", *options) == 0
    held_out = {text for doc_id, text in documents(many / "0.jsonl").items() if is_held_out(doc_id, HELD_OUT_SHARE)}
    assert held_out
    assert set(seen) == set(documents(many / "0.jsonl").values()) - held_out


def test_nothing_to_draw_from(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(b'{"body": 1}\n{"body": 2}\n7\n')
    with pytest.raises(
        InputError, match=r"read from .*c.jsonl \(bad_json 1, no_text_field 2\); the first is in c.jsonl: no field"
    ):
        draw([str(path)], READ, 100)
    path.write_bytes(b"\n\n")
    with pytest.raises(InputError, match=r"c.jsonl holds no document: its files are empty"):
        draw([str(path)], READ, 100)
    (tmp_path / "c.txt").write_bytes(b"long\n" * 300)
    with pytest.raises(InputError, match=r"too_long 1.* raise --max-document-bytes, or cut it by --split-bytes"):
        draw([str(tmp_path / "c.txt")], ReadSettings(max_document_bytes=1000), 100)
    assert len(draw([str(tmp_path / "c.txt")], ReadSettings(max_document_bytes=1000, split_bytes=100), 1 << 20)) == 15


@pytest.mark.parametrize("split_bytes", [0, 100])
def test_one_document_is_never_held_out_whole(tmp_path: Path, split_bytes: int) -> None:
    name = next(name for name in map("{}.txt".format, range(1000)) if is_held_out(_made_id(name), HELD_OUT_SHARE))
    (tmp_path / name).write_bytes(b"one document\n" * 50)
    rows = draw([str(tmp_path / name)], ReadSettings(split_bytes=split_bytes), 1 << 20)
    assert b"".join(text for _, text, _ in rows) != b""
    assert not any(held_out for *_, held_out in rows)


def _made_id(source: str) -> str:
    return hashlib.sha256(f"{source}:0".encode()).hexdigest()[:16]


def test_hash_shares_are_spread_evenly_and_depend_on_the_salt() -> None:
    shares = sorted(hash_share("a", text) for text in map(str, range(2000)))
    assert all(abs(share - (i + 0.5) / 2000) < 0.05 for i, share in enumerate(shares))
    assert 0 <= shares[0] <= shares[-1] < 1
    assert hash_share("a", texts(1)[0]) != hash_share("b", texts(1)[0])


def test_what_is_held_out_is_a_promise_across_versions() -> None:
    """Another hash would put documents into training that an older model's evaluation relies on."""
    assert hash_share("held-out", "9f86d081884c7d65") == 0.6144136378750419
