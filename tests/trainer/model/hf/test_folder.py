"""An exported folder is all that a user needs: a fresh interpreter, another directory, no network, none of our code."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.rooms import EXPORTED
from tests.trainer.models import random_ids, small_model
from trainer.generation.generate import generate
from trainer.model.hf_export import export_model

LOAD = """
import json, sys
def no_network(event, values):
    assert event not in ("socket.connect", "socket.getaddrinfo"), (event, values)
sys.addaudithook(no_network)
# As where it is not installed; a torch for GPUs imports it by itself.
sys.modules["triton"] = None
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
folder, given = sys.argv[1], json.loads(sys.stdin.read())
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
assert AutoConfig.from_pretrained(folder, trust_remote_code=True).model_type == "evabyte"
logits = model(torch.tensor(given["ids"]), return_all_pred_logits=True).logits
batch = tokenizer(given["prompts"], return_tensors="pt", padding=True)
read = batch["input_ids"].shape[1]
texts = [tokenizer.ids_to_bytes(row[read:]).hex() for row in model.generate(**batch, max_new_tokens=30)]
several = [tokenizer.ids_to_bytes(row[read:]).hex() for row in model.multi_byte_generate(**batch, max_new_tokens=30)]
assert not [name for name in sys.modules if name.partition(".")[0] in ("trainer", "schemas", "kernels")]
print(json.dumps({"logits": logits.tolist(), "texts": texts, "several": several}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["plain", "merged"])
def test_a_folder_needs_nothing_of_ours_and_no_network(tmp_path: Path, mode: str) -> None:
    model = small_model(symbol_heads=2, raw_heads=0).eval()
    export_model(model, str(tmp_path / "hf"), mode=mode)
    ids, prompts = random_ids(2, 40), ["def f(x):\n", "a", "x" * 20, "0123456789abcd"]
    given = json.dumps({"ids": ids.tolist(), "prompts": prompts})
    home = tmp_path / "home"
    home.mkdir()
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "HF_HUB_OFFLINE")}
    environment = {**kept, "HOME": str(home), "HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path / "hf")],
        input=given, cwd=home, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    with torch.no_grad():
        torch.testing.assert_close(torch.tensor(found["logits"]), model.logits(ids), atol=1e-5, rtol=0)
    wanted = [text.text.hex() for text in generate(model, [p.encode() for p in prompts], max_bytes=30)]
    assert found["texts"] == found["several"] == wanted


def test_other_users_can_read_the_files(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        export_model(small_model(), str(tmp_path), shard_bytes=20_000)
    finally:
        os.umask(before)
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()} == {
        path.name: "0o644" for path in tmp_path.iterdir()
    }
    assert len(list(tmp_path.glob("*.safetensors"))) > 1


def test_the_folder_holds_what_its_files_name(tmp_path: Path) -> None:
    export_model(small_model(vocabulary=500), str(tmp_path), dtype="bfloat16", positions=777)
    config = json.loads((tmp_path / "config.json").read_text())
    tokenizer = json.loads((tmp_path / "tokenizer_config.json").read_text())
    named = [*config["auto_map"].values(), tokenizer["auto_map"]["AutoTokenizer"][0]]
    assert all((tmp_path / f"{name.partition('.')[0]}.py").is_file() for name in named)
    assert (config["torch_dtype"], config["max_position_embeddings"], config["return_dict"]) == ("bfloat16", 777, True)
    readme = (tmp_path / "README.md").read_text()
    for words in ("<bos><raw>", "180 compressed symbols", "1 prediction head:", config["transformers_version"], "777"):
        assert words in readme
    assert max(map(len, readme.splitlines())) <= 120


@pytest.mark.parametrize("path", sorted(EXPORTED.glob("*_evabyte.py")), ids=lambda path: path.stem)
def test_exported_code_is_plain(path: Path) -> None:
    """PyTorch, transformers, the standard library and each other; transformers copies what modeling names directly."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(("." * node.level + (node.module or "")).partition(".")[0] if not node.level else node.module)
    files = {other.stem for other in EXPORTED.glob("*_evabyte.py")}
    assert names - files <= {"__future__", "typing", "dataclasses", "collections", "torch", "transformers"}
    if path.stem == "modeling_evabyte":
        assert names & files == files - {"modeling_evabyte", "tokenization_evabyte"}
