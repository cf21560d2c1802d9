"""The commands run with the run-time dependencies alone: nothing that only tests or extras install is imported."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.trainer.runs import command

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
BLOCKED = sorted(
    {
        re.split(r"[\[<>=!~ ]", requirement)[0]
        for extra in ("analysis", "dev", "plot", "serve")
        for requirement in PROJECT["optional-dependencies"][extra]
    }
)
SCRIPT = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {blocked!r} else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
from {package}.__main__ import main
sys.exit(main({arguments!r}))
"""


def run(package: str, *arguments: str) -> None:
    """A command in a process that cannot import what is blocked; it must end well."""
    script = SCRIPT.format(blocked=BLOCKED, package=package, arguments=list(arguments))
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]


def test_what_is_blocked_is_known() -> None:
    assert {"pandas", "polars", "hypothesis", "transformers", "matplotlib"} <= set(BLOCKED)
    assert not {re.split(r"[\[<>=!~ ]", name)[0] for name in PROJECT["dependencies"]} & set(BLOCKED)


@pytest.mark.slow
def test_from_a_corpus_to_a_model_that_writes(workplace: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    for number in range(12):
        (tmp_path / "corpus" / f"{number}.py").write_text(f"def f{number}(x):\n    return x + {number}\n" * 20)
    data, model = str(tmp_path / "data"), str(tmp_path / "run")
    models = ["--lm", str(workplace / "lm"), "--tokenizer", str(next(workplace.glob("**/*.model")))]
    kinds = ["--compressors", "neural,tokenizer,gzip,token_bytes", "--write-entropy", "--shards", "2"]
    run("pipeline", "preprocess", "--input", str(tmp_path / "corpus"), "--output", data, *models, *kinds)
    run("pipeline", "verify", data)
    run("pipeline", "show", data, "--view", "windows", "--head", "3")
    run("pipeline", "decode", data, "--out", str(tmp_path / "back"))
    run("pipeline", "plan", "--dataset", data, "--bytes", "1e12")
    _, _, _, *words = command(Path(data), Path(model), steps=1, compressor="gzip", lanes=2)
    run("trainer", *words)
    run("trainer", "generate", model, "--prompt", "def", "--device", "cpu", "--max-bytes", "4")
    run("trainer", "export", model, "--out", str(tmp_path / "hf"))
