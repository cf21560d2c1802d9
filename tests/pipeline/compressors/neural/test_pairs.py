"""The neural compressor with boundaries by pairs: built, described, exact, and stable under edits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.boundary_score import PairSurprisal
from kernels.byte_spans import ByteSpans
from kernels.prefix_coding import PrefixCoder
from pipeline.compressors.neural.artifact import read_score_table
from pipeline.compressors.neural.coder import SegmentCoder
from pipeline.compressors.neural.family import load_neural
from pipeline.compressors.neural.settings import ThetaTarget
from schemas.batches import Documents, Encoding
from tests.pipeline.compressors.neural.making import DOCUMENT, build, save_lm
from tests.pipeline.compressors.neural.sample_text import code_like

SAMPLE = Documents.from_bytes([code_like(6000), b"", b"tail", "é 漢字 😀\n".encode() * 20])
UNSEEN = [b"def unseen(segments: bytes) -> None:\n    return Path(segments)\n", b"", bytes(range(256)), b"zzzz" * 40]


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A byte LM."""
    return save_lm(tmp_path_factory.mktemp("lm"))


@pytest.fixture(scope="module")
def artifact(lm: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A neural compressor."""
    return build(tmp_path_factory.mktemp("neural"), lm, SAMPLE, theta="quantile=0.73")


def segments_of(encoding: Encoding, texts: list[bytes]) -> list[tuple[bytes, tuple[int, ...]]]:
    """Every segment with its code."""
    found = []
    for i, text in enumerate(texts):
        begin = symbol = 0
        symbols = encoding.symbols[encoding.symbol_offsets[i] : encoding.symbol_offsets[i + 1]].tolist()
        part = slice(encoding.segment_offsets[i], encoding.segment_offsets[i + 1])
        for end, symbol_end in zip(encoding.raw_ends[part].tolist(), encoding.symbol_ends[part].tolist(), strict=True):
            found.append((text[begin:end], tuple(symbols[symbol:symbol_end])))
            begin, symbol = end, symbol_end
    return found


def test_building_twice_and_with_more_threads_gives_the_same_bytes(artifact: str, lm: str, tmp_path: Path) -> None:
    build(tmp_path, lm, SAMPLE, theta="quantile=0.73", threads=2)
    for file in Path(artifact).iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


def test_the_artifact_names_its_rule_and_holds_the_sample_s_table(artifact: str) -> None:
    described = json.loads(Path(artifact, "compressor.json").read_bytes())
    assert described["boundaries"].startswith("surprisal of a byte after the byte before it")
    assert described["settings"]["boundary_score"] == "pair_surprisal"
    names, bits = read_score_table(artifact)
    assert (names[0], names[255], names[256 + 97 * 256 + 98]) == (b"\x00", b"\xff", b"ab")
    assert np.array_equal(bits, PairSurprisal.of_sample(SAMPLE.raw, SAMPLE.offsets).bits)


@pytest.mark.parametrize("context", ["segment", "document"])
def test_documents_come_back_by_the_book_and_by_the_model(context: str, lm: str, tmp_path: Path) -> None:
    made = load_neural(build(tmp_path, lm, SAMPLE, context=context))
    texts = [SAMPLE.text(i) for i in range(len(SAMPLE))] + UNSEEN
    encoding = made.compress(Documents.from_bytes(texts))
    for by_model in (False, True):
        back = made.decode_by_model(encoding) if by_model else made.decode(encoding)
        assert [back.text(i) for i in range(len(back))] == texts


@settings(max_examples=20, deadline=None)
@given(texts=st.lists(st.text("ab(). \n", max_size=40).map(str.encode) | st.binary(max_size=40), max_size=5))
def test_any_texts_come_back(artifact: str, texts: list[bytes]) -> None:
    made = load_neural(artifact)
    back = made.decode_by_model(made.compress(Documents.from_bytes(texts)))
    assert [back.text(i) for i in range(len(back))] == texts


def test_segments_are_those_of_the_definition(artifact: str) -> None:
    made = load_neural(artifact)
    table = PairSurprisal.of_sample(SAMPLE.raw, SAMPLE.offsets).bits[256:].reshape(256, 256)
    expected = []
    for text in UNSEEN:
        begin = 0
        for t in range(1, len(text)):
            if table[text[t - 1], text[t]] > made.theta_bits or t - begin == made.settings.max_segment_bytes:
                expected.append(text[begin:t])
                begin = t
        expected += [text[begin:]] if text else []
    encoding = made.compress(Documents.from_bytes(UNSEEN))
    assert [segment for segment, _ in segments_of(encoding, UNSEEN)] == expected


def test_equal_segments_have_equal_codes_wherever_they_stand(artifact: str) -> None:
    text = SAMPLE.text(0)
    texts = [text, text[5:], text[: len(text) // 2] + text[len(text) // 2 + 1 :], b"#" + text[::3]]
    codes: dict[bytes, tuple[int, ...]] = {}
    for part in (texts, texts[::-1], texts[2:3]):
        encoding = load_neural(artifact).compress(Documents.from_bytes(part))
        for segment, code in segments_of(encoding, part):
            assert codes.setdefault(segment, code) == code


def test_inside_segments_the_model_knows_what_cannot_come(artifact: str, lm: str, tmp_path: Path) -> None:
    made = load_neural(artifact)
    ends = np.unique(np.concatenate(([0], made.segments(SAMPLE)[0])))
    segments = ByteSpans.from_offsets(SAMPLE.raw, ends)
    free = SegmentCoder(made.model, window_bits=16).codes(segments)
    assert made.coder.codes(segments).symbols.size < free.symbols.size
    for score, context in ((1, "segment"), (DOCUMENT, "segment")):
        other = load_neural(build(tmp_path / str(score), lm, SAMPLE, score, context=context))
        assert np.array_equal(other.coder.codes(segments).symbols, free.symbols)
    assert np.array_equal(made.variant(context="document").coder.codes(segments).symbols, free.symbols)
    forbidden = made.score.forbidden_pairs(made.theta_bits)
    coders = PrefixCoder(made.model, forbidden=forbidden), PrefixCoder(made.model)
    widths = [last.astype(int) - first for first, last in (coder.intervals(segments) for coder in coders)]
    inside = np.ones(SAMPLE.raw.size, bool)
    inside[ends[:-1]] = False
    # Only the remainder that the likeliest byte gets may shrink.
    assert (widths[0] - widths[1])[inside].min() > -256
    assert (widths[0] - widths[1])[inside].mean() > 0
    assert np.array_equal(widths[0][~inside], widths[1][~inside])


@pytest.mark.parametrize("theta", ["mean_bytes=3.5", "bytes_per_symbol=1.3", "4.5"])
def test_theta_meets_its_target(theta: str, lm: str, tmp_path: Path) -> None:
    made = load_neural(build(tmp_path, lm, SAMPLE, theta=theta))
    encoding, target = made.compress(SAMPLE), ThetaTarget.parse(theta)
    found = {
        "mean_bytes": SAMPLE.raw.size / encoding.raw_ends.size,
        "bytes_per_symbol": SAMPLE.raw.size / encoding.symbols.size,
        "bits": made.theta_bits,
    }
    assert found[target.kind] == pytest.approx(target.value, rel=0.1)
