"""The neural compressor with boundaries by pairs: built, described, exact, and stable under edits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.pair_surprisal import pair_surprisals
from kernels.prefix_coding import PrefixCoder
from pipeline.compressors.neural.artifact import NeuralSettings, read_entropies
from pipeline.compressors.neural.build import ThetaTarget, build_neural
from pipeline.compressors.neural.compressor import NeuralCompressor
from schemas.batches import Documents, Encoding
from schemas.byte_lm_files import write_byte_lm
from tests.kernels.micro_lm import micro_lm
from tests.pipeline.compressors.neural.sample_text import code_like

SAMPLE = Documents.from_bytes([code_like(6000), b"", b"tail", "é 漢字 😀\n".encode() * 20])
UNSEEN = [b"def unseen(segments: bytes) -> None:\n    return Path(segments)\n", b"", bytes(range(256)), b"zzzz" * 40]


def save_lm(directory: Path) -> str:
    """A micro LM on disk."""
    model = micro_lm()
    weights = {name: weight.numpy() for name, weight in model.state_dict().items()}
    write_byte_lm(str(directory), config=model.config.to_dict(), training={}, weights=weights)
    return str(directory)


def build(directory: Path, lm: str, *, theta: str = "quantile=0.73", threads: int = 1, **changes: object) -> str:
    """An artifact of SAMPLE with the default boundaries."""
    build_neural(
        str(directory),
        lm_directory=lm,
        documents=SAMPLE,
        target=ThetaTarget.parse(theta),
        settings=NeuralSettings(**{"theta_bits": 0.0, **changes}),  # type: ignore[arg-type]
        device="cpu",
        threads=threads,
        request={},
    )
    return str(directory)


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A byte LM."""
    return save_lm(tmp_path_factory.mktemp("lm"))


@pytest.fixture(scope="module")
def artifact(lm: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A neural compressor."""
    return build(tmp_path_factory.mktemp("neural"), lm)


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
    build(tmp_path, lm, threads=2)
    for file in Path(artifact).iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


def test_the_artifact_names_its_rule_and_holds_the_sample_s_table(artifact: str) -> None:
    described = json.loads(Path(artifact, "compressor.json").read_bytes())
    assert described["boundaries"].startswith("surprisal of a byte after the byte before it")
    assert described["settings"]["entropy_context_bytes"] is None
    names, bits = read_entropies(str(Path(artifact, "entropy.arrow")))
    assert (names[0], names[255], names[256 + 97 * 256 + 98]) == (b"\x00", b"\xff", b"ab")
    assert np.array_equal(bits, pair_surprisals(SAMPLE.raw, SAMPLE.offsets))


@pytest.mark.parametrize("context", ["segment", "document"])
def test_documents_come_back_by_the_book_and_by_the_model(context: str, lm: str, tmp_path: Path) -> None:
    made = NeuralCompressor.load(build(tmp_path, lm, context=context))
    texts = [SAMPLE.text(i) for i in range(len(SAMPLE))] + UNSEEN
    encoding = made.compress(Documents.from_bytes(texts))
    for by_model in (False, True):
        back = made.decode(encoding, by_model=by_model)
        assert [back.text(i) for i in range(len(back))] == texts


@settings(max_examples=20, deadline=None)
@given(texts=st.lists(st.text("ab(). \n", max_size=40).map(str.encode) | st.binary(max_size=40), max_size=5))
def test_any_texts_come_back(artifact: str, texts: list[bytes]) -> None:
    made = NeuralCompressor.load(artifact)
    back = made.decode(made.compress(Documents.from_bytes(texts)), by_model=True)
    assert [back.text(i) for i in range(len(back))] == texts


def test_segments_are_those_of_the_definition(artifact: str) -> None:
    made = NeuralCompressor.load(artifact)
    table, theta_bits = pair_surprisals(SAMPLE.raw, SAMPLE.offsets)[256:].reshape(256, 256), made.config.theta_bits
    expected = []
    for text in UNSEEN:
        begin = 0
        for t in range(1, len(text)):
            if table[text[t - 1], text[t]] > theta_bits or t - begin == made.config.max_segment_bytes:
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
        encoding = NeuralCompressor.load(artifact).compress(Documents.from_bytes(part))
        for segment, code in segments_of(encoding, part):
            assert codes.setdefault(segment, code) == code


def test_inside_segments_the_model_knows_what_cannot_come(artifact: str, lm: str, tmp_path: Path) -> None:
    made = NeuralCompressor.load(artifact)
    ends = np.unique(np.concatenate(([0], made.segments(SAMPLE)[0])))
    for changes in ({"context": "document"}, {"entropy_context_bytes": 1}):
        other = NeuralCompressor.load(build(tmp_path / next(iter(changes)), lm, **changes))
        free = np.stack(PrefixCoder(other.model).intervals(SAMPLE.raw, ends[:-1], ends[1:]))
        assert np.array_equal(np.stack(other._coder().intervals(SAMPLE.raw, ends[:-1], ends[1:])), free)
    coders = made._coder(), PrefixCoder(made.model)
    widths = [
        last.astype(int) - first
        for first, last in (coder.intervals(SAMPLE.raw, ends[:-1], ends[1:]) for coder in coders)
    ]
    inside = np.ones(SAMPLE.raw.size, bool)
    inside[ends[:-1]] = False
    # Only the remainder that the likeliest byte gets may shrink.
    assert (widths[0] - widths[1])[inside].min() > -256
    assert (widths[0] - widths[1])[inside].mean() > 0
    assert np.array_equal(widths[0][~inside], widths[1][~inside])


@pytest.mark.parametrize("theta", ["mean_bytes=3.5", "bytes_per_symbol=1.3", "4.5"])
def test_theta_meets_its_target(theta: str, lm: str, tmp_path: Path) -> None:
    made = NeuralCompressor.load(build(tmp_path, lm, theta=theta))
    encoding, target = made.compress(SAMPLE), ThetaTarget.parse(theta)
    found = {
        "mean_bytes": SAMPLE.raw.size / encoding.raw_ends.size,
        "bytes_per_symbol": SAMPLE.raw.size / encoding.symbols.size,
        "bits": made.config.theta_bits,
    }
    assert found[target.kind] == pytest.approx(target.value, rel=0.1)
