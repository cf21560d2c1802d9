"""What a long training will take is said before it starts, and is about what it takes."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kernels.byte_lm import ByteLM
from kernels.byte_lm_config import PRESETS
from schemas.batches import Documents
from schemas.sample import Sample, write_sample
from tests.trainer.runs import ROOT, environment
from trainer.byte_lm import estimate
from trainer.byte_lm.estimate import LONG_FLOP, announce, step_seconds, training_flop
from trainer.byte_lm.settings import SIZES, ByteLMTraining
from trainer.byte_lm.training import _Steps
from trainer.training.parallel import Distributed

MODEL = ByteLM(PRESETS["tiny"])
TINY, LARGE = (ByteLMTraining.for_size(size) for size in ("tiny", "40m"))


def test_operations_are_counted_as_six_for_each_weight_and_position() -> None:
    weights = sum(w.numel() for name, w in MODEL.named_parameters() if w.dim() == 2 and "embedding" not in name)
    assert training_flop(MODEL, TINY, 7) == pytest.approx(6 * weights * TINY.rows * TINY.window_bytes * 7)


def test_only_what_takes_long_is_announced(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    announce(MODEL, TINY, TINY.steps)
    assert caplog.messages == []
    assert training_flop(MODEL, TINY, TINY.steps) < LONG_FLOP / 10
    config = PRESETS["40m"]
    assert 3 * config.matmul_flop_per_byte * LARGE.rows * LARGE.window_bytes * LARGE.steps > LONG_FLOP * 100


def test_the_line_says_size_time_steps_and_what_else_to_do(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "LONG_FLOP", 0.0)
    monkeypatch.setattr(estimate, "step_seconds", lambda model, training: 360.0)
    caplog.set_level(logging.INFO)
    announce(MODEL, TINY, 300)
    (line,) = caplog.messages
    assert line.startswith("byte LM tiny on this CPU: about 30.0 h for 300 steps; --device cuda")


def test_the_estimate_is_about_the_time_of_a_step() -> None:
    """Within a factor of three on a machine that others use too; gradients are left as they were."""
    text = Documents.from_bytes([bytes(np.random.default_rng(0).integers(32, 127, 5000, np.uint8))])
    dist = Distributed(rank=0, size=1, device=MODEL.device)
    training = ByteLMTraining.for_size("tiny", rows=64)
    steps = _Steps(MODEL, training, Sample(train=text, held_out=text), dist)
    steps.take(0)
    taken, expected = [], []
    for step in range(1, 6):
        expected.append(step_seconds(MODEL, training))
        begin = time.perf_counter()
        steps.take(step)
        taken.append(time.perf_counter() - begin)
    assert all(weight.grad is None for weight in MODEL.parameters())
    assert min(taken) / 3 < min(expected) < min(taken) * 3


@pytest.mark.slow
def test_the_large_size_on_a_cpu_is_announced_before_its_first_step(tmp_path: Path) -> None:
    sample = tmp_path / "sample.arrow"
    write_sample(str(sample), [("a", b"hello world, " * 100, False)])
    words = ["-m", "trainer", "lm", "--sample", str(sample), "--out", str(tmp_path / "lm"), "--size", "40m"]
    process = subprocess.Popen([sys.executable, *words], env=environment(), stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "about" in line:
                break
    finally:
        process.kill()
        process.wait()
    found = re.fullmatch(r"byte LM 40m on this CPU: about [\d,.]+ (h|days) for 20,000 steps; .*\n", lines[-1])
    assert found, lines
    assert all(line.startswith(("byte LM: 0 of 20,000 steps", "device: ")) for line in lines[:-1]), lines
    assert SIZES["40m"].steps == 20_000
