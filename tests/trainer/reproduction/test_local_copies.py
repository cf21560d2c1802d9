"""A study's datasets at a URL: copied once, whole, and no more of them than is read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from schemas.errors import DatasetError
from schemas.manifest import read_manifest
from tests.trainer.datasets import make_texts, write_dataset
from trainer.reproduction.arms import SCALES, jobs
from trainer.reproduction.local_copies import copy_dataset, with_local_datasets
from trainer.reproduction.settings import ReproduceSettings

ARMS = ("raw-only", "neural-level")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three datasets, of which the second and third are for other boundaries, the first with an analysis."""
    for name in ("pieces", "pieces-level", "pieces-jump"):
        write_dataset(tmp_path / "source" / name, make_texts([3, 4]))
    (tmp_path / "source" / "pieces" / "analysis").mkdir()
    (tmp_path / "source" / "pieces" / "analysis" / "stability.csv").write_text("compressor\n")
    return tmp_path / "source"


def files(directory: str | Path) -> dict[str, bytes]:
    """All files of a directory."""
    found = sorted(path for path in Path(directory).rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in found}


def test_what_is_trained_on_is_copied_whole_and_of_the_rest_the_manifest(source: Path, tmp_path: Path) -> None:
    url, out = f"file://{source}/pieces", str(tmp_path / "out")
    scale = SCALES["cpu"]
    settings = with_local_datasets(
        ReproduceSettings(data=f"{url}/", corpus=url, formats=f"{url}-jump"),
        jobs(scale, only=ARMS),
        jobs(scale),
        out,
    )
    assert files(settings.data) == files(source / "pieces")
    assert files(f"{settings.data}-level") == files(source / "pieces-level")
    assert list(files(f"{settings.data}-jump")) == ["manifest.json"]
    assert list(files(settings.corpus)) == ["analysis/stability.csv", "manifest.json"]
    assert files(settings.formats) == files(source / "pieces-jump")


def test_results_are_gathered_without_shards(source: Path, tmp_path: Path) -> None:
    settings = ReproduceSettings(data=f"file://{source}/pieces", gather=True)
    found = with_local_datasets(settings, jobs(SCALES["cpu"], only=ARMS), (), str(tmp_path / "out"))
    assert list(files(found.data)) == ["analysis/stability.csv", "manifest.json"]


def test_local_datasets_stay_where_they_are(tmp_path: Path) -> None:
    settings = ReproduceSettings(data="data/pieces")
    assert with_local_datasets(settings, jobs(SCALES["cpu"]), (), str(tmp_path)) == settings
    assert not list(tmp_path.iterdir())


def test_a_dataset_that_a_wanted_arm_reads_must_be_there(source: Path, tmp_path: Path) -> None:
    shutil.rmtree(source / "pieces-level")
    settings, scale = ReproduceSettings(data=f"file://{source}/pieces"), SCALES["cpu"]
    with pytest.raises(DatasetError, match="pieces-level"):
        with_local_datasets(settings, jobs(scale, only=ARMS), (), str(tmp_path / "out"))
    with_local_datasets(settings, jobs(scale, only=["raw-only"]), jobs(scale), str(tmp_path / "out"))


def test_a_second_copy_fetches_what_is_not_there_or_not_right(source: Path, tmp_path: Path) -> None:
    url, copy = f"file://{source}/pieces", tmp_path / "copy"
    copy_dataset(url, str(copy))
    first, second = (copy / shard.name for shard in read_manifest(copy).shards)
    kept = first.stat().st_ino, first.stat().st_mtime_ns
    second.write_bytes(second.read_bytes()[:-1])
    (source / "pieces" / "analysis" / "stability.csv").unlink()
    copy_dataset(url, str(copy))
    assert files(copy) == files(source / "pieces")
    assert (first.stat().st_ino, first.stat().st_mtime_ns) == kept
