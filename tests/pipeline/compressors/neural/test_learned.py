"""Segments on their way into a table, and the table: every file is checked before it is believed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kernels.byte_spans import ByteSpans, Codes
from kernels.sorted_strings import parts_of
from pipeline.compressors.neural import collected, learned
from pipeline.compressors.neural.coder import SegmentCoder
from pipeline.compressors.neural.collected import SegmentSet, block_range, from_block, head_bytes, to_file
from pipeline.compressors.neural.learned import LearnedCodes, TablePart, part_bytes
from schemas.errors import ArtifactError
from schemas.files import sha256_hex
from tests.kernels.exact_models import micro_exact
from tests.kernels.test_string_table import many_strings

REMEDY = "make it again"


def segments_of(n: int, seed: int = 0) -> list[bytes]:
    """n distinct segments."""
    return [string for string in many_strings(n + 1, seed) if string][:n]


@pytest.mark.parametrize("parts", [1, 3, 64])
@pytest.mark.parametrize("n", [0, 1, 2, 500])
def test_a_file_gives_every_segment_back_in_its_part(n: int, parts: int) -> None:
    segments = ByteSpans.from_bytes(segments_of(n))
    data = to_file(segments, parts)
    part_of = parts_of(segments, parts)
    for part in range(parts):
        start, end = block_range(data[: head_bytes(parts)], part, parts)
        assert from_block(data[start:end]).to_bytes() == segments.take(part_of == part).to_bytes()
    assert end == len(data)


def test_a_set_holds_each_segment_once_and_no_more_than_it_may() -> None:
    drawn = segments_of(300)
    held = SegmentSet(200)
    for begin in range(0, 300, 50):
        held.add(ByteSpans.from_bytes(drawn[max(0, begin - 20) : begin + 50] * 2))
    held.add(ByteSpans.from_bytes([]))
    assert held.strings().to_bytes() == drawn[:200]
    assert len(held) == 200


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5])
def test_a_damaged_head_or_block_is_refused(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = to_file(ByteSpans.from_bytes([b"ab", b"c"]), 1)
    head, block = data[: head_bytes(1)], data[head_bytes(1) :]
    wrong_heads = [head[:-1], head + b"\0", b"\xff" * 16, bytes(16), head[8:] + head[:8], head[:8] + b"\xff" * 8]
    with pytest.raises(ValueError, match="bytes of a head|a block from"):
        block_range(wrong_heads[size], 0, 1)
    with pytest.raises(ValueError, match="block"):
        from_block(block[:size])
    contents = [b"\1\0\0", b"\1\0\0\0", b"\1\0\0\0\2a", b"\1\0\0\0\1ab", b"\2\0\0\0\0\1a", b"\xff\xff\xff\xff\1a"]
    with pytest.raises(ValueError, match="block"):
        from_block(collected.zstandard.ZstdCompressor().compress(contents[size]))
    monkeypatch.setattr(collected, "MAX_BLOCK_BYTES", 5)
    with pytest.raises(ValueError, match="block"):
        from_block(block)


@pytest.fixture(scope="module")
def coder() -> SegmentCoder:
    """A micro LM."""
    return SegmentCoder(micro_exact(), window_bits=16)


def written(directory: Path, segments: list[bytes], coder: SegmentCoder, name: str = "part") -> TablePart:
    """A part of a table, from its file."""
    spans = ByteSpans.from_bytes(sorted(segments))
    data = part_bytes(spans, coder.codes(spans))
    (directory / name).write_bytes(data)
    return TablePart(str(directory / name), sha256_hex(data), REMEDY)


def same(one: Codes, other: Codes) -> bool:
    """Whether two runs of codes are equal."""
    return all(
        np.array_equal(a, b)
        for a, b in zip(
            (one.symbols, one.window_bytes, one.ends), (other.symbols, other.window_bytes, other.ends), strict=True
        )
    )


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("known", [0, 1, 150, 300])
def test_codes_are_those_of_the_model_wherever_they_come_from(
    known: int, parts: int, coder: SegmentCoder, tmp_path: Path
) -> None:
    strings = segments_of(300)
    part_of = parts_of(ByteSpans.from_bytes(strings), parts).tolist()
    table = [
        written(tmp_path, [s for s, p in zip(strings[:known], part_of, strict=False) if p == part], coder, str(part))
        for part in range(parts)
    ]
    asked: list[int] = []

    def model(segments: ByteSpans) -> Codes:
        asked.append(len(segments))
        return coder.codes(segments)

    learned_codes = LearnedCodes(table, model)
    for chosen in (strings, strings[::-1], strings[:1], strings[-2:]):
        spans = ByteSpans.from_bytes(chosen)
        assert same(learned_codes.codes(spans), coder.codes(spans))
    assert sum(asked) == 2 * (300 - known) + (known < 1) + 2 * (known < 300)


@pytest.mark.parametrize("place", [0, 100, -1])
def test_a_flipped_byte_is_refused(place: int, coder: SegmentCoder, tmp_path: Path) -> None:
    spans = ByteSpans.from_bytes([b"ab", b"c"])
    data = bytearray(part_bytes(spans, coder.codes(spans)))
    digest = sha256_hex(bytes(data))
    data[place] ^= 1
    (tmp_path / "part").write_bytes(data)
    with pytest.raises(ArtifactError, match=r"part cannot be read \(it is not the file that was written\); make it"):
        TablePart(str(tmp_path / "part"), digest, REMEDY)
    with pytest.raises(ArtifactError, match="No such file"):
        TablePart(str(tmp_path / "none"), digest, REMEDY)


def columns(segments: list[bytes | None], symbols: list[list[int]], windows: list[list[int]]) -> pa.RecordBatch:
    """A record batch of a part."""
    arrays = [pa.array(segments, pa.binary()), pa.array(symbols, pa.list_(pa.uint16()))]
    return pa.record_batch([*arrays, pa.array(windows, pa.list_(pa.uint8()))], schema=learned._SCHEMA)


WRONG = {
    "not sorted": [columns([b"b", b"a"], [[1], [2]], [[1], [1]])],
    "not  sorted": [columns([b"a", b"a"], [[1], [2]], [[1], [1]])],
    "differ in number": [columns([b"a"], [[1]], [[1, 0]])],
    "do not fill": [columns([b"ab"], [[1]], [[1]])],
    "nulls": [columns([None, b"a"], [[], [1]], [[], [1]])],
    "no part": [columns([b"a"], [[1]], [[1]])] * 2,
    "no  part": [],
    "no part of": [pa.record_batch({"segment": [b"a"]})],
}


@pytest.mark.parametrize("words", WRONG)
def test_a_crafted_part_is_refused_though_its_digest_is_right(words: str, tmp_path: Path) -> None:
    batches = WRONG[words]
    path = tmp_path / "part"
    with pa.ipc.new_file(path, batches[0].schema if batches else learned._SCHEMA) as writer:
        for batch in batches:
            writer.write_batch(batch)
    with pytest.raises(ArtifactError, match=" ".join(words.split())) as caught:
        TablePart(str(path), sha256_hex(path.read_bytes()), REMEDY)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"ARROW1", bytes(100)])
def test_what_is_no_arrow_file_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(data)
    with pytest.raises(ArtifactError, match="cannot be read"):
        TablePart(str(tmp_path / "part"), sha256_hex(data), REMEDY)
