"""A byte LM of a few thousand parameters with distributions that are not flat."""

from __future__ import annotations

import torch

from kernels.byte_lm import ByteLM
from kernels.byte_lm_config import ByteLMConfig

CONFIG = ByteLMConfig(layers=2, dim=32, heads=2, ffn_dim=48, attention_bytes=16)


def micro_lm(seed: int = 0) -> ByteLM:
    """Random weights, and a head that expects a byte to be repeated or followed by the next one.

    So runs and ascents cost a fraction of a bit and other bytes many: windows hold 1 to 11 bytes, entropies are 0 to
    6 bits. With random weights alone every byte is a segment and a window of its own, and most laws hold by vacancy.
    """
    torch.set_num_threads(1)
    model = ByteLM(CONFIG)
    model.initialise(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2 and name.startswith("blocks"):
                weight.mul_(4.0)
        expected = model.embedding.weight[:256]
        model.head.weight.mul_(10.0).add_(0.5 * (expected + expected.roll(1, 0)))
    return model.eval().requires_grad_(False)
