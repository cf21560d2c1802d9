"""Metrics: lines of steps that are done again are dropped, and every run directory is one W&B run."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest

from trainer.training.metrics import METRICS_NAME, MetricsLog, wandb_run_id


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
