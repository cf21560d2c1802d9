"""Training on a dataset in a store: the losses of the local one, and nothing left behind."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path

import pytest

from schemas import patience, stores
from schemas.patience import Patience
from tests.pipeline.runs import tree
from tests.store_servers import Front
from tests.trainer.runs import command, losses, make_dataset, metrics
from trainer.__main__ import main


def test_two_steps_of_a_dataset_in_a_store(s3: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_dataset(tmp_path / "made")
    for name in tree(data):
        stores.write(f"s3://data/train/{name}", data / name)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(patience, "PATIENCE", Patience(waits_s=(0.01, 0.02, 0.04)))
    shape = {"steps": 2, "batch-symbols": 512, "checkpoint-steps": 2}
    s3.reset()
    s3.trouble.every = 4
    for place, run in ((str(data), tmp_path / "local"), ("s3://data/train", tmp_path / "stored")):
        assert main(command(place, run, **shape)[3:]) == 0
    assert s3.seen.troubled
    assert losses(metrics(tmp_path / "stored")) == losses(metrics(tmp_path / "local"))
    assert len(losses(metrics(tmp_path / "stored"))) == 2
    gc.collect()
    assert not list((tmp_path / "temporary").glob("shards-*/*.arrow"))
