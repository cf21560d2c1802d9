"""The EvaByte layout of the Hugging Face hub: safetensors files and a config.json, written and read.

    blocks.n.qkv         model.layers.n.self_attn.{q,k,v}_proj      blocks.n.out         ….self_attn.o_proj
    blocks.n.mu, .phi    ….self_attn.adaptive_{mu_k,phi}            as (1, heads, 1, 1, head size)
    blocks.n.gate_up     ….mlp.{gate,up}_proj                       blocks.n.down        ….mlp.down_proj
    blocks.n.*_norm      ….{input,post_attention}_layernorm         embedding, norm      model.embed_tokens, model.norm
    heads.symbol         lm_head.weight, heads outermost

The raw heads have no place there. `plain` leaves them out; `merged` cuts embedding and heads to the 320 raw ids and
appends the raw heads, for multi-byte decoding of raw bytes. `trainer.model.hf_files` adds what else a folder needs.
Only JSON and safetensors are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from schemas.errors import ArtifactError, refusing
from schemas.files import atomic_path, canonical_json, replace_file
from schemas.json_files import read_json, record, said, typed
from schemas.vocabulary import COMP_BASE
from trainer.model.config import EvaByteConfig
from trainer.model.evabyte import EvaByte, meta_model
from trainer.model.hf_files import CONSTANTS, write_files
from trainer.model.settings import ExportDtype, ExportMode

CONFIG_NAME = "config.json"
INDEX_NAME = "model.safetensors.index.json"
WEIGHTS_NAME = "model.safetensors"
AGAIN = "export or download it again"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

FIELDS = {
    "hidden_size": "dim",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "intermediate_size": "ffn_dim",
    "vocab_size": "vocabulary",
    "num_pred_heads": "symbol_heads",
    "window_size": "attention_window",
    "chunk_size": "chunk",
    "rope_theta": "rope_theta",
    "rms_norm_eps": "norm_eps",
}
"""Keys of config.json and the fields of EvaByteConfig that they are."""

MUST_HOLD = (
    "model_type",
    "attention_class",
    "num_chunks",
    "norm_add_unit_offset",
    "rope_scaling",
    "tie_word_embeddings",
)
"""Keys of config.json that an imported model must share with CONSTANTS; a missing key counts as our value."""


def export_model(
    model: EvaByte,
    directory: str,
    *,
    mode: ExportMode = "plain",
    dtype: ExportDtype = "float32",
    positions: int = 16384,
    shard_bytes: int = 5_000_000_000,
) -> None:
    """Write a folder that transformers loads without a network, config.json last.

    The arguments are those of `trainer.model.settings.ExportSettings`.
    positions: the longest sequence that the model was trained on.
    """
    os.makedirs(directory, exist_ok=True)
    config = model.config
    if mode == "merged":
        config = _merged(config)
    shards = _sharded(_hub_tensors(model, mode, DTYPES[dtype]), shard_bytes)
    names = [f"model-{i:05d}-of-{len(shards):05d}.safetensors" for i in range(1, len(shards) + 1)]
    names = names if len(names) > 1 else [WEIGHTS_NAME]
    for name, tensors in zip(names, shards, strict=True):
        with atomic_path(os.path.join(directory, name)) as temporary:
            save_file(tensors, temporary, metadata={"format": "pt"})
    index = os.path.join(directory, INDEX_NAME)
    if len(names) > 1:
        total = sum(tensor.nbytes for tensors in shards for tensor in tensors.values())
        where = {key: name for name, tensors in zip(names, shards, strict=True) for key in tensors}
        replace_file(index, canonical_json({"metadata": {"total_size": total}, "weight_map": where}))
    elif os.path.exists(index):
        os.remove(index)
    shape = {**{key: getattr(config, field) for key, field in FIELDS.items()}, "num_key_value_heads": config.heads}
    write_files(directory, config, shape, mode=mode, dtype=dtype, positions=positions)


def import_model(directory: str, *, device: str | torch.device = "cpu") -> EvaByte:
    """The fp32 model in a directory of that layout; ArtifactError where it is missing, damaged or of another kind."""
    if not os.path.exists(os.path.join(directory, CONFIG_NAME)):
        raise ArtifactError(f"no model at {directory}: {CONFIG_NAME} is missing; export it again")
    config = _read_config(directory)
    names = _weight_files(directory)
    for name in names:
        if not os.path.exists(os.path.join(directory, name)):
            raise ArtifactError(f"no model at {directory}: {name} is missing; export or download it again")
    with refusing(os.path.join(directory, CONFIG_NAME), ArtifactError, AGAIN):
        check_size(config, directory, bytes_of_each=1)
    tensors = _read_tensors(directory, names)
    model = meta_model(config).to_empty(device=device)
    with refusing(directory, ArtifactError, AGAIN, KeyError, RuntimeError), torch.no_grad():
        for name, parameter in model.named_parameters():
            weight = _from_hub(name, tensors, config)
            if weight.shape != parameter.shape:
                raise ValueError(f"{_parts(name)[0]} does not have the shape that {CONFIG_NAME} says")
            parameter.copy_(weight)
    unused = sorted(key for key in tensors if "rotary_emb" not in key)
    if unused:
        raise ArtifactError(f"model at {directory} has {len(unused)} tensors of another architecture, as {unused[0]}")
    return model


def _merged(config: EvaByteConfig) -> EvaByteConfig:
    fields = {field: getattr(config, field) for field in FIELDS.values()}
    return EvaByteConfig(**{**fields, "vocabulary": COMP_BASE, "symbol_heads": config.symbol_heads + config.raw_heads})


def check_size(config: EvaByteConfig, directory: str, *, bytes_of_each: int) -> None:
    """ValueError where a shape has more parameters than the safetensors files of its directory can hold.

    So that a wrong shape does not ask for the memory of a model that is not there.
    """
    names = [name for name in os.listdir(directory) if name.endswith(".safetensors")]
    held = sum(os.path.getsize(os.path.join(directory, name)) for name in names)
    if config.parameters * bytes_of_each > held:
        raise ValueError(f"{config.parameters:,} parameters, and {held:,} bytes of tensors beside it")


def _read_config(directory: str) -> EvaByteConfig:
    path = os.path.join(directory, CONFIG_NAME)
    written = read_json(path, error=ArtifactError, remedy=AGAIN)
    for key in MUST_HOLD:
        if written.get(key, CONSTANTS[key]) != CONSTANTS[key]:
            raise ArtifactError(f"{path} has {key} {said(written[key])}; only {CONSTANTS[key]!r} is known here")
    with refusing(path, ArtifactError, AGAIN):
        return record(EvaByteConfig, {field: written.get(key) for key, field in FIELDS.items()}, whole=False)


def _weight_files(directory: str) -> list[str]:
    """The names of the files of weights, sorted."""
    index = os.path.join(directory, INDEX_NAME)
    if not os.path.exists(index):
        return [WEIGHTS_NAME]
    whole = read_json(index, error=ArtifactError, remedy=AGAIN)
    with refusing(index, ArtifactError, AGAIN):
        names = sorted(set(typed(dict[str, str], whole.get("weight_map"), "weight_map").values()))
    for name in names:
        if os.path.basename(name) != name or not name.endswith(".safetensors"):
            raise ArtifactError(f"{index} names {said(name)}; only safetensors files beside it are read")
    return names


def _read_tensors(directory: str, names: list[str]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name in names:
        path = os.path.join(directory, name)
        with refusing(path, ArtifactError, AGAIN, SafetensorError), safe_open(path, "pt") as file:
            tensors |= {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    return tensors


def _parts(name: str) -> list[str]:
    """The hub's tensors that make up our parameter `name`, in order."""
    whole = {"embedding.weight": "model.embed_tokens.weight", "norm.weight": "model.norm.weight"}
    whole["heads.symbol.weight"] = "lm_head.weight"
    if name in whole:
        return [whole[name]]
    _, layer, rest = name.split(".", 2)
    inside = {
        "attention_norm.weight": ["input_layernorm.weight"],
        "qkv.weight": [f"self_attn.{letter}_proj.weight" for letter in "qkv"],
        "mu": ["self_attn.adaptive_mu_k"],
        "phi": ["self_attn.adaptive_phi"],
        "out.weight": ["self_attn.o_proj.weight"],
        "ffn_norm.weight": ["post_attention_layernorm.weight"],
        "gate_up.weight": ["mlp.gate_proj.weight", "mlp.up_proj.weight"],
        "down.weight": ["mlp.down_proj.weight"],
    }
    return [f"model.layers.{layer}.{part}" for part in inside[rest]]


def _hub_tensors(model: EvaByte, mode: str, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in model.state_dict().items():
        if name == "heads.raw.weight":
            continue
        weight = parameter
        if mode == "merged" and name == "embedding.weight":
            weight = weight[:COMP_BASE]
        elif mode == "merged" and name == "heads.symbol.weight":
            weight = model.heads.raw_weights().detach().flatten(0, 1)
        elif name.endswith((".mu", ".phi")):
            weight = weight[None, :, None, None, :]
        parts = _parts(name)
        for part, piece in zip(parts, weight.chunk(len(parts)), strict=True):
            # A copy, so that no two tensors of the file share memory.
            yield part, piece.to("cpu", dtype, copy=True).contiguous()


def _from_hub(name: str, tensors: dict[str, Tensor], config: EvaByteConfig) -> Tensor:
    """Take our parameter `name` out of `tensors`."""
    pieces = [tensors.pop(part).float() for part in _parts(name)]
    if name.endswith((".mu", ".phi")):
        return pieces[0].reshape(config.heads, config.head_dim)
    return torch.cat(pieces)


def _sharded(tensors: Iterator[tuple[str, Tensor]], shard_bytes: int) -> list[dict[str, Tensor]]:
    """The tensors in groups of at most `shard_bytes` bytes, or of one tensor, in order."""
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors:
        if shards[-1] and size + tensor.nbytes > shard_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
    return shards
