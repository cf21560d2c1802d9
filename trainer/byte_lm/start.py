"""The first weights: normal, louder where blocks read, and attention heads that look a fixed number of bytes back.

A rotated query and a rotated key give a score that depends on their distance, if their content is constant. So one
coordinate of the embedding is the same for all bytes, queries read from it a vector u, keys u turned by d positions:
the score is then highest at the position d bytes back. The heads of all layers look 0, 1, 2 … 15 bytes back in turn.
Training would find such heads, but late, and it is free to change them. What it saves is in docs/decisions.md.
"""

from __future__ import annotations

import math

import torch

from kernels.byte_lm import ByteLM

LOUDNESS = 0.83
"""Root mean square of values and feed-forward inputs at first, so that the blocks have something to say at once; with
the usual σ = 0.02 it would be 0.28 in the tiny size."""
SHARPNESS = 4.0
"""How strongly heads prefer their distance: times about 0.55, the logits between it and the next."""
FASTEST = 12
"""Only so many of the fastest rotations take part: slower ones hardly tell neighbouring positions apart."""
FARTHEST = 16
"""Heads look less than this many bytes back; a model with more heads begins again at 0."""


def initialise(model: ByteLM, seed: int) -> None:
    """Fresh weights in place, a function of the seed alone."""
    model.initialise(seed)
    config = model.config
    generator = torch.Generator().manual_seed(seed + 1000)
    with torch.no_grad():
        for block in model.layers():
            for weight in (block.qkv.weight[2 * config.dim :], block.gate_up.weight):
                weight.normal_(0.0, LOUDNESS / math.sqrt(config.dim), generator=generator)
    half = config.dim // config.heads // 2
    frequency = config.rope_theta ** (-torch.arange(half) / half)
    amplitude = (torch.arange(half) < FASTEST) * math.sqrt(SHARPNESS)
    with torch.no_grad():
        model.embedding.weight[:, 0] = 1.0
        for layer, block in enumerate(model.layers()):
            # [queries, keys and values, heads, cosine and sine parts, rotations], the column of the constant.
            constant = block.qkv.weight[:, 0].view(3, config.heads, 2, half)
            constant[0, :, 0], constant[0, :, 1] = amplitude, 0.0
            for head in range(config.heads):
                turn = frequency * ((layer * config.heads + head) % FARTHEST)
                constant[1, head] = torch.stack((amplitude * turn.cos(), amplitude * turn.sin()))
