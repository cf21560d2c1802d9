"""Probabilities to integer intervals of 2^16, by one rule.

    freq(v) = m + floor(p(v) · (2^16 - 256 m)),   and what is missing to 2^16 goes to the likeliest byte,
                                                   the smallest one among equals

so every frequency is ≥ m and they sum to 2^16. m = 2^(16 - W) is what a fresh window of W bits can name: 1 at W = 16.
Entropies are in bits, rounded to 2^-10 bit so that the last digits of a floating-point sum decide nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kernels.window_coder import PRECISION_BITS, WINDOW_BITS

ENTROPY_STEPS_PER_BIT = 1024


def cumulative_frequencies(logits: Tensor, window_bits: int = WINDOW_BITS) -> Tensor:
    """Cumulative frequencies int32 [rows, 257], from 0 to 2^16, of logits [rows, 256]."""
    least = 1 << (PRECISION_BITS - window_bits)
    probabilities = torch.softmax(logits.float(), -1)
    frequencies = (probabilities * ((1 << PRECISION_BITS) - 256 * least)).to(torch.int32) + least
    missing = (1 << PRECISION_BITS) - frequencies.sum(-1, dtype=torch.int32)
    likeliest = (probabilities == probabilities.amax(-1, keepdim=True)).to(torch.int8).argmax(-1)
    frequencies.scatter_add_(1, likeliest[:, None], missing[:, None])
    return torch.nn.functional.pad(frequencies.cumsum(-1, dtype=torch.int32), (1, 0))


def entropies_bits(logits: Tensor) -> Tensor:
    """H = -Σ p log2 p, float32 [rows], of logits [rows, 256]."""
    log_p = torch.log_softmax(logits.float(), -1)
    bits = -(log_p.exp() * log_p).sum(-1) / math.log(2.0)
    return torch.round(bits * ENTROPY_STEPS_PER_BIT) / ENTROPY_STEPS_PER_BIT
