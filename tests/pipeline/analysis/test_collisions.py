"""Collisions: counts against a plain dictionary, prefixes against their definition, first windows a theorem."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis.collisions import LEVELS, CollisionCounter
from pipeline.analysis.common_prefix import (
    PAIRS_PER_CODE,
    chunk_pairs,
    common_prefix_bytes,
    prefix_shares,
    random_pairs,
    tail_counts,
    tail_kind,
)
from pipeline.analysis.findings import CollisionTable
from pipeline.analysis.one_pass import collect
from schemas.errors import DatasetError, SettingsError
from schemas.shard_files import open_shards
from schemas.views import paired_view, window_view
from tests.pipeline.runs import Preprocess


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, preprocess: Preprocess) -> str:
    directory = tmp_path_factory.mktemp("collisions")
    corpus = directory / "corpus"
    corpus.mkdir()
    for i in range(12):
        lines = "".join(f"for k in range({i}, {j}):\n    print(k)\n" for j in range(25))
        noise = "".join(random.Random(i).choices("0123456789abcdef", k=600))
        (corpus / f"{i}.py").write_text(f"{lines}# {noise}\n")
    assert preprocess(corpus, directory / "data", "--compressors", "neural,gzip") == 0
    return str(directory / "data")


def counted(dataset: str, level: str, compressor: str = "neural") -> CollisionCounter:
    counter = CollisionCounter(compressor, level)
    collect(dataset, [counter])
    return counter


def collision_table(dataset: str, level: str) -> CollisionTable:
    return counted(dataset, level).result()


def plain_counts(dataset: str, level: str) -> dict[tuple[tuple[int, ...], bytes], int]:
    """From the views, row by row."""
    counts: dict[tuple[tuple[int, ...], bytes], int] = defaultdict(int)
    for batch in open_shards(dataset):
        if level == "segment":
            for row in paired_view(batch, "neural").to_pylist():
                counts[tuple(row["symbols"]), row["raw"]] += 1
        else:
            for row in window_view(batch, "neural").to_pylist():
                if level == "window" or row["window"] == 0:
                    counts[(row["symbol"],), row["raw"]] += 1
    return counts


@pytest.mark.parametrize("level", LEVELS)
def test_counts_are_those_of_a_plain_dictionary(dataset: str, level: str) -> None:
    wanted = plain_counts(dataset, level)
    frame = counted(dataset, level).frame()
    assert len(frame) == len(wanted)
    assert frame["count"].sum() == sum(wanted.values())
    found = collision_table(dataset, level)
    chunks: dict[tuple[int, ...], set[bytes]] = defaultdict(set)
    for code, chunk in wanted:
        chunks[code].add(chunk)
    buckets = [bucket for bucket in chunks.values() if len(bucket) > 1]
    assert (found.codes, found.colliding_codes) == (len(chunks), len(buckets))
    distinct_chunks = {chunk for _, chunk in wanted}
    assert (found.distinct_chunks, found.distinct_encodings) == (len(distinct_chunks), len(wanted))
    assert found.colliding_chunk_share == pytest.approx(len(set().union(*buckets)) / len(distinct_chunks))
    colliding = sum(number for (code, _), number in wanted.items() if len(chunks[code]) > 1)
    assert found.colliding_occurrence_share == pytest.approx(colliding / sum(wanted.values()))
    pairs = [pair for bucket in buckets for pair in combinations(sorted(bucket), 2)]
    assert found.pairs == len(pairs) == sum(found.tails.values())
    long = [common_prefix_bytes(a, b) / max(len(a), len(b)) >= 0.8 for a, b in pairs]
    assert found.prefix_over_longer.long_share == pytest.approx(sum(long) / max(1, len(long)))
    assert sum(found.bucket_sizes.values()) == found.codes
    prefixes = [len(os.path.commonprefix(list(bucket))) for bucket in buckets]  # noqa: RUF071 - letter by letter
    lengths = [[len(chunk) for chunk in bucket] for bucket in buckets]
    for shares, length in (
        (found.case_prefix_over_longest, max),
        (found.case_prefix_over_mean, lambda some: sum(some) / len(some)),
        (found.case_prefix_over_shortest, min),
    ):
        one = [prefix / length(some) for prefix, some in zip(prefixes, lengths, strict=True)]
        assert shares.mean == pytest.approx(sum(one) / max(1, len(one)))
        assert shares.long_share == pytest.approx(sum(share >= 0.8 for share in one) / max(1, len(one)))


def test_first_windows_collide_only_with_their_own_prefixes(dataset: str) -> None:
    """One context, one arithmetic code: windows with one name are nested intervals, so one begins with the other."""
    frame = counted(dataset, "first-window").frame()
    for _, bucket in frame.groupby("code"):
        ordered = sorted(bucket["chunk"], key=len)
        assert all(b.startswith(a) for a, b in combinations(ordered, 2))


def test_equal_datasets_give_equal_tables(dataset: str) -> None:
    assert collision_table(dataset, "window") == collision_table(dataset, "window")


def test_what_has_no_counts_is_refused(dataset: str) -> None:
    with pytest.raises(SettingsError, match="choose one of segment"):
        CollisionCounter("neural", "byte")
    with pytest.raises(SettingsError, match="such as those of neural"):
        counted(dataset, "segment", "gzip")
    with pytest.raises(DatasetError, match="'gzip' has no windows; count its collisions by segment"):
        counted(dataset, "window", "gzip")


@given(st.binary(max_size=6), st.binary(max_size=6))
def test_common_prefixes_are_common_and_longest(a: bytes, b: bytes) -> None:
    n = common_prefix_bytes(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]


@pytest.mark.parametrize(
    ("a", "b", "kind"),
    [
        (b"foo", b"foo ", "space"),
        (b"foo", b"foo\n", "newline"),
        (b"foo\n", b"foo\n    ", "space"),
        (b"foo", b"foo\n    ", "indentation"),
        (b"foo", b"food", "other"),
        (b"foo ", b"foo\t", "indentation"),
    ],
)
def test_tails_are_named_by_what_they_are_made_of(a: bytes, b: bytes, kind: str) -> None:
    assert tail_kind(a, b) == tail_kind(b, a) == kind


def test_large_buckets_are_capped_and_controls_keep_lengths() -> None:
    chunks = [f"chunk{i:03}".encode() + b"x" * (i % 3) for i in range(60)]
    frame = pd.DataFrame({"code": [b"c"] * 60, "chunk": chunks, "count": range(1, 61)})
    pairs = chunk_pairs(frame, seed=0)
    assert len(pairs.left) == PAIRS_PER_CODE
    assert len(set(zip(pairs.left, pairs.right, strict=True))) == PAIRS_PER_CODE
    controls = random_pairs(pairs, chunks, seed=0)
    assert [len(chunk) for chunk in controls.left] == [len(chunk) for chunk in pairs.left]
    assert prefix_shares(pairs, max).mean <= prefix_shares(pairs, min).mean
    assert all(a != b for a, b in zip(controls.left, controls.right, strict=True))
    assert sum(tail_counts(pairs).values()) == PAIRS_PER_CODE


def test_the_pairs_of_a_large_bucket_are_a_fair_sample() -> None:
    chunks = [f"{i:04}".encode() for i in range(1000)]
    pairs = chunk_pairs(pd.DataFrame({"code": [b"c"] * 1000, "chunk": chunks, "count": 1}), seed=0)
    means = [np.mean([int(chunk) for chunk in side]) for side in (pairs.left, pairs.right)]
    assert means == pytest.approx([333, 666], abs=4 * 236 / 1000**0.5)
    assert all(a < b for a, b in zip(pairs.left, pairs.right, strict=True))


def test_a_control_is_never_a_chunk_with_itself() -> None:
    few = [b"aa", b"ab", b"abc"]
    frame = pd.DataFrame({"code": [b"c"] * 3, "chunk": few, "count": 1})
    pairs = chunk_pairs(frame, seed=0)
    for seed in range(50):
        controls = random_pairs(pairs, few, seed)
        assert all(a != b for a, b in zip(controls.left, controls.right, strict=True))
        for side, control in ((pairs.left, controls.left), (pairs.right, controls.right)):
            assert [len(chunk) for chunk in control] == [len(chunk) for chunk in side]


def test_nothing_collides_in_nothing() -> None:
    pairs = chunk_pairs(pd.DataFrame({"code": [], "chunk": [], "count": []}), seed=0)
    assert len(pairs.left) == 0
    assert prefix_shares(pairs, max).long_share == 0
    assert random_pairs(pairs, [], seed=0).left == []


def test_examples_are_the_most_frequent(dataset: str) -> None:
    totals = [example.occurrences for example in collision_table(dataset, "window").examples]
    assert totals == sorted(totals, reverse=True)
