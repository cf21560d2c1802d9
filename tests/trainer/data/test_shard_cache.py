"""Remote shards: the same batches as local ones, from a directory that never passes its limit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from schemas.errors import DatasetError, SettingsError
from tests.trainer.data.test_loader import SETTINGS, same, take
from tests.trainer.datasets import COMPRESSOR, make_texts, write_dataset
from trainer.data.dataset import Dataset
from trainer.data.loader import Loader
from trainer.data.shard_cache import ShardCache
from trainer.training.loop import open_blend
from trainer.training.settings import TrainSettings

ROWS = [30, 40, 35, 30, 25, 45, 30, 30]
TWO_OPEN = replace(SETTINGS, lanes=1, interleave=2, prefetch=1)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "source", make_texts(ROWS))


def remote(source: Path, cache: Path, limit_bytes: int) -> Dataset:
    """A file:// URL takes the way of gs:// and s3:// but for the transport."""
    return Dataset(f"file://{source}", compressor=COMPRESSOR, cache=ShardCache(cache, limit_bytes=limit_bytes))


def three_shards(source: Path) -> int:
    return sum(sorted(path.stat().st_size for path in source.glob("*.arrow"))[-3:])


def test_remote_batches_are_local_batches_within_the_limit(source: Path, tmp_path: Path):
    limit = three_shards(source)
    local, state = take(Dataset(str(source), compressor=COMPRESSOR), TWO_OPEN, 40)
    dataset = remote(source, tmp_path / "cache", limit)
    with Loader(dataset, replace(TWO_OPEN, prefetch=0)) as loader:
        batches = []
        for _ in range(40):
            batches.append([next(loader)])
            assert sum(path.stat().st_size for path in (tmp_path / "cache").iterdir()) <= limit
        assert same(local, batches)
        assert loader.state_dict() == state, "a remote copy of a dataset is the same dataset"
        shown = {document.shard for (batch,) in batches for document in loader.documents_of(batch)}
        assert shown == {path.name for path in source.glob("*.arrow")}
    again = remote(source, tmp_path / "cache", limit)
    assert same(local, take(again, TWO_OPEN, 40)[0]), "what is left in the cache serves the next run"


def test_a_cache_that_is_too_small_is_named_before_training(source: Path, tmp_path: Path):
    dataset = remote(source, tmp_path / "cache", three_shards(source) - 1)
    with pytest.raises(SettingsError, match=r"the shard cache holds .* 2 open shards may need .*raise --cache-bytes"):
        Loader(dataset, TWO_OPEN)


def test_files_in_use_stay(source: Path, tmp_path: Path):
    limit = three_shards(source)
    dataset = remote(source, tmp_path / "cache", limit)
    held = [dataset.reader(shard) for shard in range(2)]
    for shard in range(2, 8):
        dataset.reader(shard)
        assert all(reader.path.exists() for reader in held)
    more = [dataset.reader(2)]
    with pytest.raises(SettingsError, match="are in use"):
        more.append(dataset.reader(5))


def test_remote_trouble_is_named(source: Path, tmp_path: Path):
    with pytest.raises(SettingsError, match=r"is remote and has no local cache: .*with --cache$"):
        Dataset(f"file://{source}", compressor=COMPRESSOR)
    with pytest.raises(DatasetError, match=r"file://.*gone holds no manifest\.json"):
        remote(tmp_path / "gone", tmp_path / "cache", 1 << 20)
    dataset = remote(source, tmp_path / "cache", 1 << 20)
    path = sorted(source.glob("*.arrow"))[0]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DatasetError, match=r"shard file://.* is damaged: its sha256"):
        dataset.reader(0)
    path.unlink()
    with pytest.raises(DatasetError, match="shard file://.* is missing"):
        dataset.reader(0)
    assert list((tmp_path / "cache").iterdir()) == []


def test_halves_of_downloads_are_swept(tmp_path: Path):
    (tmp_path / "x.arrow.part").write_bytes(b"half")
    ShardCache(tmp_path, limit_bytes=1)
    assert list(tmp_path.iterdir()) == []


def test_ranks_of_one_machine_share_a_cache_directory_without_harm(source: Path, tmp_path: Path):
    """Each has a folder of its own: a rank that starts does not sweep another's download away."""
    settings = TrainSettings.for_size("tiny", data=f"file://{source}", cache=str(tmp_path / "cache"))
    (first,) = open_blend(settings, rank=0).parts
    reader = first.reader(0)
    half = reader.path.with_name("other.arrow.part")
    half.write_bytes(b"half")
    (second,) = open_blend(settings, rank=1).parts
    assert half.exists()
    assert second.reader(0).path != reader.path
    assert second.reader(0).path.read_bytes() == reader.path.read_bytes()
    with pytest.raises(SettingsError, match="raise --cache-bytes"):
        open_blend(replace(settings, cache_bytes=1)).parts[0].reader(1)
