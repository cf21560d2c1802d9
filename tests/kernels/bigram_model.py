"""A byte model in integers that is no transformer: after a prefix comes what followed its last byte in some text."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernels.byte_lm_config import START, ByteLMConfig
from kernels.window_coder import PRECISION_BITS


class BigramModel:
    """Outputs are counts, int64, and the kv cache is a list of the lengths of the prefixes that were read."""

    batch_invariant = True
    kv_bytes_per_prefix = 8
    device = torch.device("cpu")

    def __init__(self, text: bytes) -> None:
        self.config = ByteLMConfig(layers=1, dim=2, heads=1, ffn_dim=1, attention_bytes=1)
        self.reads: list[int] = []
        counts = np.ones((START + 1, 256), np.int64)
        np.add.at(counts, (np.array([START, *text[:-1]]), np.frombuffer(text, np.uint8)), 10)
        self._counts = torch.from_numpy(counts)

    def new_kv_cache(self, prefixes: int) -> list[int]:
        """Lengths of prefixes, -1 for those that were not read."""
        return [-1] * prefixes

    def forward_step(self, inputs: Tensor, ancestors: Tensor, kv_cache: Any) -> Tensor:
        """The counts after each prefix's last byte; ancestors must have been read before, at their own lengths."""
        self.reads.append(len(inputs))
        for row in ancestors.tolist():
            kv_cache[row[-1]] = len(row)
            assert [kv_cache[place] for place in row] == list(range(1, len(row) + 1))
        return self._counts[inputs]

    def forward(self, inputs: Tensor) -> Tensor:
        """The counts after each position."""
        return self._counts[inputs]

    def mask(self, outputs: Tensor, forbidden: Tensor) -> Tensor:
        """Counts, 0 where forbidden."""
        return outputs.masked_fill(forbidden, 0)

    def cumulative_frequencies(self, outputs: Tensor, window_bits: int) -> Tensor:
        """By integer division; what is missing goes to the likeliest byte, the smallest among equals."""
        smallest = 1 << (PRECISION_BITS - window_bits)
        total = outputs.sum(1, keepdim=True).clamp(min=1)
        frequencies = outputs * ((1 << PRECISION_BITS) - 256 * smallest) // total + smallest
        frequencies[torch.arange(len(outputs)), outputs.argmax(1)] += (1 << PRECISION_BITS) - frequencies.sum(1)
        return torch.nn.functional.pad(frequencies.cumsum(1), (1, 0)).to(torch.int32)

    def entropies_bits(self, outputs: Tensor) -> Tensor:
        """H of the counts' shares."""
        p = outputs / outputs.sum(1, keepdim=True)
        return -torch.xlogy(p, p).sum(1) / np.log(2.0)

    def surprisals_bits(self, outputs: Tensor, symbols: Tensor) -> Tensor:
        """-log2 of the share of each byte."""
        return -torch.log2(outputs.double().gather(1, symbols[:, None])[:, 0] / outputs.sum(1))
