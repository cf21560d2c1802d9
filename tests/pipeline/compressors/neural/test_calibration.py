"""Where θ and the jump land, exactly; targets that cannot be are refused by name."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.boundary_score import PairSurprisal
from kernels.segmentation import segment
from pipeline.compressors.neural.artifact import read_described
from pipeline.compressors.neural.calibration import BISECTIONS, ScoredBeginnings, quantile
from pipeline.compressors.neural.description import NeuralDescription
from pipeline.compressors.neural.family import load_neural
from pipeline.compressors.neural.settings import BitsTarget, JumpTarget, ThetaTarget
from schemas.batches import Documents
from schemas.errors import SettingsError
from tests.pipeline.compressors.neural.making import build, save_lm
from tests.pipeline.compressors.neural.sample_text import code_like

DOCUMENTS = Documents.from_bytes([b"aaaaaaaaabcdefghijk\n" * 4, b"for x in range(10):\n    y[x] = x\n" * 5, b"z"])
CODE = Documents.from_bytes([code_like(6000), code_like(6000, seed=1), b"tail"])


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A byte LM."""
    return save_lm(tmp_path_factory.mktemp("lm"))


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.75, 1])
def test_a_quantile_of_the_bytes_is_at_or_below_theta(share: float, lm: str, tmp_path: Path) -> None:
    compressor = load_neural(build(tmp_path, lm, DOCUMENTS, 4, theta=f"quantile={share}"))
    bits, n = compressor.scores(DOCUMENTS), DOCUMENTS.raw.size
    assert (bits <= compressor.theta_bits).mean() >= share - 1 / n
    assert (bits < compressor.theta_bits).mean() <= share


@given(st.lists(st.sampled_from([0.5, 1.25, 3.0, 4.4375, 8.0]), min_size=1, max_size=300), st.floats(0, 1))
def test_a_quantile_s_place_is_counted_in_float64(values: list[float], share: float) -> None:
    bits = np.array(values, np.float32)
    assert quantile(bits, share) == sorted(values)[int((len(values) - 1) * share)]
    assert quantile(bits, share) == np.quantile(bits.astype(np.float64), share, method="lower")


@pytest.mark.parametrize("jump", ["quantile=0.9", "quantile=0.5", "0.25"])
def test_a_jump_is_calibrated_on_rises_within_documents_and_written_down(jump: str, lm: str, tmp_path: Path) -> None:
    target = JumpTarget.parse(jump)
    directory = build(tmp_path, lm, DOCUMENTS, 4, jump=target)
    compressor, described = load_neural(directory), read_described(directory)
    bits = compressor.scores(DOCUMENTS)
    rises = np.concatenate([np.diff(bits[a:b]) for a, b in pairwise(DOCUMENTS.offsets.tolist())])
    wanted = target.value if target.kind == "bits" else np.quantile(rises, target.value, method="lower")
    assert compressor.jump_bits == described.jump_bits == wanted
    assert NeuralDescription.from_json(described.to_json()) == described
    assert "jump" in described.summary() and "jump" in described.boundaries
    ends, _ = segment(
        bits, DOCUMENTS.offsets, theta_bits=described.theta_bits, max_segment_bytes=32, jump_bits=described.jump_bits
    )
    assert np.array_equal(compressor.segments(DOCUMENTS)[0], ends)


def test_without_a_jump_nothing_is_written_of_one(lm: str, tmp_path: Path) -> None:
    """Releases that had no jump wrote the same bytes."""
    described = read_described(build(tmp_path, lm, DOCUMENTS, 1))
    written = (tmp_path / "compressor.json").read_text("utf-8")
    assert "jump" not in written and described.jump_bits is None
    torn = {**described.to_json(), "jump_bits": 0.5}
    with pytest.raises(ValueError, match="jump is 0.5 bits where None was asked for"):
        NeuralDescription.from_json(torn)


@pytest.mark.parametrize("goal", [1, 2, 3.3, 6])
def test_theta_is_the_smallest_that_reaches_a_mean_length(goal: float, lm: str, tmp_path: Path) -> None:
    compressor = load_neural(build(tmp_path, lm, DOCUMENTS, 4, theta=f"mean_bytes={goal}"))
    bits, theta, step = compressor.scores(DOCUMENTS), compressor.theta_bits, 8 / 2**BISECTIONS

    def mean_bytes(theta_bits: float) -> float:
        return bits.size / segment(bits, DOCUMENTS.offsets, theta_bits=theta_bits, max_segment_bytes=32)[0].size

    assert mean_bytes(theta) >= goal
    assert theta <= step or mean_bytes(theta - step) < goal


@given(st.sampled_from(["quantile", "mean_bytes", "bytes_per_symbol"]), st.integers(0, 255))
def test_targets_are_what_they_say(kind: str, value: int) -> None:
    text = f"{kind}={value}"
    if (value <= 1) if kind == "quantile" else (value >= 1):
        assert str(ThetaTarget.parse(text)) == text
    else:
        with pytest.raises(SettingsError, match="theta is"):
            ThetaTarget.parse(text)


WRONG = ("", "bits", "33", "-1", "nan", "inf", "0x4", "speed=3", "bits=32.1", "bits=-1")
WRONG_SHARES = ("quantile=2", "quantile=x", "quantile=nan", "quantile==1", "quantile=1=1")


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        *((ThetaTarget, "theta", text) for text in (*WRONG, *WRONG_SHARES, "mean_bytes=0")),
        *((JumpTarget, "jump", text) for text in (*WRONG, *WRONG_SHARES, "mean_bytes=4", "bytes_per_symbol=3")),
    ],
)
def test_what_cannot_be_is_refused_by_the_name_of_what_it_is_for(kind: type[BitsTarget], name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{name} is {text!r}; "):
        kind.parse(text)


def test_theta_and_jump_by_quantile_have_the_sample_scored_once(
    lm: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Beyond that, the codebook is made of segments of all of it."""
    scored: list[int] = []
    scores = PairSurprisal.scores

    def counted(self: PairSurprisal, raw: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        scored.append(raw.size)
        return scores(self, raw, offsets)

    monkeypatch.setattr(PairSurprisal, "scores", counted)
    build(tmp_path, lm, DOCUMENTS, theta="quantile=0.8", jump=JumpTarget.parse("quantile=0.5"))
    assert scored == [DOCUMENTS.raw.size] * 2


@given(st.lists(st.binary(max_size=9), max_size=6), st.integers(0, 40))
def test_the_head_of_a_sample_is_its_first_bytes(texts: list[bytes], limit: int) -> None:
    documents = Documents.from_bytes(texts)
    score = PairSurprisal.of_sample(documents.raw, documents.offsets)
    head, scores = ScoredBeginnings(score, documents).first(limit)
    assert scores.bits.tolist() == score.scores(documents.raw, documents.offsets)[:limit].tolist()
    assert head.raw.tobytes() == b"".join(texts)[:limit]
    assert head.offsets[-1] == head.raw.size
    assert all(head.text(i) == texts[i] for i in range(len(head) - 1))


@pytest.mark.parametrize(
    ("theta", "measure"),
    [
        ("mean_bytes=4", lambda encoding: CODE.raw.size / encoding.raw_ends.size),
        ("bytes_per_symbol=1.15", lambda encoding: CODE.raw.size / encoding.symbols.size),
    ],
)
def test_theta_meets_its_target(theta: str, measure, lm: str, tmp_path: Path) -> None:
    compressor = load_neural(build(tmp_path, lm, CODE, 4, theta=theta))
    assert measure(compressor.compress(CODE)) == pytest.approx(ThetaTarget.parse(theta).value, rel=0.1)


def test_a_target_out_of_reach_is_refused(lm: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--theta cannot reach 20: without any boundary the sample gives"):
        build(tmp_path, lm, CODE, 1, theta="bytes_per_symbol=20")


def test_theta_in_bits_is_taken_as_it_is(lm: str, tmp_path: Path) -> None:
    assert load_neural(build(tmp_path, lm, CODE, 1, theta="4.25")).theta_bits == 4.25
