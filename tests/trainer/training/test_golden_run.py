"""A run of fixed settings: its batches to the bit, its first losses to what differs between processors."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.trainer.datasets import COMPRESSOR, make_texts, write_dataset
from tests.trainer.runs import metrics
from trainer.__main__ import main
from trainer.data.dataset import Dataset, HeldOut
from trainer.data.loader import Loader, LoaderSettings
from trainer.data.mixing import MODES, Mixing

BATCHES = {
    "none": "c1054695f18510f198afdc68b5b0e0e274864f1f0a43fc4dba79cd0bf5635ce2",
    "sentinel": "075092af4d6ac90eefd47f91e8b3a97fb921a08967b39e4f34dc5a74269b79ec",
    "pair-warmup": "a6082597f1a5ea6d331c217d373f5d5e7dcc8609ebcfa8b74276802d32400364",
    "pair-always": "667a512c0f617cf3861c57978dd7aaf552f9750594dd71f459415c7f85c0313b",
    "raw-only": "30286ee2791531b9e332447a6af4027929a6043f80eac0f62928d2aed6f0ad64",
    "comp-only": "d745c048700926f607af1a1689228bae7b23a00ec0e42df6132f66c1f2f68634",
}
LOSSES_NATS = [8.542598, 8.208424, 7.925231, 9.229159, 9.145148, 10.529189]
GRADIENT_NORMS = [0.224807, 0.211716, 0.196206, 0.265261, 0.270618, 0.371212]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of random texts, the same on every machine."""
    return write_dataset(tmp_path_factory.mktemp("golden"), make_texts([40, 1, 90, 25, 60], most_bytes=200))


@pytest.mark.parametrize("mode", MODES)
def test_batches_are_golden(data: Path, mode: str) -> None:
    """Four epochs: the phases of the mixing, documents over rows, held-out documents, the ids behind a row."""
    dataset = Dataset(str(data), compressor=COMPRESSOR, held_out=HeldOut(share=0.1))
    settings = LoaderSettings(
        sequence_length=64, global_batch_size=12, mixing=Mixing(mode=mode, warmup_steps=9), lanes=4, seed=5, lookahead=3
    )
    digest = hashlib.sha256()
    with Loader(dataset, settings) as loader:
        for _ in range(60):
            batch = next(loader)
            for part in (batch.ids, batch.documents, batch.spans, batch.next_ids, batch.pieces):
                digest.update(part.dtype.str.encode() + str(part.shape).encode() + part.tobytes())
    assert digest.hexdigest() == BATCHES[mode]


def test_first_losses_are_golden(data: Path, tmp_path: Path) -> None:
    words = ["--data", str(data), "--out", str(tmp_path), "--size", "pico", "--device", "cpu", "--sharding", "ddp"]
    shape = ["--sequence-length", "64", "--batch-symbols", "512", "--micro-batch-size", "4", "--lanes", "4"]
    schedule = ["--steps", "6", "--warmup-steps", "3", "--mixing-warmup-steps", "4", "--log-steps", "1"]
    heads = ["--raw-heads", "2", "--peak-lr", "0.01", "--held-out-share", "0.1"]
    assert main(["train", *words, *shape, *schedule, *heads]) == 0
    lines = metrics(tmp_path)
    assert [line["loss_nats"] for line in lines] == pytest.approx(LOSSES_NATS, abs=1e-3)
    assert [line["gradient_norm"] for line in lines] == pytest.approx(GRADIENT_NORMS, rel=1e-2)
