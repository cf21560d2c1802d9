"""Metrics: lines of steps that are done again are dropped, and every run directory is one W&B run."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kernels.eva import document_starts, eva_block_mask
from tests.trainer.models import small_config
from trainer.training.metrics import (
    METRICS_NAME,
    MetricsLog,
    mean_visible_keys,
    peak_flop_per_second,
    wandb_run_id,
)


def steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / METRICS_NAME).read_text().splitlines()]


def test_lines_of_steps_that_are_done_again_are_dropped(tmp_path: Path) -> None:
    with MetricsLog(str(tmp_path), step=0, settings={}) as log:
        for step in range(4):
            log.write({"step": step, "loss_nats": 1.0})
    with (tmp_path / METRICS_NAME).open("a") as file:
        file.write('{"step": 4, "loss')
    with MetricsLog(str(tmp_path), step=2, settings={}) as log:
        assert steps(tmp_path) == [0, 1]
        log.write({"step": 2, "loss_nats": 0.5})
    assert steps(tmp_path) == [0, 1, 2]


def test_run_directories_of_one_name_are_different_wandb_runs_and_keep_their_ids(tmp_path: Path) -> None:
    runs = [tmp_path / parent / "tiny" for parent in "AB"]
    for run in runs:
        run.mkdir(parents=True)
    ids = [wandb_run_id(str(run)) for run in runs]
    assert ids[0] != ids[1]
    assert [wandb_run_id(str(run)) for run in runs] == ids
    assert all(name.isalnum() and len(name) == 12 for name in ids)


def test_a_project_without_the_package_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with caplog.at_level(logging.WARNING):
        MetricsLog(str(tmp_path), step=0, settings={}).__exit__()
        assert caplog.text == ""
        monkeypatch.setenv("WANDB_PROJECT", "mine")
        MetricsLog(str(tmp_path), step=0, settings={}).__exit__()
    assert "WANDB_PROJECT is set, but wandb is not installed" in caplog.text
    assert "pip install wandb" in caplog.text


def test_damaged_lines_are_dropped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As a crash of the machine leaves them; a half-written last line is what a kill leaves, and no news."""
    lines = ['{"step": 0}', "\0\0\0", '{"step": 1}', "[1]", '{"step": "x"}', '{"step": 5}']
    (tmp_path / METRICS_NAME).write_text("\n".join(lines) + '\n{"st')
    with caplog.at_level(logging.WARNING):
        MetricsLog(str(tmp_path), step=3, settings={}).__exit__()
    assert steps(tmp_path) == [0, 1]
    assert "had 3 damaged lines, which are dropped" in caplog.text
    caplog.clear()
    (tmp_path / METRICS_NAME).write_text('{"step": 0}\n{"st')
    MetricsLog(str(tmp_path), step=3, settings={}).__exit__()
    assert steps(tmp_path) == [0] and caplog.text == ""


@pytest.mark.parametrize("fails", ["init", "log", "finish"])
def test_a_follower_that_fails_never_ends_the_run(
    fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Follower:
        def __getattr__(self, name: str) -> Any:
            def call(*_: Any, **__: Any) -> Follower:
                if name == fails:
                    raise OSError("no network\nat all")
                return self

            return call

    monkeypatch.setitem(sys.modules, "wandb", Follower())
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    with caplog.at_level(logging.WARNING), MetricsLog(str(tmp_path), step=0, settings={}) as log:
        for step in range(3):
            log.write({"step": step})
    assert steps(tmp_path) == [0, 1, 2]
    (message,) = caplog.messages
    assert "(no network at all)" in message


def test_visible_keys_are_those_of_the_attention_mask() -> None:
    rng = np.random.default_rng(0)
    documents = np.sort(rng.integers(0, 5, (3, 64)), axis=1)
    starts = document_starts(torch.from_numpy(documents))
    mask = eva_block_mask(64, window=16, chunk=4, starts=starts, device=torch.device("cpu"))
    head = torch.tensor(0)
    seen = [
        int(mask.mask_mod(torch.tensor(row), head, torch.tensor(query), torch.tensor(key)))
        for row in range(3)
        for query in range(64)
        for key in range(64 + 12)
    ]
    assert mean_visible_keys(documents, window=16, chunk=4) == sum(seen) / (3 * 64)
    one = np.zeros((2, 64), np.int64)
    assert mean_visible_keys(one, window=16, chunk=4) == small_config().mean_keys(64)


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("AMD Instinct MI300X", 1307e12),
        ("NVIDIA RTX A1000", None),
        ("NVIDIA H100 of tomorrow", None),
    ],
)
def test_a_gpu_has_its_own_rate_or_none(name: str, rate: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert peak_flop_per_second(torch.device("cuda", 0)) == rate
    assert peak_flop_per_second(torch.device("cpu")) is None
