"""EVA: three encodings of the same formulas agree, with and without documents."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, create_mask

from kernels.eva import document_starts, eva_block_mask, eva_flex, eva_sdpa, summarise, summarised_positions

SHAPES = [  # rows, heads, positions, head size, window, chunk, chance of a new document
    (1, 1, 1, 4, 4, 2, 0.0),
    (2, 2, 16, 8, 16, 4, 0.0),
    (2, 3, 128, 16, 32, 4, 0.0),
    (2, 3, 128, 16, 32, 4, 0.05),
    (2, 2, 64, 8, 16, 4, 0.3),
    (1, 2, 83, 8, 16, 4, 0.1),
    (1, 1, 33, 4, 8, 8, 0.0),
    (1, 2, 512, 32, 128, 8, 0.01),
    (2, 1, 48, 8, 16, 1, 0.1),
]


def sample(
    rows: int, heads: int, positions: int, size: int, chance: float, seed: int = 0
) -> tuple[list[Tensor], Tensor]:
    """q, k, v, mu, phi and document numbers."""
    g = torch.Generator().manual_seed(seed)
    qkv = [torch.randn(rows, heads, positions, size, generator=g) for _ in range(3)]
    parameters = [torch.randn(heads, size, generator=g) * size**-0.5 for _ in range(2)]
    documents = (torch.rand(rows, positions, generator=g) < chance).cumsum(1).int()
    return [*qkv, *parameters], documents


def eva_loop(
    q: Tensor, k: Tensor, v: Tensor, mu: Tensor, phi: Tensor, documents: Tensor, *, window: int, chunk: int
) -> Tensor:
    """The formulas of the design, one query at a time, in the dtype of q."""
    scale = q.shape[-1] ** -0.5
    out = torch.zeros_like(q)
    for b in range(q.shape[0]):
        doc = documents[b].tolist()
        for h in range(q.shape[1]):
            pooled = {}
            for c in range(q.shape[2] // chunk):
                last = c * chunk + chunk - 1
                live = [j for j in range(c * chunk, last + 1) if doc[j] == doc[last]]
                keys, values = k[b, h, live], v[b, h, live]
                a = (keys @ mu[h]).softmax(0)
                w = (scale * (keys @ phi[h] - (keys * keys).sum(-1) / 2)).softmax(0)
                pooled[c] = (doc[last], a @ keys, w @ values)
            for i in range(q.shape[2]):
                first = i // window * window
                near = [j for j in range(first, i + 1) if doc[j] == doc[i]]
                far = [pooled[c] for c in range(first // chunk) if pooled[c][0] == doc[i]]
                keys = torch.stack([*k[b, h, near], *(f[1] for f in far)])
                values = torch.stack([*v[b, h, near], *(f[2] for f in far)])
                out[b, h, i] = (scale * (keys @ q[b, h, i])).softmax(0) @ values
    return out


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("shape", SHAPES)
def test_sdpa_flex_and_loop_agree(shape: tuple[int, int, int, int, int, int, float]) -> None:
    rows, heads, positions, size, window, chunk, chance = shape
    arrays, documents = sample(rows, heads, positions, size, chance)
    starts = document_starts(documents) if chance else None
    wanted = eva_loop(*(z.double() for z in arrays), documents, window=window, chunk=chunk)
    mask = eva_block_mask(positions, window=window, chunk=chunk, starts=starts, device=torch.device("cpu"))
    sdpa = eva_sdpa(*arrays, window=window, chunk=chunk, starts=starts)
    flex = eva_flex(*arrays, window=window, chunk=chunk, starts=starts, block_mask=mask)
    assert (sdpa - wanted).abs().max() < 2e-6
    assert (flex - wanted).abs().max() < 2e-6


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 2),
    heads=st.integers(1, 2),
    positions=st.integers(1, 70),
    size=st.sampled_from([2, 8]),
    chunk=st.integers(1, 5),
    per_window=st.integers(1, 5),
    chance=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_sdpa_equals_loop_for_any_shape(
    rows: int, heads: int, positions: int, size: int, chunk: int, per_window: int, chance: float, seed: int
) -> None:
    arrays, documents = sample(rows, heads, positions, size, chance, seed)
    window = chunk * per_window
    out = eva_sdpa(*arrays, window=window, chunk=chunk, starts=document_starts(documents))
    wanted = eva_loop(*(z.double() for z in arrays), documents, window=window, chunk=chunk)
    assert (out - wanted).abs().max() < 2e-6


@pytest.mark.parametrize("chance", [0.0, 0.15])
def test_gradients_of_sdpa_equal_those_of_the_loop(chance: float) -> None:
    arrays, documents = sample(2, 2, 40, 8, chance)
    starts = document_starts(documents) if chance else None
    weight = torch.randn(2, 2, 40, 8, generator=torch.Generator().manual_seed(1))
    ours = [z.clone().requires_grad_() for z in arrays]
    theirs = [z.double().requires_grad_() for z in arrays]
    (eva_sdpa(*ours, window=16, chunk=4, starts=starts) * weight).sum().backward()
    (eva_loop(*theirs, documents, window=16, chunk=4) * weight).sum().backward()
    for name, a, b in zip(("q", "k", "v", "mu", "phi"), ours, theirs, strict=True):
        assert (a.grad - b.grad).abs().max() < 1e-5, name


def test_bf16_stays_near_fp32() -> None:
    arrays, documents = sample(1, 2, 64, 16, 0.1)
    arguments = {"window": 16, "chunk": 4, "starts": document_starts(documents)}
    half = eva_sdpa(*(z.bfloat16() for z in arrays), **arguments)
    assert half.dtype == torch.bfloat16
    assert (half.float() - eva_sdpa(*arrays, **arguments)).abs().max() < 0.05


@settings(max_examples=15, deadline=None)
@given(
    positions=st.integers(1, 520),
    window=st.sampled_from([16, 64, 128, 256]),
    chance=st.sampled_from([0.0, 0.005, 0.1]),
    seed=st.integers(0, 2**32),
)
def test_block_mask_classes_every_block_as_torch_does(positions: int, window: int, chance: float, seed: int) -> None:
    _, documents = sample(2, 1, positions, 2, chance, seed)
    starts = document_starts(documents)
    mask = eva_block_mask(positions, window=window, chunk=8, starts=starts, device=torch.device("cpu"))
    length = positions + summarised_positions(positions, window) // 8
    wanted = create_block_mask(mask.mask_mod, 2, None, positions, length, device="cpu")
    assert torch.equal(mask.to_dense().bool(), wanted.to_dense().bool())
    assert torch.equal(mask.kv_num_blocks, wanted.kv_num_blocks)
    assert torch.equal(mask.full_kv_num_blocks, wanted.full_kv_num_blocks)
    listed = create_mask(mask.mask_mod, 2, 1, positions, length, device="cpu")
    assert torch.equal(listed.any(-1), torch.ones(2, 1, positions, dtype=torch.bool)), "a query sees at least itself"


def test_block_mask_at_16k_keeps_the_blocks_that_eva_needs() -> None:
    mask = eva_block_mask(16384, window=2048, chunk=8, starts=None, device=torch.device("cpu"))
    kept = int(mask.kv_num_blocks.sum() + mask.full_kv_num_blocks.sum())
    near, far = 8 * (16 * 17 // 2), 16 * 2 * sum(range(8))
    assert kept == near + far == 1984


def test_starts_of_documents() -> None:
    assert document_starts(torch.tensor([[3, 3, 5, 5, 5, 6], [0, 0, 0, 0, 0, 0]])).tolist() == [
        [0, 0, 2, 2, 2, 5],
        [0, 0, 0, 0, 0, 0],
    ]


def test_a_summary_pools_only_the_document_of_its_last_position() -> None:
    (_, k, v, mu, phi), _ = sample(1, 1, 8, 4, 0.0)
    starts = document_starts(torch.tensor([[0, 0, 0, 1, 1, 1, 1, 2]]))
    keys, values = summarise(k, v, mu, phi, chunk=4, starts=starts)
    assert torch.allclose(keys[0, 0], k[0, 0, [3, 7]])
    assert torch.allclose(values[0, 0], v[0, 0, [3, 7]])


def test_documents_do_not_see_each_other() -> None:
    arrays, _ = sample(1, 1, 64, 4, 0.0)
    documents = (torch.arange(64) >= 21).long().unsqueeze(0)
    starts = document_starts(documents)
    before = eva_sdpa(*arrays, window=16, chunk=4, starts=starts)
    for z in arrays[:3]:
        z[:, :, :21] += 1.0
    after = eva_sdpa(*arrays, window=16, chunk=4, starts=starts)
    assert torch.equal(before[:, :, 21:], after[:, :, 21:])
    assert not torch.equal(before[:, :, :21], after[:, :, :21])
