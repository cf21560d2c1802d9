"""First weights by which attention heads look a fixed number of positions back, and blocks have something to say.

A rotated query and a rotated key give a score that depends on their distance, if their content is constant. So one
coordinate of the embedding is the same for all ids, queries read from it a vector u, keys u turned by d positions: the
score is then highest at the position d back. The heads of all layers look 0, 1, 2 … 15 positions back in turn. Training
would find such heads, but late, and it is free to change them. What it saves is in docs/decisions.md.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOUDNESS = 0.83
"""Root mean square of values and feed-forward inputs at first; with the usual σ = 0.02 it would be 0.2 to 0.3 in small
models."""
SHARPNESS = 4.0
"""How strongly heads prefer their distance: times about 0.55, the logits between it and the next."""
FASTEST = 12
"""Only so many of the fastest rotations take part: slower ones hardly tell neighbouring positions apart."""
FARTHEST = 16
"""Heads look less than this many positions back; a model with more heads begins again at 0."""


def loudness(dim: int) -> float:
    """σ of a matrix that reads `dim` numbers of root mean square 1."""
    return LOUDNESS / math.sqrt(dim)


def look_back(qkv: Tensor, *, layer: int, heads: int, rope_theta: float) -> None:
    """Write into qkv [3 · dim, dim], in place, what queries and keys read from coordinate 0 of the residual stream."""
    half = qkv.shape[0] // 3 // heads // 2
    rotations = torch.arange(half, device=qkv.device)
    frequency = rope_theta ** (-rotations / half)
    amplitude = (rotations < FASTEST) * math.sqrt(SHARPNESS)
    # [queries, keys and values, heads, cosine and sine parts, rotations], the column of the constant.
    constant = qkv[:, 0].view(3, heads, 2, half)
    constant[0, :, 0], constant[0, :, 1] = amplitude, 0.0
    for head in range(heads):
        turn = frequency * ((layer * heads + head) % FARTHEST)
        constant[1, head] = torch.stack((amplitude * turn.cos(), amplitude * turn.sin()))
