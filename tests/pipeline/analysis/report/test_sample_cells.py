"""Cells of sample documents are one per byte, and never markup."""

from __future__ import annotations

import json
import re
from html import unescape

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis.findings import Excerpt
from pipeline.analysis.report.sample_cells import SHADES, THETA_SHADE, cells, data, faces, shade
from tests.pipeline.analysis.corpora import HOSTILE, hostile_dataset
from tests.pipeline.analysis.measuring import excerpts_of, scored_by
from tests.pipeline.analysis.report.test_markup_and_svg import Tags
from tests.pipeline.runs import Preprocess

CELL = re.compile(r'<i class="([a-z0-9 ]*)"(?: tabindex="0")?>([^<]*)</i>\n?')


def excerpt_of(raw: bytes, ends: list[int]) -> Excerpt:
    """A document with these segments, each one symbol."""
    return Excerpt(
        doc_id="d", source="s", language="l", compressor="neural", document_bytes=len(raw),
        document_symbols={"neural": len(ends)}, start=0, first_segment=0, raw=raw,
        score="entropy", theta_bits=4.0,
        score_bits=tuple(float(i % 9) for i in range(len(raw))), segment_ends=tuple(ends),
        symbol_ends=tuple(range(1, len(ends) + 1)), symbols=tuple(range(len(ends))), window_ends=tuple(ends),
    )  # fmt: skip


@pytest.fixture(scope="module")
def excerpts(tmp_path_factory: pytest.TempPathFactory, preprocess: Preprocess) -> list[Excerpt]:
    """All hostile documents, their scores 0 to 15.9 bits."""
    dataset = hostile_dataset(tmp_path_factory.mktemp("hostile") / "corpus", preprocess)
    scored = scored_by(lambda documents: documents.raw.astype(np.float32) / 16)
    return excerpts_of(dataset, scored, number=len(HOSTILE))


def test_hostile_documents_become_cells(excerpts: list[Excerpt]) -> None:
    for excerpt in excerpts:
        written = cells(excerpt)
        found = CELL.findall(written)
        assert "".join(CELL.sub("", written)) == "", excerpt.doc_id
        assert len(found) == len(excerpt.raw)
        assert set(Tags(written).tags) <= {"i"}
        assert "<" not in data(excerpt) and "\u2028" not in data(excerpt)
        numbers = json.loads(data(excerpt))
        assert bytes(numbers["bytes"]) == excerpt.raw


@given(st.text(min_size=1, max_size=40), st.data())
def test_one_cell_per_byte_wherever_segments_cut(value: str, draw: st.DataObject) -> None:
    raw = value.encode("utf-8", "surrogatepass")
    cuts = draw.draw(st.lists(st.integers(1, len(raw)), unique=True).map(sorted))
    ends = sorted({*cuts, len(raw)})
    found = CELL.findall(cells(excerpt_of(raw, ends)))
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
