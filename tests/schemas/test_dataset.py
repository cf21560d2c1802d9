"""A finished dataset opened by a user: what it says, its rows, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas import open_dataset, paired_view
from schemas.errors import DatasetError
from tests.trainer.datasets import make_texts, write_dataset


@pytest.mark.parametrize("rows_per_shard", [[0], [1], [2, 1], [0, 3], [40, 0, 25]])
def test_a_dataset_gives_every_document_in_order(rows_per_shard: list[int], tmp_path: Path) -> None:
    texts = make_texts(rows_per_shard)
    dataset = open_dataset(write_dataset(tmp_path / "data", texts))
    assert len(dataset) == len(texts)
    assert dataset.compressors == ("neural",)
    assert [path.name for path in dataset.paths] == sorted(path.name for path in (tmp_path / "data").glob("*.arrow"))
    assert dataset.table()["doc_id"].to_pylist() == [text.doc_id for text in texts]
    raws = [raw for batch in dataset.batches(["raw"]) for raw in batch["raw"].to_pylist()]
    assert raws == [text.raw for text in texts]
    assert dataset.table(["raw", "doc_id"]).column_names == ["raw", "doc_id"]
    remote = open_dataset(f"file://{tmp_path}/data")
    assert (len(remote), remote.compressors) == (len(texts), ("neural",))
    assert remote.table().equals(dataset.table(), check_metadata=True)
    assert remote.table(["raw"]).equals(dataset.table(["raw"]), check_metadata=True)
    pairs = paired_view(dataset.table(), "neural")
    assert pairs["symbols"].to_pylist() == [text.symbols for text in texts], "one segment each"


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    dataset = open_dataset(write_dataset(tmp_path / "data", make_texts([2])))
    with pytest.raises(DatasetError, match="no column 'text'; its columns are .*'raw'"):
        dataset.table(["text"])
    with pytest.raises(DatasetError, match="no column 'text'"):
        next(dataset.batches(["doc_id", "text"]))


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no manifest.json, so it is not a finished dataset"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match="no manifest.json, so it is not a finished dataset"):
        open_dataset(f"file://{tmp_path}")


def test_a_dataset_behind_a_url_has_no_files_here(tmp_path: Path) -> None:
    dataset = open_dataset(f"file://{write_dataset(tmp_path / 'data', make_texts([2]))}")
    with pytest.raises(DatasetError, match=r"file:///.* is a URL, .* or copy the dataset"):
        _ = dataset.paths
    next((tmp_path / "data").glob("*.arrow")).unlink()
    with pytest.raises(DatasetError, match="does not exist, manifest.json says"):
        dataset.table()
