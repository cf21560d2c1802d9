"""Models of a few thousand parameters for tests."""

from __future__ import annotations

import torch

from schemas.vocabulary import COMP_BASE, RAW_BASE
from trainer.model.config import EvaByteConfig
from trainer.model.evabyte import EvaByte, initialise, meta_model


def build_model(config: EvaByteConfig, *, seed: int, device: str | torch.device = "cpu") -> EvaByte:
    """A fresh fp32 model in the memory of one device."""
    model = meta_model(config).to_empty(device=device)
    initialise(model, seed)
    return model


def small_config(**changes: int) -> EvaByteConfig:
    """Window 16, chunk 4."""
    fields = {"dim": 32, "layers": 2, "heads": 2, "ffn_dim": 48, "attention_window": 16, "chunk": 4} | changes
    return EvaByteConfig(**fields)


def small_model(seed: int = 0, **changes: int) -> EvaByte:
    """With weights large enough that outputs differ from place to place."""
    model = build_model(small_config(**changes), seed=seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter.normal_(0, 0.1, generator=torch.Generator().manual_seed(seed))
            elif parameter.dim() == 2 and not name.startswith("embedding") and not name.endswith((".mu", ".phi")):
                parameter.mul_(8)
    return model


def random_ids(rows: int, positions: int, seed: int = 0, vocabulary: int = COMP_BASE) -> torch.Tensor:
    """Bytes and, if there are any, compressed symbols."""
    return torch.randint(RAW_BASE, vocabulary, (rows, positions), generator=torch.Generator().manual_seed(seed))
