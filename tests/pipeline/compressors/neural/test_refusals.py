"""Artifacts that are not ones: each is refused in one line that names it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from pipeline.compressors.neural.artifact import CODEBOOK_NAME, COMPRESSOR_NAME, SCORE_TABLE_NAME, read_described
from pipeline.compressors.neural.family import load_neural
from pipeline.compressors.neural.model import device_probe
from schemas.batches import Documents
from schemas.byte_lm_files import CONFIG_NAME, WEIGHTS_NAME, read_byte_lm, write_byte_lm
from schemas.errors import ArtifactError
from schemas.files import file_sha256
from tests.kernels.exact_models import micro_exact, quantised
from tests.kernels.micro_lm import CONFIG, micro_lm
from tests.pipeline.compressors.neural.making import DOCUMENT, build, save_lm

DOCUMENTS = Documents.from_bytes([b"aaaaaaaaabcdefghijk\n" * 4, b"for x in range(10):\n    y[x] = x\n" * 5, b"z"])


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_lm(tmp_path_factory.mktemp("lm"))


@pytest.fixture
def artifact(lm: str, tmp_path: Path) -> Path:
    return Path(build(tmp_path / "neural", lm, DOCUMENTS, 1))


def describe(artifact: Path, **changes: object) -> None:
    """Change compressor.json; None takes a key away."""
    described = {**json.loads((artifact / COMPRESSOR_NAME).read_bytes()), **changes}
    (artifact / COMPRESSOR_NAME).write_text(json.dumps({k: v for k, v in described.items() if v is not None}))


@pytest.mark.parametrize("name", [COMPRESSOR_NAME, SCORE_TABLE_NAME, CODEBOOK_NAME, CONFIG_NAME, WEIGHTS_NAME])
def test_every_missing_file_is_named(artifact: Path, name: str) -> None:
    (artifact / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name} (is missing|cannot be read .No such file)"):
        load_neural(str(artifact))


@pytest.mark.parametrize("name", [COMPRESSOR_NAME, SCORE_TABLE_NAME, CODEBOOK_NAME, CONFIG_NAME, WEIGHTS_NAME])
@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\x00 no such thing"])
def test_every_overwritten_file_is_refused_in_one_line(artifact: Path, name: str, content: bytes) -> None:
    (artifact / name).write_bytes(content)
    with pytest.raises(ArtifactError) as caught:
        load_neural(str(artifact))
    assert "\n" not in str(caught.value)
    assert str(artifact) in str(caught.value)


@pytest.mark.parametrize("name", [SCORE_TABLE_NAME, CODEBOOK_NAME])
@pytest.mark.parametrize("content", [b"", b"no Arrow at all"])
def test_a_table_that_is_none_is_refused_though_its_digest_fits(artifact: Path, name: str, content: bytes) -> None:
    (artifact / name).write_bytes(content)
    files = {file: file_sha256(str(artifact / file)) for file in (SCORE_TABLE_NAME, CODEBOOK_NAME)}
    describe(artifact, files=files)
    with pytest.raises(ArtifactError, match=f"{name} cannot be read"):
        load_neural(str(artifact))


def test_swapped_tables_are_refused_by_their_columns(artifact: Path) -> None:
    shutil.copy(artifact / SCORE_TABLE_NAME, artifact / CODEBOOK_NAME)
    files = {file: file_sha256(str(artifact / file)) for file in (SCORE_TABLE_NAME, CODEBOOK_NAME)}
    describe(artifact, files=files)
    with pytest.raises(ArtifactError, match=r"codebook\.arrow cannot be read .columns \['context', 'bits'\], not"):
        load_neural(str(artifact))


def test_a_table_of_another_digest_is_refused(artifact: Path) -> None:
    describe(artifact, score_digest="other")
    with pytest.raises(ArtifactError, match="names another score table than the one beside it"):
        load_neural(str(artifact))


@pytest.mark.parametrize(
    "key", ["lm_digest", "device_probe", "settings", "files", "theta_bits", "codebook", "score_digest"]
)
def test_a_description_without_what_loading_needs_is_damaged(artifact: Path, key: str) -> None:
    describe(artifact, **{key: None})
    with pytest.raises(ArtifactError, match=f"compressor.json cannot be read .*{key}"):
        load_neural(str(artifact))


@pytest.mark.parametrize("changes", [{"code_format": "neural-9"}, {"artifact_format": 1}, {"artifact_format": None}])
def test_another_format_is_refused(artifact: Path, changes: dict[str, object]) -> None:
    describe(artifact, **changes)
    with pytest.raises(ArtifactError, match=f"was made by another release .its {next(iter(changes))} is not .*release"):
        load_neural(str(artifact))


@pytest.mark.parametrize("theta_bits", [-0.5, float("nan"), float("inf"), "four"])
def test_a_theta_that_is_none_is_damage(artifact: Path, theta_bits: object) -> None:
    describe(artifact, theta_bits=theta_bits)
    with pytest.raises(ArtifactError, match="compressor.json cannot be read"):
        load_neural(str(artifact))


def test_a_file_is_no_compressor(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ArtifactError, match="no neural compressor at"):
        read_described(str(tmp_path / "file"))


@pytest.mark.parametrize("config", [{"layers": 3}, {"dim": 64}, {"heads": 3}, {"window": 8}, {"layers": "two"}])
def test_an_lm_of_another_shape_is_refused(config: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"lm\.json (is of no byte LM of ours|cannot be read)") as caught:
        build(tmp_path / "neural", save_lm(tmp_path / "lm", **config), DOCUMENTS, 1)
    assert "\n" not in str(caught.value)


def test_a_byte_lm_of_floating_point_is_refused_with_the_way_out(lm: str, tmp_path: Path) -> None:
    old = Path(shutil.copytree(lm, tmp_path / "lm"))
    described = json.loads((old / CONFIG_NAME).read_bytes())
    del described["format"], described["arrays"]
    (old / CONFIG_NAME).write_text(json.dumps(described))
    with pytest.raises(ArtifactError, match=r"has format 1, this release reads 2; train it again with `make lm`"):
        read_byte_lm(str(old))


@pytest.mark.parametrize("name", ["exp2", "blocks.1.down.weight", "head.scale"])
def test_a_damaged_table_or_weight_is_named_with_its_digest(name: str, lm: str, tmp_path: Path) -> None:
    old = Path(shutil.copytree(lm, tmp_path / "lm"))
    arrays = load((old / WEIGHTS_NAME).read_bytes())
    arrays[name].flat[3] += 1
    (old / WEIGHTS_NAME).write_bytes(save(arrays))
    with pytest.raises(ArtifactError, match=rf"array {name} is [0-9a-f]{{12}}, lm\.json says [0-9a-f]{{12}}"):
        read_byte_lm(str(old))
    del arrays[name]
    (old / WEIGHTS_NAME).write_bytes(save(arrays))
    with pytest.raises(ArtifactError, match=rf"array {name} is missing, lm\.json says"):
        read_byte_lm(str(old))


def test_arrays_that_would_make_a_sum_inexact_are_refused(tmp_path: Path) -> None:
    arrays = quantised(micro_lm())
    arrays["head.weight"][0, 0] = 64
    write_byte_lm(str(tmp_path / "lm"), config=CONFIG.to_dict(), training={}, arrays=arrays)
    with pytest.raises(ArtifactError, match=r"is of no byte LM of ours .array head\.weight has values beyond 63"):
        build(tmp_path / "neural", str(tmp_path / "lm"), DOCUMENTS, 1)


def test_the_probe_tells_other_weights_apart(lm: str) -> None:
    assert device_probe(micro_exact(0)) == device_probe(micro_exact(0))
    assert device_probe(micro_exact(0)) != device_probe(micro_exact(1))
    assert read_byte_lm(lm).config == CONFIG.to_dict()


@pytest.mark.parametrize("context", ["segment", "document"])
@pytest.mark.parametrize("score", [DOCUMENT, 1, 3])
def test_what_is_loaded_is_what_was_built(context: str, score: int | str, lm: str, tmp_path: Path) -> None:
    directory = build(tmp_path, lm, DOCUMENTS, score, context=context, max_segment_bytes=20)
    compressor, other = load_neural(directory), load_neural(directory)
    assert compressor.digest == other.digest
    described = read_described(directory)
    assert (described.digest, described.theta_bits) == (compressor.digest, compressor.theta_bits)
    assert described.settings == compressor.settings
    unseen = Documents.from_bytes([b"while unseen:\n    aaaaabcd()\n", DOCUMENTS.text(0)])
    encoding = compressor.compress(unseen)
    assert np.array_equal(encoding.symbols, other.compress(unseen).symbols)
    for decode in (other.decode, other.decode_by_model):
        assert decode(encoding).raw.tobytes() == unseen.raw.tobytes()
