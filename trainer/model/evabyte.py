"""EvaByte: a decoder over the ids of `schemas.vocabulary`, in any of the sizes of `trainer.training.sizes`.

    ids [batch, T] ─ embedding ─ L × (x += EVA(norm x); x += SwiGLU(norm x)) ─ norm ─ heads ─ HeadLosses

No biases, no dropout, an untied head. A model is made on the meta device, where it takes no memory;
`trainer.model.config` and `trainer.model.memory` know its size before that. `initialise` fills it, sharded or not, with
weights that depend on the seed, each parameter's name and the device type alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.attention.flex_attention import BlockMask
from torch.utils.checkpoint import checkpoint

from kernels.eva import document_starts, eva_block_mask, eva_flex, eva_sdpa
from trainer.model import look_back as look_back_weights
from trainer.model.config import EvaByteConfig
from trainer.model.heads import HeadLosses, Heads

LINEAR_SCALE = 0.02
"""σ of a linear layer's first weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionContext:
    """What all blocks share for one batch. FSDP does not look inside, so the rotation stays fp32."""

    cos: Tensor
    """fp32 [batch or 1, 1, T, head size / 2]: cosines of the rotation."""
    sin: Tensor
    """fp32, as cos: sines of the rotation."""
    starts: Tensor | None = None
    """First position of each position's document, int64 [batch, T]; None: one document a sequence."""
    block_mask: BlockMask | None = None
    """Given: flex_attention; None: SDPA per window."""


class RMSNorm(nn.Module):
    """x / rms(x) · (1 + weight), computed in fp32 and returned in the dtype of x."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps
        self.weight = nn.Parameter(torch.empty(dim))

    def forward(self, x: Tensor) -> Tensor:
        """x [..., dim] normalized."""
        return F.rms_norm(x.float(), (self.dim,), 1 + self.weight.float(), self.eps).to(x.dtype)


class Block(nn.Module):
    """One layer: EVA attention and SwiGLU, each after a norm and added to the residual stream."""

    def __init__(self, config: EvaByteConfig) -> None:
        super().__init__()
        self.heads, self.attention_window, self.chunk = config.heads, config.attention_window, config.chunk
        self.recompute = False
        """Keep only the input for backward and run the block again there."""
        self.attention_norm = RMSNorm(config.dim, config.norm_eps)
        self.qkv = nn.Linear(config.dim, 3 * config.dim, bias=False)
        self.mu = nn.Parameter(torch.empty(config.heads, config.head_dim))
        self.phi = nn.Parameter(torch.empty(config.heads, config.head_dim))
        self.out = nn.Linear(config.dim, config.dim, bias=False)
        self.ffn_norm = RMSNorm(config.dim, config.norm_eps)
        self.gate_up = nn.Linear(config.dim, 2 * config.ffn_dim, bias=False)
        self.down = nn.Linear(config.ffn_dim, config.dim, bias=False)
        self._run: Callable[[Tensor, AttentionContext], Tensor] = self.compute

    def forward(self, x: Tensor, context: AttentionContext) -> Tensor:
        """The residual stream [batch, T, dim] after this block."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(self._run, x, context, use_reentrant=False, preserve_rng_state=False)
        return self._run(x, context)

    def compile_compute(self, **options: Any) -> None:
        """Compile the block's arithmetic; FSDP's hooks and the recomputation stay outside of it."""
        self._run = torch.compile(self.compute, dynamic=False, **options)

    def compute(self, x: Tensor, context: AttentionContext) -> Tensor:
        """`forward` without recomputation."""
        q, k, v = self.project(x, context.cos, context.sin)
        shape: dict[str, Any] = {"window": self.attention_window, "chunk": self.chunk, "starts": context.starts}
        if context.block_mask is None:
            attended = eva_sdpa(q, k, v, self.mu, self.phi, **shape)
        else:
            attended = eva_flex(q, k, v, self.mu, self.phi, block_mask=context.block_mask, **shape)
        return self.finish(x, attended)

    def project(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries and keys, and values, each [batch, heads, T, head size]."""
        qkv = self.qkv(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return _rotate(q, cos, sin), _rotate(k, cos, sin), v

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """The residual stream after attention [batch, heads, T, head size] and the feed-forward layer."""
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        gate, up = self.gate_up(self.ffn_norm(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class EvaByte(nn.Module):
    """ids in, losses out; `hidden` and `logits` for whoever wants to look at predictions."""

    def __init__(self, config: EvaByteConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.dim)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.dim, config.norm_eps)
        self.heads = Heads(config.dim, config.vocabulary, config.symbol_heads, config.raw_heads)

    def forward(self, ids: Tensor, documents: Tensor | None = None, next_ids: Tensor | None = None) -> HeadLosses:
        """The loss of a packed batch.

        ids: int64 [batch, T], padded at the end. documents: document number of each position [batch, T], never
        falling, padding a document of its own; None: a sequence is one document. An <eos> carries the number of the
        document that it closes, so it sees that document. next_ids: int64 [batch, any], the ids that follow each
        sequence, for the labels of its last positions.
        """
        return self.heads(self.hidden(ids, documents), ids, next_ids)

    def hidden(self, ids: Tensor, documents: Tensor | None = None, *, flex: bool | None = None) -> Tensor:
        """What the heads see, [batch, T, dim]. flex: which attention path; None: flex_attention on GPUs."""
        context = self.context(ids, documents, flex=flex)
        x = self.embedding(ids)
        if torch.is_autocast_enabled(x.device.type):  # leaves an embedding in fp32; FSDP2 gathers it in bf16
            x = x.to(torch.get_autocast_dtype(x.device.type))
        for block in self.blocks:
            x = block(x, context)
        return self.norm(x)

    def logits(self, ids: Tensor, documents: Tensor | None = None, *, flex: bool | None = None) -> Tensor:
        """Symbol logits [batch, T, P, vocabulary]."""
        return self.heads.logits(self.hidden(ids, documents, flex=flex))

    def context(self, ids: Tensor, documents: Tensor | None, *, flex: bool | None = None) -> AttentionContext:
        """Rotation, document starts and mask for one batch; positions restart at every document."""
        config, positions, device = self.config, ids.shape[1], ids.device
        places = torch.arange(positions, device=device).unsqueeze(0)
        starts = None if documents is None else document_starts(documents)
        cos, sin = rotation(places if starts is None else places - starts, config)
        mask = None
        if ids.is_cuda if flex is None else flex:
            mask = eva_block_mask(
                positions, window=config.attention_window, chunk=config.chunk, starts=starts, device=device
            )
        return AttentionContext(cos=cos, sin=sin, starts=starts, block_mask=mask)

    def each_block(self) -> list[Block]:
        """The blocks, first to last."""
        return cast("list[Block]", list(self.blocks))

    def recompute_blocks(self, count: int | None = None) -> None:
        """Activation checkpointing: the first `count` blocks, by default all, keep only their input for backward.

        The first ones, because the others' activations are gone when backward comes to them.
        """
        for block in self.each_block()[:count]:
            block.recompute = True

    def compile_blocks(self, **options: Any) -> None:
        """torch.compile for each block; `options` go to it."""
        for block in self.each_block():
            block.compile_compute(**options)


def rotation(positions: Tensor, config: EvaByteConfig) -> tuple[Tensor, Tensor]:
    """cos and sin, fp32 [batch, 1, T, head size / 2], of positions [batch, T]."""
    half = config.head_dim // 2
    frequency = config.rope_theta ** (-torch.arange(half, device=positions.device, dtype=torch.float32) / half)
    angle = (positions.float().unsqueeze(-1) * frequency).unsqueeze(1)
    return angle.cos(), angle.sin()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.float().chunk(2, -1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), -1).to(x.dtype)


def meta_model(config: EvaByteConfig) -> EvaByte:
    """A model without memory, to be counted, sharded, or filled by `to_empty` and `initialise`."""
    with torch.device("meta"):
        return EvaByte(config)


@torch.no_grad()
def initialise(model: nn.Module, seed: int, *, look_back: bool = False) -> None:
    """Fill every parameter; sharded ones get their part of the same weights, so the number of ranks changes nothing.

    look_back: with attention heads that look a fixed number of positions back, as `trainer.model.look_back` has them.
    """
    for name, parameter in model.named_parameters():
        local = parameter.to_local() if isinstance(parameter, DTensor) else parameter
        full = initial_weight(name, parameter.shape, seed=seed, device=local.device)
        if look_back:
            _look_back(name, full, cast(EvaByteConfig, model.config))
        if isinstance(parameter, DTensor):
            full = distribute_tensor(full, parameter.device_mesh, parameter.placements, src_data_rank=None)
        parameter.copy_(full)


def initial_weight(name: str, shape: torch.Size, *, seed: int, device: torch.device) -> Tensor:
    """fp32 weights of the parameter `name`: gains 0, embedding σ = 1 and linears σ = 0.02 cut at 3σ, μ and φ at 2σ."""
    weight = torch.zeros(shape, device=device)
    if name.endswith("norm.weight"):
        return weight
    scale, cut = LINEAR_SCALE, 3.0
    if name.startswith("embedding"):
        scale = 1.0
    elif name.endswith((".mu", ".phi")):
        scale, cut = shape[-1] ** -0.5, 2.0
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    generator = torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    return nn.init.trunc_normal_(weight, 0.0, scale, -cut * scale, cut * scale, generator=generator)


def _look_back(name: str, weight: Tensor, config: EvaByteConfig) -> None:
    """Change the first weights of one parameter, in place, so that heads look back and blocks are louder."""
    louder = look_back_weights.loudness(config.dim) / LINEAR_SCALE
    if name.startswith("embedding"):
        weight[:, 0] = 1.0
    elif name.endswith("gate_up.weight"):
        weight.mul_(louder)
    elif name.endswith("qkv.weight"):
        weight[2 * config.dim :].mul_(louder)
        layer = int(name.split(".")[1])
        look_back_weights.look_back(weight, layer=layer, heads=config.heads, rope_theta=config.rope_theta)
