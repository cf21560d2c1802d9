"""Models of a few thousand parameters for tests."""

from __future__ import annotations

import torch

from schemas.vocabulary import BOS, COMP_BASE, EOS, RAW_BASE, RAW_CLOSE, RAW_OPEN
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


def model_of_one_sentence(raw_heads: int = 3) -> EvaByte:
    """Knows one sentence by heart, so that its guesses are often right."""
    model = build_model(small_config(dim=48, heads=2, raw_heads=raw_heads), seed=0)
    learn_by_heart(model, b"the cat sat on the mat and the dog sat on the log. " * 3, steps=80)
    return model


def learn_by_heart(model: EvaByte, text: bytes, *, steps: int) -> None:
    """Train on one text alone, opened and closed as raw bytes."""
    ids = torch.tensor([[BOS, RAW_OPEN, *(RAW_BASE + byte for byte in text), RAW_CLOSE, EOS]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(steps):
        losses = model(ids)
        optimizer.zero_grad()
        (losses.loss_sum / losses.weight_sum).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
