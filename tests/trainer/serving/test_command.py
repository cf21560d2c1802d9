"""`python -m trainer serve` as a process: it answers, one line says what is wrong, a signal ends it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.trainer.models import small_model
from trainer.__main__ import main
from trainer.generation.generate import generate
from trainer.model.hf_export import export_model
from trainer.training.load_model import load_model

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("model") / "small")
    export_model(small_model(), path)
    return path


def test_a_server_of_its_own_answers_until_a_signal_comes(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "trainer", "serve", model, "--port", "0", "--rows", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = next(line for line in process.stderr if " at http" in line)
            (port,) = re.findall(r"^small at http://127\.0\.0\.1:(\d+)/v1, 2 continuations at once", line)
            body = json.dumps({"model": "small", "prompt": "def", "max_tokens": 9, "seed": 3, "temperature": 0})
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/v1/completions", body.encode(), {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = json.load(answer)["choices"][0]["text"]
            (wanted,) = generate(load_model(model)[0], [b"def"], max_bytes=9)
            assert text == wanted.text.decode("utf-8", "replace")
            assert main(["serve", model, "--port", port]) == 2
            assert re.fullmatch(
                rf"error: 127\.0\.0\.1:{port} cannot be listened at \(Address already in use\); give .*--host\n",
                capsys.readouterr().err,
            )
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
            assert process.stderr.read() == "stopped; requests that were not done are lost\n"
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--port", "70000"], "--port is 70000, it must be at most 65535"),
        (["--rows", "0"], "--rows is 0, it must be at least 1"),
        (["--max-bytes", "0"], "--max-bytes is 0, it must be at least 1"),
        (["--host", "no such host", "--port", "0"], "no such host:0 cannot be listened at"),
        (["--rows", "100000000", "--port", "0"], "100000000 texts of up to 18434 ids at once need a cache of"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    model: str, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", model, *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {message}") and said.count("\n") == 1


def test_a_missing_package_is_named_with_what_installs_it(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", model]) == 2
    assert "a server needs uvicorn, which is not installed; `make serve` installs it" in capsys.readouterr().err
