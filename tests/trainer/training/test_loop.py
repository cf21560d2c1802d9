"""Whole runs: equal losses however the work is dealt out, exact resume after kills, errors that name the remedy."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from tests.trainer.runs import command, environment, losses, make_dataset, metrics, train
from trainer.__main__ import main
from trainer.training.checkpoint import checkpoints, read_state
from trainer.training.loop import Sigterm


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset."""
    return make_dataset(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def whole_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    """The metrics of a run that nothing happens to."""
    return train(data, tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def undisturbed(whole_run: list[dict[str, float]]) -> list[float]:
    """Its losses."""
    return losses(whole_run)


def test_raw_bytes_are_learned(whole_run: list[dict[str, float]]) -> None:
    assert whole_run[-1]["bits_per_raw_byte"] < whole_run[0]["bits_per_raw_byte"] - 1


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["ddp", "fsdp"])
def test_two_ranks_find_the_losses_of_one(sharding: str, data: Path, undisturbed: list[float], tmp_path: Path) -> None:
    found = losses(train(data, tmp_path, ranks=2, sharding=sharding))
    assert found == pytest.approx(undisturbed, abs=1e-5)


@pytest.mark.slow
def test_a_killed_run_goes_on_exactly_on_another_number_of_ranks(
    data: Path, undisturbed: list[float], tmp_path: Path
) -> None:
    """`python -m tests.bench kills` kills it at twenty random moments."""
    kill_after = 4
    process = subprocess.Popen(
        command(data, tmp_path), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while len(metrics(tmp_path)) < kill_after and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert losses(train(data, tmp_path, ranks=2)) == pytest.approx(undisturbed, abs=1e-5)


def test_sigterm_saves_and_the_same_command_continues(data: Path, undisturbed: list[float], tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(data, tmp_path, checkpoint_steps=100), env=environment(), stderr=subprocess.PIPE, text=True
    )
    while len(metrics(tmp_path)) < 2 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 0
    assert "the same command continues" in errors
    saved = read_state(checkpoints(str(tmp_path))[-1])["step"]
    assert 2 <= saved < 8
    assert losses(train(data, tmp_path)) == undisturbed


class DuringStep(Sigterm):
    """Finds SIGTERM received between two micro-batches: at the reading number READ_AT."""

    read_at = 16 * 2 + 5
    reads = 0

    @property
    def received(self) -> bool:
        """Whether it was read so often."""
        DuringStep.reads += 1
        return DuringStep.reads >= self.read_at

    @received.setter
    def received(self, value: bool) -> None:
        pass


def test_sigterm_drops_an_unfinished_step_and_saves_the_last_whole_one(
    data: Path, undisturbed: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("trainer.training.loop.Sigterm", DuringStep)
        assert train_here(data, tmp_path, micro_batch_size=1, checkpoint_steps=100) == 0
    assert DuringStep.reads == DuringStep.read_at, "looked at before every micro-batch, and not after"
    assert [Path(path).name for path in checkpoints(str(tmp_path))] == ["step-00000002"]
    assert len(metrics(tmp_path)) == 2
    assert losses(train(data, tmp_path)) == pytest.approx(undisturbed, abs=1e-5)


@pytest.mark.slow
def test_sigterm_to_torchrun_saves_on_all_ranks(data: Path, undisturbed: list[float], tmp_path: Path) -> None:
    words = command(data, tmp_path, ranks=2, checkpoint_steps=100)
    words[words.index("--standalone")] = "--shutdown-timeout=300"
    words.insert(3, "--standalone")
    process = subprocess.Popen(words, env=environment(), stderr=subprocess.PIPE, text=True)
    while len(metrics(tmp_path)) < 2 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    saved = read_state(checkpoints(str(tmp_path))[-1])["step"]
    assert 2 <= saved < 8
    assert losses(train(data, tmp_path)) == pytest.approx(undisturbed, abs=1e-5)


def test_only_the_last_checkpoints_stay(data: Path, tmp_path: Path) -> None:
    assert train_here(data, tmp_path, checkpoint_steps=1, keep_checkpoints=2, steps=5) == 0
    assert [Path(path).name for path in checkpoints(str(tmp_path))] == ["step-00000004", "step-00000005"]


def fails(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Exit status and the one line of the error."""
    status = main(["train", *words])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    return status, lines[0]


def test_errors_are_one_line_with_the_remedy(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = ["--device", "cpu", "--out", str(tmp_path / "run")]
    cases = [
        (["--data", str(tmp_path), *small], "holds no manifest.json"),
        (["--data", str(data), *small], "has no compressor 'neural', it has"),
        (["--data", str(data), "--size", "7b", "--compressor", "gzip", *small], "it fits on"),
        (["--data", str(data), "--compressor", "gzip", "--batch-symbols", "1000", *small], "no whole sequences"),
        (["--data", str(data), "--compressor", "gzip", "--micro-batch-size", "3", *small], "so that they divide"),
    ]
    for words, message in cases:
        status, line = fails(capsys, *words)
        assert (status, message in line) == (2, True), line


def test_a_checkpoint_of_another_configuration_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_here(data, tmp_path, steps=1) == 0
    capsys.readouterr()
    words = command(data, tmp_path, seed=1)[4:]
    status, line = fails(capsys, *words)
    assert (status, "was made with seed=0, this run has 1" in line) == (2, True), line


def test_an_unknown_mode_or_size_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    for words, known in ((["--mode", "often"], "none, sentinel, pair-warmup"), (["--size", "8b"], "pico, nano, micro")):
        with pytest.raises(SystemExit) as stopped:
            main(["train", *words])
        (line,) = capsys.readouterr().err.splitlines()
        assert (stopped.value.code, known in line.replace("'", "")) == (2, True), line


def train_here(data: Path, run: Path, **options: object) -> int:
    """A run in this process."""
    return main(command(data, run, **options)[3:])


def test_a_loss_that_is_not_finite_stops_before_the_weights_change_and_names_documents(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_here(data, tmp_path, peak_lr=1e30, checkpoint_steps=1) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "the loss of step" in error or "the gradient norm of step" in error
    assert "it showed documents" in error
    assert "lower --peak-lr" in error
    last = read_state(checkpoints(str(tmp_path))[-1])
    assert f" of step {last['step']} is " in error


def test_pairs_that_do_not_fit_a_row_are_warned_of(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert train_here(data, tmp_path / "short", steps=1, sequence_length=128) == 0
    assert "most pairs are cut" in caplog.text
    assert "--split-bytes" in caplog.text
    caplog.clear()
    assert train_here(data, tmp_path / "raw", steps=1, sequence_length=128, mode="raw-only") == 0
    assert "most pairs are cut" not in caplog.text


@pytest.mark.slow
def test_torchrun_replaces_ranks_when_one_is_killed(data: Path, undisturbed: list[float], tmp_path: Path) -> None:
    """As where a node is lost: all ranks start again, from the last checkpoint, and the run ends as if nothing was."""
    words = command(data, tmp_path, ranks=2)
    words.insert(words.index("--standalone"), "--max-restarts=1")
    process = subprocess.Popen(words, env=environment(), stderr=subprocess.PIPE, text=True)
    while len(metrics(tmp_path)) < 5 and process.poll() is None:
        time.sleep(0.005)
    ranks = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(ranks[-1]), signal.SIGKILL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-2000:]
    assert "resumed at step 3" in errors
    assert losses(metrics(tmp_path)) == pytest.approx(undisturbed, abs=1e-5)


def test_a_device_without_memory_is_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> bool:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee documentation")

    monkeypatch.setattr("trainer.training.loop.TrainStep.take", full)
    assert train_here(data, tmp_path) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "the device's memory ran out (CUDA out of memory. Tried to allocate 2.00 GiB.); give --recompute" in error
