"""The first weights: a function of the seed, with heads that look 0, 1, 2 … bytes back."""

from __future__ import annotations

import pytest
import torch

from kernels.byte_lm import ByteLM
from kernels.byte_lm_config import PRESETS
from trainer.byte_lm.start import initialise
from trainer.model.look_back import FARTHEST


def fresh(size: str, seed: int = 0) -> ByteLM:
    """A model with first weights."""
    model = ByteLM(PRESETS[size])
    initialise(model, seed)
    return model


@pytest.mark.parametrize("size", PRESETS)
def test_each_head_attends_most_to_its_own_distance(size: str) -> None:
    model = fresh(size)
    config, positions = model.config, 32
    inputs = torch.randint(0, 256, (8, positions), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        cos, sin = model._rotation(torch.arange(positions))
        x = model.embedding(inputs)
        for layer, block in enumerate(model.layers()):
            q, k, v = (z.transpose(1, 2) for z in block.project(x, cos, sin))
            scores = q @ k.mT / (config.dim // config.heads) ** 0.5
            scores = scores.masked_fill(torch.ones(positions, positions).triu(1).bool(), float("-inf"))
            attention = scores.softmax(-1).mean(0)
            for head in range(config.heads):
                by_distance = [float(attention[head].diagonal(-distance).mean()) for distance in range(20)]
                distance = (layer * config.heads + head) % FARTHEST
                assert by_distance[distance] > 0.1, (layer, head)
                if size == "tiny" or layer == 0:
                    assert by_distance.index(max(by_distance)) == distance, (layer, head)
            x = block.finish(x, (scores.softmax(-1) @ v).transpose(1, 2).flatten(-2))


def test_first_weights_are_a_function_of_the_seed() -> None:
    one, again, other = fresh("tiny").state_dict(), fresh("tiny").state_dict(), fresh("tiny", 1).state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])
