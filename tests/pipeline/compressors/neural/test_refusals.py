"""Artifacts that are not ones: each is refused in one line that names it. And where θ lands, exactly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.segmentation import segment
from pipeline.compressors.neural.artifact import (
    CODEBOOK_NAME,
    COMPRESSOR_NAME,
    ENTROPY_NAME,
    NeuralSettings,
    read_described,
)
from pipeline.compressors.neural.build import BISECTIONS, ThetaTarget, _head, build_neural
from pipeline.compressors.neural.compressor import NeuralCompressor, device_probe
from schemas.batches import Documents
from schemas.byte_lm_files import CONFIG_NAME, WEIGHTS_NAME, read_byte_lm, write_byte_lm
from schemas.errors import ArtifactError, SettingsError
from schemas.files import file_sha256
from tests.kernels.micro_lm import CONFIG, micro_lm

DOCUMENTS = Documents.from_bytes([b"aaaaaaaaabcdefghijk\n" * 4, b"for x in range(10):\n    y[x] = x\n" * 5, b"z"])


def save_lm(directory: Path, **config: object) -> str:
    """A micro LM on disk, its config changed."""
    weights = {name: weight.numpy() for name, weight in micro_lm().state_dict().items()}
    write_byte_lm(str(directory), config={**CONFIG.to_dict(), **config}, training={}, weights=weights)
    return str(directory)


def build(directory: Path, lm: str, theta: str = "quantile=0.7", documents: Documents = DOCUMENTS, **changes) -> str:
    """An artifact."""
    build_neural(
        str(directory),
        lm_directory=lm,
        documents=documents,
        target=ThetaTarget.parse(theta),
        settings=NeuralSettings(**{"theta_bits": 0.0, "entropy_context_bytes": 1, **changes}),
        device="cpu",
        threads=1,
        request={},
    )
    return str(directory)


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_lm(tmp_path_factory.mktemp("lm"))


@pytest.fixture
def artifact(lm: str, tmp_path: Path) -> Path:
    return Path(build(tmp_path / "neural", lm))


def describe(artifact: Path, **changes: object) -> None:
    """Change compressor.json; None takes a key away."""
    described = {**json.loads((artifact / COMPRESSOR_NAME).read_bytes()), **changes}
    (artifact / COMPRESSOR_NAME).write_text(json.dumps({k: v for k, v in described.items() if v is not None}))


@pytest.mark.parametrize("name", [COMPRESSOR_NAME, ENTROPY_NAME, CODEBOOK_NAME, CONFIG_NAME, WEIGHTS_NAME])
def test_every_missing_file_is_named(artifact: Path, name: str) -> None:
    (artifact / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name} is missing"):
        NeuralCompressor.load(str(artifact))


@pytest.mark.parametrize("name", [COMPRESSOR_NAME, ENTROPY_NAME, CODEBOOK_NAME, CONFIG_NAME, WEIGHTS_NAME])
@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\x00 no such thing"])
def test_every_overwritten_file_is_refused_in_one_line(artifact: Path, name: str, content: bytes) -> None:
    (artifact / name).write_bytes(content)
    with pytest.raises(ArtifactError) as caught:
        NeuralCompressor.load(str(artifact))
    assert "\n" not in str(caught.value)
    assert str(artifact) in str(caught.value)


@pytest.mark.parametrize("name", [ENTROPY_NAME, CODEBOOK_NAME])
@pytest.mark.parametrize("content", [b"", b"no Arrow at all"])
def test_a_table_that_is_none_is_refused_though_its_digest_fits(artifact: Path, name: str, content: bytes) -> None:
    (artifact / name).write_bytes(content)
    files = {file: file_sha256(str(artifact / file)) for file in (ENTROPY_NAME, CODEBOOK_NAME)}
    describe(artifact, files=files)
    with pytest.raises(ArtifactError, match=f"{name} cannot be read"):
        NeuralCompressor.load(str(artifact))


def test_swapped_tables_are_refused_by_their_columns(artifact: Path) -> None:
    shutil.copy(artifact / ENTROPY_NAME, artifact / CODEBOOK_NAME)
    files = {file: file_sha256(str(artifact / file)) for file in (ENTROPY_NAME, CODEBOOK_NAME)}
    describe(artifact, files=files)
    with pytest.raises(ArtifactError, match=r"codebook\.arrow has columns \['context', 'bits'\], not"):
        NeuralCompressor.load(str(artifact))


@pytest.mark.parametrize("key", ["lm_digest", "device", "device_probe", "settings", "files", "code_format"])
def test_a_description_without_what_loading_needs_is_damaged(artifact: Path, key: str) -> None:
    describe(artifact, **{key: None})
    with pytest.raises(ArtifactError, match=f"is damaged .*{key}"):
        NeuralCompressor.load(str(artifact))


def test_another_code_format_is_refused(artifact: Path) -> None:
    describe(artifact, code_format="neural-9")
    with pytest.raises(ArtifactError, match="has codes of format neural-9, this is neural-1; make it anew"):
        NeuralCompressor.load(str(artifact))


def test_a_file_is_no_compressor(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ArtifactError, match="no neural compressor at"):
        read_described(str(tmp_path / "file"))


@pytest.mark.parametrize("config", [{"layers": 3}, {"dim": 64}, {"heads": 3}, {"window": 8}, {"layers": "two"}])
def test_an_lm_of_another_shape_is_refused(config: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="byte LM .* is not one of ours") as caught:
        build(tmp_path / "neural", save_lm(tmp_path / "lm", **config))
    assert "\n" not in str(caught.value)


def test_the_probe_tells_other_weights_apart(lm: str) -> None:
    assert device_probe(micro_lm(0)) == device_probe(micro_lm(0))
    assert device_probe(micro_lm(0)) != device_probe(micro_lm(1))
    assert read_byte_lm(lm).config == CONFIG.to_dict()


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.75, 1])
def test_a_quantile_of_the_bytes_is_at_or_below_theta(share: float, lm: str, tmp_path: Path) -> None:
    compressor = NeuralCompressor.load(build(tmp_path, lm, f"quantile={share}", entropy_context_bytes=4))
    bits, n = compressor.entropies(DOCUMENTS), DOCUMENTS.raw.size
    assert (bits <= compressor.config.theta_bits).mean() >= share - 1 / n
    assert (bits < compressor.config.theta_bits).mean() <= share


@pytest.mark.parametrize("goal", [1, 2, 3.3, 6])
def test_theta_is_the_smallest_that_reaches_a_mean_length(goal: float, lm: str, tmp_path: Path) -> None:
    compressor = NeuralCompressor.load(build(tmp_path, lm, f"mean_bytes={goal}", entropy_context_bytes=4))
    bits, theta, step = compressor.entropies(DOCUMENTS), compressor.config.theta_bits, 8 / 2**BISECTIONS

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


@pytest.mark.parametrize("text", ["nan", "inf", "quantile=nan", "bits=8.1", "quantile==1", "quantile=1=1", "0x4"])
def test_numbers_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="theta is"):
        ThetaTarget.parse(text)


@given(st.lists(st.binary(max_size=9), max_size=6), st.integers(0, 40))
def test_the_head_of_a_sample_is_its_first_bytes(texts: list[bytes], limit: int) -> None:
    head = _head(Documents.from_bytes(texts), limit)
    assert head.raw.tobytes() == b"".join(texts)[:limit]
    assert head.offsets[-1] == head.raw.size
    assert all(head.text(i) == texts[i] for i in range(len(head) - 1))


@pytest.mark.parametrize("context", ["segment", "document"])
@pytest.mark.parametrize("size", [0, 1, 3])
def test_what_is_loaded_is_what_was_built(context: str, size: int, lm: str, tmp_path: Path) -> None:
    directory = build(tmp_path, lm, context=context, entropy_context_bytes=size, max_segment_bytes=20)
    compressor, other = NeuralCompressor.load(directory), NeuralCompressor.load(directory)
    assert compressor.digest == other.digest
    assert compressor.settings()["settings"]["theta_bits"] == compressor.config.theta_bits
    unseen = Documents.from_bytes([b"while unseen:\n    aaaaabcd()\n", DOCUMENTS.text(0)])
    encoding = compressor.compress(unseen)
    assert np.array_equal(encoding.symbols, other.compress(unseen).symbols)
    for by_model in (False, True):
        assert other.decode(encoding, by_model=by_model).raw.tobytes() == unseen.raw.tobytes()
