"""The first weights: normal, louder where blocks read, and attention heads that look a fixed number of bytes back."""

from __future__ import annotations

import torch

from kernels.byte_lm import ByteLM
from trainer.model.look_back import look_back, loudness


def initialise(model: ByteLM, seed: int) -> None:
    """Fresh weights in place, a function of the seed alone."""
    model.initialise(seed)
    config = model.config
    generator = torch.Generator().manual_seed(seed + 1000)
    with torch.no_grad():
        for block in model.layers():
            for weight in (block.qkv.weight[2 * config.dim :], block.gate_up.weight):
                weight.normal_(0.0, loudness(config.dim), generator=generator)
        model.embedding.weight[:, 0] = 1.0
        for layer, block in enumerate(model.layers()):
            look_back(block.qkv.weight, layer=layer, heads=config.heads, rope_theta=config.rope_theta)
