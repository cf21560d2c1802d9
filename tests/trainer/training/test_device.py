"""Which device is taken, what is said of it, and what is refused."""

from __future__ import annotations

import copy
import logging

import pytest
import torch

from schemas.errors import SettingsError
from trainer.__main__ import main
from trainer.training import device
from trainer.training.device import bound_recompilation, device_line, training_device
from trainer.training.parallel import init_distributed

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="says what is so without a GPU")


@pytest.mark.parametrize("name", ["mps", "xpu", "cuda:1", "gpu"])
@pytest.mark.parametrize("command", [["train"], ["generate", "--prompt", "a"], ["lm", "--sample", "s", "--out", "o"]])
def test_other_devices_are_refused_in_one_line(
    command: list[str], name: str, capsys: pytest.CaptureFixture[str], tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    assert main([*command, "--device", name]) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line)
    assert line.startswith(f"error: --device is {name}, the trainer runs on cpu and on cuda")


def test_cuda_without_a_gpu_is_refused_with_the_reason(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "GPU_FILES", (f"{tmp_path}/none*",))
    with pytest.raises(SettingsError, match="but torch sees no GPU; use --device cpu"):
        training_device("cuda")
    monkeypatch.setattr(device, "GPU_FILES", (str(tmp_path),))
    with pytest.raises(SettingsError, match=f"built for .*, sees no GPU behind {tmp_path}: check driver and build"):
        training_device("cuda")


def test_a_gpu_that_torch_cannot_use_is_warned_of_where_none_was_asked_for(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(device, "GPU_FILES", (str(tmp_path),))
    assert training_device("cpu") == "cpu"
    assert not caplog.records
    assert training_device("") == "cpu"
    assert f"take the CPU, although there is a GPU: torch {torch.__version__}" in caplog.text


def test_a_run_says_which_device_it_took_and_why(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), init_distributed("cpu"):
        pass
    assert "device: cpu" in caplog.text and "(as asked)" in caplog.text
    assert "sees no GPU" in device_line("cpu", "")


@pytest.mark.parametrize(("name", "bounded"), [("", True), ("cuda", True), ("cpu", False)])
def test_whoever_takes_a_gpu_has_the_bound(name: str, bounded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training, scoring and generation alike: they ask the same function."""
    calls: list[bool] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(device, "bound_recompilation", lambda: calls.append(True))
    assert training_device(name) == (name or "cuda")
    assert calls == [True] * bounded


def test_one_shape_too_many_ends_in_an_error_and_not_in_the_whole_score_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("recompile_limit", "accumulated_recompile_limit", "fail_on_recompile_limit_hit")
    before = {name: copy.copy(getattr(torch._dynamo.config, name)) for name in names}
    monkeypatch.setattr(device, "SHAPES_AT_MOST", 2)
    bound_recompilation()
    try:
        compiled = torch.compile(lambda x: x + 1, dynamic=False, backend="eager")
        for size in (2, 3):
            compiled(torch.zeros(size))
        with pytest.raises(Exception, match="recompile"):
            compiled(torch.zeros(4))
    finally:
        for name, value in before.items():
            setattr(torch._dynamo.config, name, value)
        torch._dynamo.reset()
