"""JSON lines: each line once, however blocks and units are cut, and none longer than the limit in memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.corpus.read import read_documents
from pipeline.corpus.readers.lines import split_lines
from pipeline.corpus.records import Record
from pipeline.corpus.source_files import SourceFile
from pipeline.corpus.units import cut_units
from pipeline.storage.open import BrokenInputError
from schemas.rejects import EXCERPT_BYTES
from tests.pipeline.corpora import jsonl, plan_units
from tests.pipeline.corpus.reading import DEFAULTS, SMALL, good, only_reject, read


def test_a_line_far_longer_than_the_limit_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(jsonl({"text": "a"}))
        for _ in range(40):
            file.write(b"x" * (1 << 20))
        file.write(b"\n" + jsonl({"text": "b"}))
    tracemalloc.start()
    items = read(path, "jsonl", SMALL)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert good(items) == ["a", "b"]
    assert only_reject(items, "too_long").position == 14
    assert peak_bytes < 12 << 20


@given(data=st.lists(st.sampled_from([b"\n", b"a", b"bb", b"x" * 9])).map(b"".join), draw=st.data())
def test_lines_equal_a_plain_split(data: bytes, draw: st.DataObject) -> None:
    start = draw.draw(st.integers(0, len(data)))
    end = draw.draw(st.none() | st.integers(start, len(data)))
    step = draw.draw(st.integers(1, 12))
    limit_bytes = draw.draw(st.integers(0, 20))
    expected, position = [], 0
    for line in data.split(b"\n"):
        if start <= position < (len(data) if end is None else end):
            expected.append((position, line if len(line) <= limit_bytes else line[:EXCERPT_BYTES], len(line)))
        position += len(line) + 1
    blocks = [data[i : i + step] for i in range(max(start - 1, 0), len(data), step)]
    lines = split_lines(blocks, start=start, end=end, limit_bytes=limit_bytes)
    assert [line[:3] for line in lines] == expected


LINE = st.sampled_from(
    [
        b"",
        b"\r",
        b" ",
        b'{"text": "a"}',
        b'{"text": "\xc3\xa9"}\r',
        b"{",
        b'{"text": ""}',
        b'{"text": "' + b"x" * 60 + b'"}',
    ]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.lists(LINE, max_size=8), min_size=1, max_size=4),
    final=st.sampled_from([b"", b"\n"]),
    unit_bytes=st.integers(1, 200),
)
def test_however_jsonl_is_cut_the_records_are_the_same(
    tmp_path: Path, lines: list[list[bytes]], final: bytes, unit_bytes: int
) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    for i, file_lines in enumerate(lines):
        (tmp_path / f"{i}.jsonl").write_bytes(b"\n".join(file_lines) + final)
    (one,) = plan_units([str(tmp_path)], shards=1, unit_bytes=1)
    expected = list(read_documents(one.pieces, DEFAULTS))
    documents = sum(bool(line.strip()) for file_lines in lines for line in file_lines)
    assert len(expected) == documents
    units = plan_units([str(tmp_path)], shards=None, unit_bytes=unit_bytes)
    assert [item for unit in units for item in read_documents(unit.pieces, DEFAULTS)] == expected
    ids = [item.doc_id for item in expected if isinstance(item, Record)]
    assert len(set(ids)) == len(ids)


def test_lines_that_span_blocks(tmp_path: Path) -> None:
    sizes = [10, 3 << 20, 1 << 20, (1 << 20) - 13, 5, 2 << 20]
    data = jsonl(*({"text": "x" * size} for size in sizes))
    (tmp_path / "a.jsonl").write_bytes(data)
    file = SourceFile(path=str(tmp_path / "a.jsonl"), source="a.jsonl", format="jsonl", size_bytes=len(data))
    for shards in (1, 2, 7, 30):
        units = cut_units([file], shards=shards, unit_bytes=1)
        assert [len(text) for unit in units for text in good(read_documents(unit.pieces, DEFAULTS))] == sizes


@given(data=st.lists(st.sampled_from([b"\n", b"a", b"x" * 9])).map(b"".join), draw=st.data())
def test_a_stream_that_breaks_gives_its_lines_and_then_one_broken_one(data: bytes, draw: st.DataObject) -> None:
    start = draw.draw(st.integers(0, len(data)))
    step = draw.draw(st.integers(1, 12))

    def blocks() -> Iterator[bytes]:
        yield from (data[i : i + step] for i in range(max(start - 1, 0), len(data), step))
        raise BrokenInputError("truncated", "cut here")

    *lines, broken = split_lines(blocks(), start=start, end=None, limit_bytes=5)
    *ended, last = data.split(b"\n")
    positions = [0, *accumulate(len(line) + 1 for line in ended)]
    assert [line.position for line in lines] == [position for position in positions[:-1] if position >= start]
    assert all(line.broken is None for line in lines)
    assert broken.broken is not None
    begun_here = positions[-1] >= start
    assert (broken.position, broken.data) == ((positions[-1], last) if begun_here else (len(data), b""))
