"""Nothing happens at import: no files, no prints, no global state; and the command line answers at once."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.shards import shard_name
from tests.rooms import MODULES, ROOT
from tests.schemas.shard_samples import SMALL, write_shard

LOOK = """
import importlib, io, json, logging, os, random, signal, sys, threading, warnings

def state():
    found = {
        "directory": sorted(os.listdir()),
        "environment": dict(os.environ),
        "handlers": len(logging.getLogger().handlers),
        "level": logging.getLogger().level,
        "dice": hash(random.getstate()),
        "threads": threading.active_count(),
        "interrupt": str(signal.getsignal(signal.SIGINT)),
        "umask": os.umask(0o022),
    }
    os.umask(found["umask"])
    if "torch" in sys.modules:
        import torch
        found["torch"] = [str(torch.get_default_dtype()), torch.get_num_threads(), torch.is_grad_enabled(),
                          torch.are_deterministic_algorithms_enabled(), torch.initial_seed(),
                          torch.get_float32_matmul_precision(), torch.cuda.is_initialized()]
    if "numpy" in sys.modules:
        import numpy
        found["numpy"] = [int(numpy.random.get_state()[1].sum()), numpy.geterr()]
    return found

others, ours = json.loads(sys.argv[1]), json.loads(sys.argv[2])
for name in others:
    importlib.import_module(name)
before = state()
sys.addaudithook(lambda event, values: opened(event, values))
changed = []
def opened(event, values):
    if event == "open" and isinstance(values[1], str) and set(values[1]) & set("wax+"):
        if not str(values[0]).endswith(".pyc") and "__pycache__" not in str(values[0]):
            changed.append(str(values[0]))
    if event in ("os.mkdir", "os.remove", "os.rename", "shutil.rmtree", "subprocess.Popen", "socket.connect"):
        if "__pycache__" not in str(values[0]):
            changed.append(f"{event} {values[0]}")
sys.stdout, sys.stderr = printed = io.StringIO(), io.StringIO()
for name in ours:
    importlib.import_module(name)
sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
assert [stream.getvalue() for stream in printed] == ["", ""], printed
after = state()
assert changed == [], changed
assert after == before, {key: (before[key], after[key]) for key in before if before[key] != after[key]}
import kernels
print(kernels.__file__)
"""

THIRD_PARTY = ["numpy", "torch", "numba", "pyarrow", "pyarrow.parquet", "sentencepiece", "safetensors.torch", "tqdm"]
THIRD_PARTY += ["apache_beam", "apache_beam.io.filesystems", "zstandard", "transformers", "transformers.generation"]
THIRD_PARTY += ["transformers.modeling_utils", "transformers.tokenization_utils_base"]


def run(code: str, cwd: Path, *arguments: str) -> str:
    """What a fresh interpreter prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(cwd)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_importing_everything_does_nothing(tmp_path: Path) -> None:
    """What the libraries do at their own import is theirs; ours add nothing. Kernels of Triton are where it is."""
    absent = (
        "__main__"
        if importlib.util.find_spec("triton")
        else ("__main__", "triton_kernels", "triton_attention", "triton_windows")
    )
    ours = [name for name in MODULES if not name.endswith(absent)]
    out = run(LOOK, tmp_path, json.dumps(THIRD_PARTY), json.dumps(ours))
    assert out.splitlines() == [str(ROOT / "kernels" / "__init__.py")], "the package index has a `kernels` too"


@pytest.mark.parametrize("package", ["pipeline", "trainer"])
def test_the_command_line_is_quick(package: str, tmp_path: Path) -> None:
    code = f"""
import sys
import {package}.__main__
from {package}.cli import parser
parser.parser()
heavy = {{"torch", "apache_beam", "numba", "pyarrow", "sentencepiece", "numpy", "tqdm"}} & set(sys.modules)
assert not heavy, heavy
"""
    assert run(code, tmp_path) == ""


@pytest.mark.parametrize("package", ["schemas", "kernels", "pipeline", "trainer"])
def test_packages_are_empty_and_ours(package: str, tmp_path: Path) -> None:
    code = f"import sys, {package}; print({package}.__file__, [m for m in sys.modules if m.startswith('{package}.')])"
    assert run(code, tmp_path).strip() == f"{ROOT / package / '__init__.py'} []"


WITHOUT_PANDAS = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name="pandas")
sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize("view", ["raw", "comp", "paired", "windows"])
def test_shards_are_shown_without_pandas(view: str, tmp_path: Path) -> None:
    """The quick start's environment has none; Arrow asks for it in places where one would not think so."""
    path = tmp_path / shard_name(0, 1)
    write_shard(path, SMALL)
    command = ["show", str(path), "--view", view]
    code = f"{WITHOUT_PANDAS}\nfrom pipeline.__main__ import main\nsys.exit(main({command!r}))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-1000:]
    assert "doc_id" in found.stdout
