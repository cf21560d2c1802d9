"""The hub's layout: what goes out comes back, and nothing but JSON and safetensors is read."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from schemas.errors import ArtifactError, SettingsError
from schemas.vocabulary import COMP_BASE
from tests.trainer.models import random_ids, small_model
from trainer.generation.generate import generate
from trainer.model.evabyte import EvaByte
from trainer.model.hf_export import export_model, import_model
from trainer.model.settings import ExportSettings


@pytest.fixture(scope="module")
def model() -> EvaByte:
    return small_model(vocabulary=500, symbol_heads=2, raw_heads=1)


def test_plain_gives_back_the_same_logits(model: EvaByte, tmp_path: Path) -> None:
    export_model(model, str(tmp_path))
    again = import_model(str(tmp_path))
    ids = random_ids(2, 40, vocabulary=500)
    with torch.no_grad():
        assert torch.equal(again.logits(ids), model.logits(ids))
    assert {"config.json", "model.safetensors"} <= set(os.listdir(tmp_path))


def test_merged_is_a_byte_model_with_all_heads(model: EvaByte, tmp_path: Path) -> None:
    export_model(model, str(tmp_path), mode="merged")
    again = import_model(str(tmp_path))
    assert (again.config.vocabulary, again.config.symbol_heads, again.config.raw_heads) == (COMP_BASE, 3, 0)
    ids = random_ids(2, 40)
    with torch.no_grad():
        logits, hidden = again.logits(ids), model.hidden(ids)
        assert torch.allclose(logits[:, :, :2], model.logits(ids)[..., :COMP_BASE], atol=1e-5)
        assert torch.allclose(logits[:, :, 2], model.heads.raw(hidden), atol=1e-5)
    prompts = [b"def f(", b""]
    assert generate(again, prompts, max_bytes=30) == generate(model, prompts, max_bytes=30)


def test_names_shapes_and_config_are_the_published_ones(model: EvaByte, tmp_path: Path) -> None:
    export_model(model, str(tmp_path), positions=4096)
    shapes = {name: tuple(t.shape) for name, t in load_file(tmp_path / "model.safetensors").items()}
    d, f = 32, 48
    layer = {
        "input_layernorm.weight": (d,),
        "post_attention_layernorm.weight": (d,),
        **{f"self_attn.{letter}_proj.weight": (d, d) for letter in "qkvo"},
        "self_attn.adaptive_mu_k": (1, 2, 1, 1, 16),
        "self_attn.adaptive_phi": (1, 2, 1, 1, 16),
        "mlp.gate_proj.weight": (f, d),
        "mlp.up_proj.weight": (f, d),
        "mlp.down_proj.weight": (d, f),
    }
    ends = {"model.embed_tokens.weight": (500, d), "model.norm.weight": (d,), "lm_head.weight": (1000, d)}
    assert shapes == ends | {f"model.layers.{n}.{name}": shape for n in range(2) for name, shape in layer.items()}
    config = json.loads((tmp_path / "config.json").read_text())
    wanted = {
        "architectures": ["EvaByteForCausalLM"], "model_type": "evabyte", "attention_class": "eva", "window_size": 16,
        "chunk_size": 4, "num_chunks": None, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "num_pred_heads": 2, "vocab_size": 500,
        "norm_add_unit_offset": True, "rms_norm_eps": 1e-6, "rope_theta": 100000, "rope_scaling": None,
        "max_position_embeddings": 4096, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
        "tie_word_embeddings": False, "torch_dtype": "float32",
    }  # fmt: skip
    assert wanted.items() <= config.items()


def test_bf16_comes_back_rounded(model: EvaByte, tmp_path: Path) -> None:
    export_model(model, str(tmp_path), dtype="bfloat16")
    again = import_model(str(tmp_path)).state_dict()
    for name, weight in model.state_dict().items():
        if name != "heads.raw.weight":
            assert torch.equal(again[name], weight.bfloat16().float())


def test_many_files_with_an_index_read_like_one(model: EvaByte, tmp_path: Path) -> None:
    export_model(model, str(tmp_path), shard_bytes=20_000)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    files = sorted(p.name for p in tmp_path.glob("*.safetensors"))
    assert sorted(set(index["weight_map"].values())) == files
    assert len(files) > 3
    assert index["metadata"]["total_size"] == 4 * (model.config.parameters - COMP_BASE * 32)
    again = import_model(str(tmp_path)).state_dict()
    assert all(torch.equal(again[name], w) for name, w in model.state_dict().items() if name != "heads.raw.weight")


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, (self.path,))


def test_no_pickle_is_read(model: EvaByte, tmp_path: Path) -> None:
    export_model(model, str(tmp_path))
    trace = tmp_path / "was-unpickled"
    bomb = pickle.dumps(Bomb(str(trace)))
    (tmp_path / "pytorch_model.bin").write_bytes(bomb)
    import_model(str(tmp_path))
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "pytorch_model.bin"}}))
    with pytest.raises(ArtifactError, match="only safetensors files beside it are read"):
        import_model(str(tmp_path))
    (tmp_path / "model.safetensors.index.json").unlink()
    (tmp_path / "model.safetensors").write_bytes(bomb)
    with pytest.raises(ArtifactError, match="cannot be read"):
        import_model(str(tmp_path))
    assert not trace.exists()


def test_an_index_cannot_point_elsewhere(model: EvaByte, tmp_path: Path) -> None:
    export_model(model, str(tmp_path / "a"))
    export_model(model, str(tmp_path / "b"))
    index = {"weight_map": {"lm_head.weight": "../a/model.safetensors"}}
    (tmp_path / "b" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ArtifactError, match="only safetensors files beside it"):
        import_model(str(tmp_path / "b"))


def damage(directory: Path, what: str) -> None:
    config, weights = directory / "config.json", directory / "model.safetensors"
    if what == "no config":
        config.unlink()
    elif what == "no weights":
        weights.unlink()
    elif what == "config cut":
        config.write_bytes(config.read_bytes()[:50])
    elif what == "config list":
        config.write_text("[]")
    elif what == "weights cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif what == "other kind":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "llama"}))
    elif what == "other norm":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"norm_add_unit_offset": False}))
    elif what == "other shape":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"intermediate_size": 49}))
    else:
        tensors = load_file(weights)
        if what == "tensor missing":
            del tensors["model.norm.weight"]
        elif what == "tensor too many":
            tensors["model.extra.weight"] = torch.zeros(1)
        save_file(tensors, weights)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no config", "no model at .*config.json is missing"),
        ("no weights", "no model at .*model.safetensors"),
        ("config cut", "cannot be read"),
        ("config list", "cannot be read"),
        ("weights cut", "cannot be read"),
        ("other kind", "model_type 'llama'; only 'evabyte'"),
        ("other norm", "norm_add_unit_offset False; only True"),
        ("other shape", "does not have the shape"),
        ("tensor missing", "model.norm.weight"),
        ("tensor too many", "1 tensors of another architecture, as model.extra.weight"),
    ],
)
def test_broken_directories_are_named(model: EvaByte, tmp_path: Path, what: str, message: str) -> None:
    export_model(model, str(tmp_path))
    damage(tmp_path, what)
    with pytest.raises(ArtifactError, match=message) as caught:
        import_model(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "fat"}, "--mode is 'fat'; choose plain or merged"),
        ({"dtype": "int8"}, "--dtype is 'int8'; choose float32, bfloat16 or float16"),
        ({"shard_bytes": 0}, "--shard-bytes is 0, it must be at least 1"),
    ],
)
def test_wrong_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ExportSettings(out="there", **change)
