"""Other programs open our files as they are: zstd and plain, dictionary values that first appear in late batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.dataset import shard_writer
from schemas.views import comp_view, paired_view, raw_view, window_view
from tests.schemas.shard_samples import SMALL, encodings_of, raw_of, read_table, write_shard

TEXTS = SMALL * 4
RAWS = [raw_of(text) for text in TEXTS]
SOURCES = [f"src/{i // 3}.py" for i in range(len(TEXTS))]
SYMBOL_SUM = int(encodings_of(TEXTS)["neural"].symbols.sum(dtype=int))


@pytest.fixture(params=["zstd", "none"])
def shard(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shard of six batches."""
    monkeypatch.setattr(shard_writer, "BATCH_ROWS", 2)
    path = tmp_path / "shard-00000-of-00001.arrow"
    write_shard(path, TEXTS, request.param)
    assert pa.ipc.open_file(path).num_record_batches == 6
    return path


def test_pyarrow(shard: Path):
    feather = pytest.importorskip("pyarrow.feather")
    dataset = pytest.importorskip("pyarrow.dataset")
    for table in (feather.read_table(shard), dataset.dataset(shard, format="arrow").to_table()):
        assert table["raw"].to_pylist() == RAWS
        assert table["source"].to_pylist() == SOURCES


def test_pandas(shard: Path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_feather(shard)
    assert list(frame.raw) == RAWS
    assert list(frame.source) == SOURCES
    assert sum(int(row["symbols"].sum(dtype=int)) for row in frame.neural) == SYMBOL_SUM
    pairs = paired_view(read_table(shard), "neural").to_pandas()
    assert pairs.raw.sum() == b"".join(RAWS)


def test_polars(shard: Path):
    polars = pytest.importorskip("polars")
    frame = polars.scan_ipc(shard).collect()
    assert frame["raw"].to_list() == RAWS
    assert frame["source"].cast(polars.String).to_list() == SOURCES
    symbols = frame.select(polars.col("neural").struct.field("symbols").explode(empty_as_null=False).sum()).item()
    assert symbols == SYMBOL_SUM
    table = read_table(shard)
    for view in (raw_view(table), comp_view(table, "neural"), paired_view(table, "neural"), window_view(table)):
        rows = polars.from_arrow(view)
        assert rows.height == view.num_rows
        assert rows["doc_id"].cast(polars.String).to_list() == view["doc_id"].to_pylist()


def test_duckdb(shard: Path):
    duckdb = pytest.importorskip("duckdb")
    table = read_table(shard)
    pairs, windows = paired_view(table, "neural"), window_view(table)
    with duckdb.connect() as db:
        for name, rows in {"shard": table, "pairs": pairs, "windows": windows}.items():
            db.register(name, rows)
        assert [row[0] for row in db.sql("select raw from shard").fetchall()] == RAWS
        assert [row[0] for row in db.sql("select source from shard").fetchall()] == SOURCES
        assert db.sql("select sum(list_sum(neural.symbols)) from shard").fetchall() == [(SYMBOL_SUM,)]
        assert db.sql("select sum(symbol) from windows").fetchall() == [(SYMBOL_SUM,)]
        rows = db.sql("select doc_id, raw from pairs").fetchall()
        assert rows == list(zip(pairs["doc_id"].to_pylist(), pairs["raw"].to_pylist(), strict=True))


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    yield tmp_path / "cache"


@pytest.mark.parametrize("streaming", [False, True])
def test_hugging_face_datasets_beside_an_empty_shard(offline: Path, tmp_path: Path, streaming: bool):
    datasets = pytest.importorskip("datasets")
    paths = [tmp_path / "a.arrow", tmp_path / "b.arrow", tmp_path / "c.arrow"]
    for path, texts in zip(paths, [SMALL, [], SMALL[:1]], strict=True):
        write_shard(path, texts)
    files = [str(path) for path in paths]
    rows = datasets.load_dataset("arrow", data_files=files, split="train", streaming=streaming, cache_dir=str(offline))
    assert [row["raw"] for row in rows] == [raw_of(text) for text in SMALL + SMALL[:1]]


@pytest.mark.parametrize("streaming", [False, True])
def test_hugging_face_datasets(shard: Path, offline: Path, streaming: bool):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    rows = datasets.load_dataset(
        "arrow", data_files=str(shard), split="train", streaming=streaming, cache_dir=str(offline)
    )
    documents = list(rows)
    assert [row["raw"] for row in documents] == RAWS
    assert [row["source"] for row in documents] == SOURCES
    assert sum(symbol for row in documents for symbol in row["neural"]["symbols"]) == SYMBOL_SUM


def test_an_empty_shard(tmp_path: Path):
    path = tmp_path / "empty.arrow"
    write_shard(path, [])
    assert pytest.importorskip("pandas").read_feather(path).empty
    assert pytest.importorskip("polars").scan_ipc(path).collect().is_empty()
    table = read_table(path)
    with pytest.importorskip("duckdb").connect() as db:
        assert db.register("shard", table).sql("select count(*) from shard").fetchall() == [(0,)]
    for view in (raw_view(table), comp_view(table, "neural"), paired_view(table, "neural"), window_view(table)):
        assert view.num_rows == 0
