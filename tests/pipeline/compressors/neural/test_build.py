"""Building the neural compressor: the same bytes twice, θ where it was asked for, foreign parts refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kernels.codebook import Codebook
from kernels.prefix_coding import PrefixCoder
from pipeline.compressors.neural.artifact import NeuralSettings, read_codebook
from pipeline.compressors.neural.build import ThetaTarget, build_neural
from pipeline.compressors.neural.compressor import NeuralCompressor
from schemas.batches import Documents
from schemas.byte_lm_files import write_byte_lm
from schemas.errors import ArtifactError, SettingsError
from tests.kernels.micro_lm import micro_lm
from tests.pipeline.compressors.neural.sample_text import code_like

DOCUMENTS = Documents.from_bytes([code_like(6000), code_like(6000, seed=1), b"tail"])


def save_lm(directory: Path, seed: int = 0) -> Path:
    """A micro LM on disk."""
    model = micro_lm(seed)
    weights = {name: weight.numpy() for name, weight in model.state_dict().items()}
    write_byte_lm(str(directory), config=model.config.to_dict(), training={"size": "micro"}, weights=weights)
    return directory


def build(directory: Path, lm: Path, *, theta: str = "quantile=0.7", threads: int = 1, **changes: object) -> Path:
    """An artifact of DOCUMENTS."""
    config = NeuralSettings(**{"theta_bits": 0.0, "entropy_context_bytes": 1, **changes})  # type: ignore[arg-type]
    build_neural(
        str(directory),
        lm_directory=str(lm),
        documents=DOCUMENTS,
        target=ThetaTarget.parse(theta),
        settings=config,
        device="cpu",
        threads=threads,
        request={},
    )
    return directory


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte LM."""
    return save_lm(tmp_path_factory.mktemp("lm"))


@pytest.fixture(scope="module")
def artifact(lm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A neural compressor."""
    return build(tmp_path_factory.mktemp("neural"), lm)


def test_building_twice_and_with_more_threads_gives_the_same_bytes(artifact: Path, lm: Path, tmp_path: Path) -> None:
    again = build(tmp_path, lm, threads=2)
    assert sorted(file.name for file in again.iterdir()) == sorted(file.name for file in artifact.iterdir())
    for file in artifact.iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes(), file.name


def test_the_codebook_of_the_sample_leaves_the_model_nothing_to_read(artifact: Path) -> None:
    compressor = NeuralCompressor.load(str(artifact))
    encoding = compressor.compress(DOCUMENTS)
    assert compressor.prefixes_read == 0
    back = compressor.decode(encoding)
    assert [back.text(i) for i in range(3)] == [DOCUMENTS.text(i) for i in range(3)]
    assert compressor.decode(encoding, by_model=True).raw.tobytes() == back.raw.tobytes()


def test_the_codebook_holds_the_model_s_codes_frequent_segments_first(artifact: Path) -> None:
    compressor = NeuralCompressor.load(str(artifact))
    book = read_codebook(str(artifact / "codebook.arrow"))
    data, offsets = book.segments.strings()
    symbols, window_bytes, symbol_ends = compressor.code(data, offsets[:-1], offsets[1:])
    held = book.codes()
    assert held[0][1:].tolist() == symbol_ends.tolist()
    assert held[1].tolist() == symbols.tolist()
    assert held[2].tolist() == window_bytes.tolist()
    ends, _ = compressor.segments(DOCUMENTS)
    entries, _ = book.find(DOCUMENTS.raw, np.concatenate(([0], ends[:-1])), ends)
    counts = np.bincount(entries)
    assert (np.diff(counts) <= 0).all()


@pytest.mark.parametrize(
    ("theta", "measure"),
    [
        ("mean_bytes=4", lambda encoding: DOCUMENTS.raw.size / encoding.raw_ends.size),
        ("bytes_per_symbol=1.15", lambda encoding: DOCUMENTS.raw.size / encoding.symbols.size),
    ],
)
def test_theta_meets_its_target(theta: str, measure, lm: Path, tmp_path: Path) -> None:
    compressor = NeuralCompressor.load(str(build(tmp_path, lm, theta=theta, entropy_context_bytes=4)))
    assert measure(compressor.compress(DOCUMENTS)) == pytest.approx(ThetaTarget.parse(theta).value, rel=0.1)


def test_a_target_out_of_reach_is_refused(lm: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="theta cannot reach 20: without any boundary the sample gives"):
        build(tmp_path, lm, theta="bytes_per_symbol=20")


def test_theta_in_bits_is_taken_as_it_is(lm: Path, tmp_path: Path) -> None:
    assert NeuralCompressor.load(str(build(tmp_path, lm, theta="4.25"))).config.theta_bits == 4.25


@pytest.mark.parametrize("text", ["", "bits", "9", "-1", "quantile=2", "mean_bytes=0", "speed=3", "quantile=x"])
def test_targets_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="theta is"):
        ThetaTarget.parse(text)


def damaged(artifact: Path, directory: Path) -> Path:
    """A copy that may be damaged."""
    for file in artifact.iterdir():
        (directory / file.name).write_bytes(file.read_bytes())
    return directory


def test_a_missing_file_is_named(artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"compressor\.json is missing; make one with"):
        NeuralCompressor.load(str(tmp_path / "none"))
    copy = damaged(artifact, tmp_path)
    (copy / "codebook.arrow").unlink()
    with pytest.raises(ArtifactError, match=r"codebook\.arrow is missing"):
        NeuralCompressor.load(str(copy))


def test_an_edited_codebook_and_a_foreign_lm_are_refused(artifact: Path, tmp_path: Path) -> None:
    copy = damaged(artifact, tmp_path)
    (copy / "codebook.arrow").write_bytes(b"ARROW1" + (copy / "codebook.arrow").read_bytes()[6:-1] + b"?")
    with pytest.raises(ArtifactError, match="is not the file that was built"):
        NeuralCompressor.load(str(copy))
    damaged(artifact, tmp_path)
    save_lm(copy, seed=5)
    with pytest.raises(ArtifactError, match="is not the one the codes were made with"):
        NeuralCompressor.load(str(copy))


def test_a_device_that_computes_other_codes_is_refused_unless_asked_for(artifact: Path, tmp_path: Path) -> None:
    copy = damaged(artifact, tmp_path)
    described = json.loads((copy / "compressor.json").read_bytes())
    (copy / "compressor.json").write_text(json.dumps({**described, "device_probe": "other"}))
    with pytest.raises(ArtifactError, match="computes other codes"):
        NeuralCompressor.load(str(copy))
    NeuralCompressor.load(str(copy), allow_other_device=True)


def test_an_empty_codebook_is_a_codebook(lm: Path, tmp_path: Path) -> None:
    build(tmp_path, lm, context="document")
    assert len(read_codebook(str(tmp_path / "codebook.arrow"))) == len(Codebook()) == 0
    assert PrefixCoder(micro_lm()).prefixes_read == 0
