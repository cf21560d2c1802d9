"""A run of fixed settings: its batches to the bit, its first losses to what differs between processors."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from pathlib import Path

import pytest

from tests.trainer.datasets import COMPRESSOR, make_texts, write_dataset
from tests.trainer.runs import metrics
from trainer.__main__ import main
from trainer.data.dataset import Dataset, HeldOut
from trainer.data.loader import Loader, LoaderSettings
from trainer.data.mixing import MODES, Mixing
from trainer.training.load_model import load_model

V1_STATE = Path(__file__).parents[2] / "golden" / "checkpoint_v1_state.json"
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


def run(data: Path, directory: Path, *more: str) -> int:
    """The golden run, with further options."""
    words = ["--data", str(data), "--out", str(directory), "--size", "pico", "--device", "cpu", "--sharding", "ddp"]
    shape = ["--sequence-length", "64", "--batch-symbols", "512", "--micro-batch-size", "4", "--lanes", "4"]
    schedule = ["--steps", "6", "--lr-warmup-steps", "3", "--mixing-warmup-steps", "4", "--log-steps", "1"]
    heads = ["--raw-heads", "2", "--peak-lr", "0.01", "--held-out-share", "0.1"]
    return main(["train", *words, *shape, *schedule, *heads, *more])


@pytest.fixture(scope="module")
def golden_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its directory after six steps."""
    directory = tmp_path_factory.mktemp("run")
    assert run(data, directory) == 0
    return directory


def test_first_losses_are_golden(golden_run: Path) -> None:
    lines = metrics(golden_run)
    assert [line["loss_nats"] for line in lines] == pytest.approx(LOSSES_NATS, abs=1e-3)
    assert [line["gradient_norm"] for line in lines] == pytest.approx(GRADIENT_NORMS, rel=1e-2)


def test_a_checkpoint_of_version_1_goes_on_as_one_of_today(
    data: Path, golden_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The old release's state.json beside today's tensors of the same step; only the shards' digests are this run's."""
    old, new = tmp_path / "old", tmp_path / "new"
    for directory in (old, new):
        shutil.copytree(golden_run, directory)
    path = old / "checkpoints" / "step-00000006" / "state.json"
    today, state = json.loads(path.read_text()), json.loads(V1_STATE.read_text())
    state["loader"]["identity"]["dataset"] = today["loader"]["identity"]["dataset"]
    path.write_text(json.dumps(state))
    with caplog.at_level(logging.INFO):
        assert [run(data, directory, "--steps", "8") for directory in (old, new)] == [0, 0]
    assert caplog.text.count("resumed at step 6") == 2
    last = [[(line["step"], line["loss_nats"]) for line in metrics(directory)][6:] for directory in (old, new)]
    assert last[0] == last[1]
    assert [step for step, _ in last[0]] == [6, 7]
    assert load_model(str(golden_run))[0].config == load_model(str(old))[0].config


def test_settings_of_a_run_are_read_back(data: Path, golden_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same run again, from its own settings.json alone: it is done already."""
    before = (golden_run / "settings.json").read_bytes()
    assert main(["train", "--config", str(golden_run / "settings.json")]) == 0
    assert f"{golden_run}: trained to step 6" in capsys.readouterr().out
    assert (golden_run / "settings.json").read_bytes() == before
