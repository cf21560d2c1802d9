"""Building the neural compressor: the same bytes twice, foreign parts refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kernels.byte_spans import ByteSpans
from pipeline.compressors.neural.artifact import read_codebook, read_described
from pipeline.compressors.neural.family import load_neural
from pipeline.compressors.neural.settings import JumpTarget
from schemas.batches import Documents
from schemas.errors import ArtifactError
from tests.pipeline.compressors.neural.making import build, save_lm
from tests.pipeline.compressors.neural.sample_text import code_like

DOCUMENTS = Documents.from_bytes([code_like(6000), code_like(6000, seed=1), b"tail"])


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A byte LM."""
    return save_lm(tmp_path_factory.mktemp("lm"))


@pytest.fixture(scope="module")
def artifact(lm: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A neural compressor."""
    return Path(build(tmp_path_factory.mktemp("neural"), lm, DOCUMENTS, 1))


def test_building_twice_and_with_more_threads_gives_the_same_bytes(artifact: Path, lm: str, tmp_path: Path) -> None:
    again = Path(build(tmp_path, lm, DOCUMENTS, 1, threads=2))
    assert sorted(file.name for file in again.iterdir()) == sorted(file.name for file in artifact.iterdir())
    for file in artifact.iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes(), file.name


def test_the_digest_names_what_codes_depend_on_and_nothing_else(artifact: Path, lm: str, tmp_path: Path) -> None:
    """Not the text that the codebook is of, where θ and the table are the same, nor what the model read for it."""
    digest = read_described(str(artifact)).digest
    theta_bits = read_described(str(artifact)).theta_bits
    request = {"theta": f"{theta_bits}", "threads": 2}
    fewer = Documents.from_bytes([DOCUMENTS.text(0)])
    same = read_described(build(tmp_path / "same", lm, fewer, 1, **request))
    assert (same.digest, same.codebook.entries) == (digest, len(read_codebook(str(tmp_path / "same"))))
    assert same.codebook != read_described(str(artifact)).codebook
    for name, changes in {
        "theta": {"theta": f"{theta_bits + 0.5}"},
        "window": {"window_bits": 12},
        "length": {"max_segment_bytes": 8},
        "jump": {"jump": JumpTarget.parse("0.25")},
    }.items():
        assert read_described(build(tmp_path / name, lm, fewer, 1, **{**request, **changes})).digest != digest, name
    other_lm = save_lm(tmp_path / "lm", seed=5)
    assert read_described(build(tmp_path / "other", other_lm, fewer, 1, **request)).digest != digest


def test_an_entropy_s_table_saves_work_and_changes_no_digest(lm: str, tmp_path: Path) -> None:
    digests = {
        read_described(build(tmp_path / name, lm, Documents.from_bytes([text]), 3, theta="3")).digest
        for name, text in (("one", b"ab" * 9), ("other", b"cd" * 9))
    }
    assert len(digests) == 1


def test_the_digest_does_not_depend_on_how_files_are_compressed(
    artifact: Path, lm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_file = pa.ipc.new_file
    monkeypatch.setattr(pa.ipc, "new_file", lambda sink, schema, options: new_file(sink, schema))
    plain = build(tmp_path, lm, DOCUMENTS, 1)
    assert (tmp_path / "entropy.arrow").read_bytes() != (artifact / "entropy.arrow").read_bytes()
    assert read_described(plain).digest == read_described(str(artifact)).digest


def test_the_codebook_of_the_sample_leaves_the_model_nothing_to_read(artifact: Path) -> None:
    compressor = load_neural(str(artifact))
    encoding = compressor.compress(DOCUMENTS)
    assert compressor.coder.prefixes_read == 0
    back = compressor.decode(encoding)
    assert [back.text(i) for i in range(3)] == [DOCUMENTS.text(i) for i in range(3)]
    assert compressor.decode_by_model(encoding).raw.tobytes() == back.raw.tobytes()


def test_the_codebook_holds_the_model_s_codes_frequent_segments_first(artifact: Path) -> None:
    compressor = load_neural(str(artifact))
    book = read_codebook(str(artifact))
    held, codes = book.codes(), compressor.coder.codes(book.segments.strings())
    assert held.ends.tolist() == codes.ends.tolist()
    assert held.symbols.tolist() == codes.symbols.tolist()
    assert held.window_bytes.tolist() == codes.window_bytes.tolist()
    entries, _ = book.find(ByteSpans.from_ends(DOCUMENTS.raw, compressor.segments(DOCUMENTS)[0]))
    counts = np.bincount(entries)
    assert (np.diff(counts) <= 0).all()


def damaged(artifact: Path, directory: Path) -> Path:
    """A copy that may be damaged."""
    for file in artifact.iterdir():
        (directory / file.name).write_bytes(file.read_bytes())
    return directory


def test_a_missing_file_is_named(artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"compressor\.json is missing; make one with"):
        load_neural(str(tmp_path / "none"))
    copy = damaged(artifact, tmp_path)
    (copy / "codebook.arrow").unlink()
    with pytest.raises(ArtifactError, match=r"codebook\.arrow cannot be read .No such"):
        load_neural(str(copy))


def test_an_edited_codebook_and_a_foreign_lm_are_refused(artifact: Path, tmp_path: Path) -> None:
    copy = damaged(artifact, tmp_path)
    (copy / "codebook.arrow").write_bytes(b"ARROW1" + (copy / "codebook.arrow").read_bytes()[6:-1] + b"?")
    with pytest.raises(ArtifactError, match="is not the file that was built"):
        load_neural(str(copy))
    damaged(artifact, tmp_path)
    save_lm(copy, seed=5)
    with pytest.raises(ArtifactError, match="is not the one the codes were made with"):
        load_neural(str(copy))


def test_a_machine_that_computes_other_codes_raises_the_alarm(artifact: Path, tmp_path: Path) -> None:
    copy = damaged(artifact, tmp_path)
    described = json.loads((copy / "compressor.json").read_bytes())
    (copy / "compressor.json").write_text(json.dumps({**described, "device_probe": "other"}))
    with pytest.raises(ArtifactError, match="please report this"):
        load_neural(str(copy))


def test_an_empty_codebook_is_a_codebook(lm: str, tmp_path: Path) -> None:
    build(tmp_path, lm, DOCUMENTS, 1, context="document")
    assert len(read_codebook(str(tmp_path))) == 0
