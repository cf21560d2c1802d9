"""What codes and entropies need of a model over bytes, whatever arithmetic it computes in.

A model reads one byte of many prefixes at a time. Its outputs, one number per next byte, mean something to itself
alone: logits in a floating-point model, integer weights in an exact one. So the model itself turns outputs into what
everybody understands, integer frequencies and entropies in bits:

    inputs, ancestors ── forward_step ──► outputs ─┬─ mask ──┬─ cumulative_frequencies ──► intervals, codes
                         (keys and values)         └─────────┴─ entropies_bits ──────────► scores of bytes
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from kernels.byte_lm_config import ByteLMConfig

KvCache = Any
"""Keys and values of the prefixes that a model has read. Only the model that made a cache looks inside."""


class ByteModel(Protocol):
    """A model over bytes that can be asked for codes and entropies.

    `ExactByteLM` codes, `ByteLM` is what was trained; any other with these members will do.
    """

    config: ByteLMConfig
    """Shape of the model; its `attention_bytes` is how far back a position attends."""

    @property
    def device(self) -> torch.device:
        """The device that holds the weights, and that inputs and ancestors must be on."""
        ...

    @property
    def batch_invariant(self) -> bool:
        """Whether a row's outputs are equal bit for bit in batches of any size; if not, all reads have one size."""
        ...

    @property
    def kv_bytes_per_prefix(self) -> int:
        """Bytes of a kv cache for each prefix."""
        ...

    def new_kv_cache(self, prefixes: int) -> KvCache:
        """An empty cache with places 0 … prefixes - 1, one for each prefix that will be read."""
        ...

    def forward_step(self, inputs: Tensor, ancestors: Tensor, kv_cache: KvCache) -> Tensor:
        """Outputs [rows, 256] about the byte after each of `rows` prefixes, all of the same length t.

        inputs: int64 [rows], the last byte of each prefix, START for the empty one. ancestors: int64 [rows, t + 1],
        places in the cache of each prefix's own prefixes by length, its own place last; there this call writes its
        keys and values, after earlier calls wrote those of the shorter prefixes.
        """
        ...

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs [rows, positions, 256] for inputs int64 [rows, positions]: position t sees the positions up to t."""
        ...

    def mask(self, outputs: Tensor, forbidden: Tensor) -> Tensor:
        """Outputs after which bytes where forbidden, bool [rows, 256], have no more than the smallest frequency."""
        ...

    def cumulative_frequencies(self, outputs: Tensor, window_bits: int) -> Tensor:
        """Cumulative frequencies int32 [rows, 257] of outputs [rows, 256].

        They rise from 0 to 2^16, and every byte has at least 2^(16 - window_bits).
        """
        ...

    def entropies_bits(self, outputs: Tensor) -> Tensor:
        """H = -Σ p log2 p, float32 [rows], in bits, of outputs [rows, 256]."""
        ...

    def surprisals_bits(self, outputs: Tensor, symbols: Tensor) -> Tensor:
        """-log2 p, float64 [rows], in bits, of bytes int64 [rows], of outputs [rows, 256]."""
        ...
