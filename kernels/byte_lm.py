"""The byte LM: a small decoder transformer over bytes, for entropies and codes.

RMSNorm, RoPE, SwiGLU, local causal attention, no biases. Its input at position t is the byte before t, or START at the
head of a window; its output is the distribution of byte t. A window may start anywhere in a text. There are two
forward passes with the same weights: `forward` over whole windows, for training and scoring, and `forward_step`, one
position of many prefixes at a time over a cache of keys and values, for codes: decoding can only go that way, so
encoding goes that way too and both see the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels import intervals
from kernels.byte_lm_config import START, ByteLMConfig

MASK_LOGIT = -1e4
"""The logit of a forbidden byte. It is finite, so that all bytes are alike where every one is forbidden."""


class Block(nn.Module):
    """Pre-norm attention and SwiGLU."""

    def __init__(self, config: ByteLMConfig) -> None:
        super().__init__()
        self.heads, self.attention_bytes = config.heads, config.attention_bytes
        self.attention_norm = nn.RMSNorm(config.dim, eps=config.norm_eps)
        self.qkv = nn.Linear(config.dim, 3 * config.dim, bias=False)
        self.out = nn.Linear(config.dim, config.dim, bias=False)
        self.ffn_norm = nn.RMSNorm(config.dim, eps=config.norm_eps)
        self.gate_up = nn.Linear(config.dim, 2 * config.ffn_dim, bias=False)
        self.down = nn.Linear(config.ffn_dim, config.dim, bias=False)

    def project(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries and keys, and values, each [..., heads, head size]."""
        q, k, v = self.qkv(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        return _rotate(q, cos, sin), _rotate(k, cos, sin), v

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """The residual stream after attention [..., dim] and the feed-forward layer."""
        x = x + self.out(attended)
        gate, up = self.gate_up(self.ffn_norm(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class ByteLM(nn.Module):
    """Bytes in, logits over the next byte out."""

    def __init__(self, config: ByteLMConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(START + 1, config.dim)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.dim, eps=config.norm_eps)
        self.head = nn.Linear(config.dim, 256, bias=False)

    def layers(self) -> Iterator[Block]:
        """The blocks, from the input up."""
        for block in self.blocks:
            assert isinstance(block, Block)
            yield block

    def initialise(self, seed: int) -> None:
        """Fresh weights, a function of the seed alone: normal σ = 0.02, the embedding 0.5, gains 1."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if weight.dim() == 1:
                    weight.fill_(1.0)
                else:
                    weight.normal_(0.0, 0.5 if name.startswith("embedding") else 0.02, generator=generator)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits [rows, positions, 256] for inputs int64 [rows, positions], each row one window from position 0."""
        positions = inputs.shape[1]
        cos, sin = self._rotation(torch.arange(positions, device=inputs.device))
        mask = None
        if positions > self.config.attention_bytes:
            distance = torch.arange(positions, device=inputs.device)
            distance = distance[:, None] - distance[None, :]
            mask = (distance >= 0) & (distance < self.config.attention_bytes)
        x = self.embedding(inputs)
        for block in self.layers():
            q, k, v = (z.transpose(1, 2) for z in block.project(x, cos, sin))
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
            x = block.finish(x, attended.transpose(1, 2).flatten(-2))
        return self.head(self.norm(x))

    @property
    def device(self) -> torch.device:
        """The device that holds the weights."""
        return self.head.weight.device

    @property
    def batch_invariant(self) -> bool:
        """False: the order of a floating-point sum, and so a logit's last bits, depend on the batch's size."""
        return False

    @property
    def kv_bytes_per_prefix(self) -> int:
        """Bytes of a kv cache for each prefix."""
        return 2 * self.config.layers * self.config.dim * self.head.weight.element_size()

    def new_kv_cache(self, prefixes: int) -> Tensor:
        """Zeros for the keys and values of `prefixes` prefixes: [layers, 2, prefixes, dim], as the weights."""
        config = self.config
        weight = self.head.weight
        return torch.zeros(config.layers, 2, prefixes, config.dim, dtype=weight.dtype, device=weight.device)

    def forward_step(self, inputs: Tensor, ancestors: Tensor, kv_cache: Tensor) -> Tensor:
        """Logits [rows, 256] over the byte after each of `rows` prefixes, all of the same length t.

        inputs: int64 [rows], the last byte of each prefix, START for the empty one. ancestors: int64 [rows, t + 1],
        places in the cache of each prefix's own prefixes by length, its own place last; there this call writes its
        keys and values. kv_cache: [layers, 2, prefixes, dim], of `new_kv_cache`.
        """
        depth = ancestors.shape[1] - 1
        cos, sin = self._rotation(torch.tensor([depth], device=inputs.device))
        seen, own = ancestors[:, -self.config.attention_bytes :].flatten(), ancestors[:, -1]
        x = self.embedding(inputs)
        for block, (keys, values) in zip(self.layers(), kv_cache, strict=True):
            q, k, v = block.project(x, cos, sin)
            keys.index_copy_(0, own, k.flatten(-2))
            values.index_copy_(0, own, v.flatten(-2))
            k, v = (z.index_select(0, seen).view(x.shape[0], -1, *q.shape[1:]) for z in (keys, values))
            attended = F.scaled_dot_product_attention(q.unsqueeze(2), k.transpose(1, 2), v.transpose(1, 2))
            x = block.finish(x, attended.flatten(1))
        return self.head(self.norm(x))

    def mask(self, outputs: Tensor, forbidden: Tensor) -> Tensor:
        """Logits [rows, 256] with MASK_LOGIT where forbidden, bool [rows, 256]."""
        return outputs.masked_fill(forbidden, MASK_LOGIT)

    def cumulative_frequencies(self, outputs: Tensor, window_bits: int) -> Tensor:
        """Cumulative frequencies int32 [rows, 257], 0 to 2^16, of logits [rows, 256]; every one is ≥ 2^(16 - W)."""
        return intervals.cumulative_frequencies(outputs, window_bits)

    def entropies_bits(self, outputs: Tensor) -> Tensor:
        """H = -Σ p log2 p, float32 [rows], in bits, of logits [rows, 256]."""
        return intervals.entropies_bits(outputs)

    def surprisals_bits(self, outputs: Tensor, symbols: Tensor) -> Tensor:
        """-log2 p, float64 [rows], in bits, of bytes int64 [rows], of logits [rows, 256]."""
        nats = F.cross_entropy(outputs.double(), symbols, reduction="none")
        return nats / math.log(2)

    def _rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin, [positions, 1, head size], half-split."""
        config = self.config
        half = config.dim // config.heads // 2
        frequency = config.rope_theta ** (-torch.arange(half, device=positions.device, dtype=torch.float32) / half)
        angle = positions.float()[:, None] * frequency
        angle = torch.cat((angle, angle), -1).unsqueeze(1)
        dtype = self.head.weight.dtype
        return angle.cos().to(dtype), angle.sin().to(dtype)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, -1)
    return x * cos + torch.cat((-right, left), -1) * sin
