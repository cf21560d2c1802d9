"""A byte LM of a few thousand parameters with distributions that are not flat."""

from __future__ import annotations

import torch

from kernels.byte_lm import ByteLM, ByteLMConfig

CONFIG = ByteLMConfig(layers=2, dim=32, heads=2, ffn_dim=48, attention_bytes=16)


def micro_lm(seed: int = 0) -> ByteLM:
    """Random weights, larger than at the start of training; one thread, as codes want it."""
    torch.set_num_threads(1)
    model = ByteLM(CONFIG)
    model.initialise(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2 and not name.startswith("embedding"):
                weight.mul_(12.0)
    return model.eval().requires_grad_(False)


def flat(strings: list[bytes]) -> tuple:
    """Strings end to end: data uint8, starts and ends int64."""
    import numpy as np

    ends = np.cumsum([len(string) for string in strings], dtype=np.int64)
    starts = ends - np.array([len(string) for string in strings], np.int64)
    return np.frombuffer(b"".join(strings), np.uint8), starts, ends
