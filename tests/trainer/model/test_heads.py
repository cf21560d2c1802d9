"""Heads: the chunked loss is the plain one, its weights add up, its memory is bounded."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from schemas.vocabulary import BOS, COMP_BASE, EOS, PAD, RAW_BASE, RAW_CLOSE, RAW_OPEN
from trainer.model.heads import Heads, rows_at_once, targets
from trainer.model.products import add_product, product

A, B, COMP = RAW_BASE, RAW_BASE + 1, COMP_BASE + 5


def heads_of(dim: int, vocabulary: int, symbol: int, raw: int, logits_at_once: int) -> Heads:
    torch.manual_seed(0)
    return Heads(dim, vocabulary, symbol, raw, logits_at_once=logits_at_once)


def plain_loss(heads: Heads, hidden: Tensor, ids: Tensor) -> tuple[Tensor, float]:
    """The definition, position by position: Σ weight · nats and Σ weight."""
    symbol, raw = heads.symbol_heads, heads.raw_heads
    total, weight = hidden.new_zeros(()), 0.0
    for row in range(ids.shape[0]):
        for t in range(ids.shape[1]):
            labels = [int(ids[row, t + 1 + p]) if t + 1 + p < ids.shape[1] else PAD for p in range(symbol + raw)]
            is_raw = raw > 0 and all(label != PAD and label < COMP_BASE for label in labels)
            logits = list(heads.logits(hidden)[row, t])
            if is_raw:
                logits += list(heads.raw(hidden[row, t]).view(raw, COMP_BASE))
            for label, scores in zip(labels, logits, strict=False):
                if label != PAD:
                    total = total + F.cross_entropy(scores, torch.tensor(label)) / len(logits)
                    weight += 1 / len(logits)
    return total, weight


@pytest.mark.parametrize(("symbol", "raw"), [(1, 0), (3, 0), (1, 1), (2, 3)])
@pytest.mark.parametrize("logits_at_once", [1, 5000, 1 << 26])
def test_loss_and_gradients_are_those_of_the_definition(symbol: int, raw: int, logits_at_once: int) -> None:
    heads = heads_of(8, 400, symbol, raw, logits_at_once)
    g = torch.Generator().manual_seed(1)
    ids = torch.randint(RAW_BASE, 400, (2, 12), generator=g)
    ids[0, :9] = torch.randint(RAW_BASE, COMP_BASE, (9,), generator=g)
    ids[1, 9:] = PAD
    ours = torch.randn(2, 12, 8, generator=g).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    losses = heads(ours, ids)
    losses.loss_sum.backward()
    got = [parameter.grad.clone() for parameter in heads.parameters()]
    heads.zero_grad()
    wanted, weight = plain_loss(heads, theirs, ids)
    wanted.backward()
    assert losses.loss_sum.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert losses.weight_sum.item() == pytest.approx(weight, rel=1e-5)
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-5)
    for a, b in zip(got, heads.parameters(), strict=True):
        assert torch.allclose(a, b.grad, atol=1e-5)


def test_labels_are_the_row_shifted_and_padding_has_none() -> None:
    ids = torch.tensor([[BOS, RAW_OPEN, A, B, RAW_CLOSE, EOS, PAD, PAD]])
    labels, weights = targets(ids, 1, 1)
    assert labels[0, :, 0].tolist() == [RAW_OPEN, A, B, RAW_CLOSE, EOS, PAD, PAD, PAD]
    assert labels[0, :, 1].tolist() == [A, B, RAW_CLOSE, EOS, PAD, PAD, PAD, PAD]
    assert weights[0].tolist() == [[0.5, 0.5]] * 4 + [[1, 0]] + [[0, 0]] * 3


def test_raw_heads_learn_only_where_all_labels_are_raw() -> None:
    _, weights = targets(torch.tensor([[A, B, COMP, A, B, A]]), 1, 1)
    assert weights[0].tolist() == [[1, 0], [1, 0], [0.5, 0.5], [0.5, 0.5], [1, 0], [0, 0]]


def test_a_row_of_one_symbol_has_no_label() -> None:
    _, weights = targets(torch.tensor([[A]]), 2, 1)
    assert not weights.any()


def test_ids_behind_a_row_are_labels_of_its_last_positions() -> None:
    row = torch.tensor([[A, B, A, COMP, A, B]])
    for cut in range(1, 6):
        whole, whole_weights = targets(row, 2, 1)
        labels, weights = targets(row[:, :cut], 2, 1, row[:, cut:])
        assert labels.tolist() == whole[:, :cut].tolist()
        assert weights.tolist() == whole_weights[:, :cut].tolist()


def test_sums_per_representation_add_up() -> None:
    heads = heads_of(8, 400, 1, 1, 1 << 20)
    ids = torch.tensor([[BOS, RAW_OPEN, A, B, A, RAW_CLOSE, EOS, BOS, COMP, COMP, EOS, PAD]])
    hidden = torch.randn(1, 12, 8, generator=torch.Generator().manual_seed(0))
    losses = heads(hidden, ids)
    assert losses.labels.tolist() == [[5, 3, 2], [3, 3, 0]]
    everything = torch.ones_like(ids, dtype=torch.bool)
    nats = heads.symbol_nats(hidden, ids, everything)
    assert losses.nats[0].sum().item() == pytest.approx(nats[:-1].sum().item(), rel=1e-5)
    assert losses.nats[0, 1].item() == pytest.approx(nats[1:4].sum().item(), rel=1e-5)
    chosen = (ids >= COMP_BASE) & everything
    assert heads.symbol_nats(hidden, ids, chosen).tolist() == pytest.approx(nats[7:9].tolist())
    assert heads.symbol_nats(hidden, ids, ~everything).tolist() == []
    assert losses.loss_sum.dtype == losses.nats.dtype == torch.float32


def test_bf16_hidden_states_give_fp32_sums() -> None:
    heads = heads_of(16, 400, 1, 1, 4000).bfloat16()
    ids = torch.randint(RAW_BASE, 400, (2, 30), generator=torch.Generator().manual_seed(0))
    hidden = torch.randn(2, 30, 16, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_()
    losses = heads(hidden, ids)
    losses.loss_sum.backward()
    exact = heads.float()(hidden.float(), ids)
    assert losses.loss_sum.dtype == torch.float32
    assert losses.loss_sum.item() == pytest.approx(exact.loss_sum.item(), rel=2e-3)
    assert hidden.grad.dtype == torch.bfloat16


def test_autocast_multiplies_in_bf16() -> None:
    heads = heads_of(16, 400, 1, 0, 4000)
    ids = torch.randint(RAW_BASE, 400, (2, 30), generator=torch.Generator().manual_seed(0))
    hidden = torch.randn(2, 30, 16, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        losses = heads(hidden, ids)
    losses.loss_sum.backward()
    assert losses.loss_sum.item() == pytest.approx(heads(hidden, ids).loss_sum.item(), rel=5e-3)
    assert heads.symbol.weight.grad.dtype == torch.float32


@pytest.mark.parametrize(("autocast", "most"), [(True, 1e-6), (False, 2e-3)])
def test_sums_over_chunks_stay_in_fp32(autocast: bool, most: float) -> None:
    """Against float64, of the same bf16 factors: what is left is the rounding of a bf16 gradient.

    With products that leave in bf16 it was 4.5e-6 of the loss and 2.4e-3 of both gradients, whatever the weight's type.
    """
    vocabulary, dim, positions = 2048, 32, 512
    heads = heads_of(dim, vocabulary, 1, 0, vocabulary * positions // 16)
    heads.symbol.weight.data.mul_(4).copy_(heads.symbol.weight.data.bfloat16())
    exact = heads_of(dim, vocabulary, 1, 0, 1 << 26).double()
    exact.load_state_dict(heads.state_dict())
    if not autocast:
        heads.bfloat16()
    g = torch.Generator().manual_seed(0)
    ids = torch.randint(RAW_BASE, vocabulary, (1, positions), generator=g)
    hidden = torch.randn(1, positions, dim, generator=g).bfloat16().requires_grad_()
    theirs = hidden.detach().double().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        losses = heads(hidden, ids)
    (losses.loss_sum / 777).backward()
    wanted = F.cross_entropy(exact.logits(theirs)[0, :-1, 0], ids[0, 1:], reduction="sum")
    (wanted / 777).backward()
    assert losses.loss_sum.item() == pytest.approx(wanted.item(), rel=1e-6)
    for got, true, bound in (
        (heads.symbol.weight.grad, exact.symbol.weight.grad, most),
        (hidden.grad, theirs.grad, 2e-3),
    ):
        assert (got.double() - true).norm() < bound * true.norm()


def test_chunks_are_whole_tiles_of_about_as_many_logits() -> None:
    assert [rows_at_once(1 << 26, ids) for ids in (65_856, 96_960, 1 << 20, 1 << 27)] == [1024, 640, 64, 1]
    for ids in range(300, 200_000, 977):
        rows = rows_at_once(1 << 26, ids)
        assert rows % 128 == 0 and 0.5 < rows * ids / (1 << 26) < 17 / 16 + 1e-9


def test_a_gpu_is_asked_for_fp32_sums_and_nothing_of_the_weight_s_size_more() -> None:
    """Of tensors without memory: each chunk adds its product to the gradient inside the product."""
    calls: list[tuple[str, torch.dtype]] = []

    class Products(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if "mm" in str(func):
                calls.append((str(func), (kwargs or {}).get("out", args[0]).dtype))
            return func(*args, **(kwargs or {}))

    with FakeTensorMode(), Products(), mock.patch("trainer.model.products._has_fp32_sums", lambda factor: True):
        heads = Heads(16, 1000, 1, 0, logits_at_once=128_000)
        hidden, ids = torch.empty(1, 512, 16, requires_grad=True), torch.zeros(1, 512, dtype=torch.int64)
        with torch.autocast("cpu", torch.bfloat16):
            losses = heads(hidden, ids)
        losses.loss_sum.backward()
        assert heads.symbol.weight.grad is not None and heads.symbol.weight.grad.dtype == torch.float32
    logits, into, added = "aten.mm.dtype", "aten.mm.dtype_out", "aten.addmm.dtype_out"
    assert [name for name, _ in calls] == [logits, into, added] * 4
    assert {dtype for name, dtype in calls if name != logits} == {torch.float32}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_what_a_cpu_gives() -> None:
    left, right = torch.randn(256, 512).bfloat16(), torch.randn(512, 128).bfloat16()
    expected = product(left, right)
    total = torch.ones(256, 128, device="cuda")
    add_product(total, left.cuda(), right.cuda())
    into = torch.empty_like(total)
    assert product(left.cuda(), right.cuda(), out=into) is into
    torch.testing.assert_close(into.cpu(), expected, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(total.cpu(), expected + 1, rtol=1e-5, atol=1e-4)


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation gave, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


def test_memory_is_bounded_at_a_large_vocabulary() -> None:
    """4096 positions × 96,960 ids are 397 M logits; no tensor is ever larger than the chunk or the weight."""
    vocabulary, dim, logits_at_once = 96_960, 8, 1 << 22
    heads = heads_of(dim, vocabulary, 1, 1, logits_at_once)
    ids = torch.randint(RAW_BASE, vocabulary, (2, 2048), generator=torch.Generator().manual_seed(0))
    hidden = torch.randn(2, 2048, dim, requires_grad=True)
    saved: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):
        losses = heads(hidden, ids)
    assert max(saved) == vocabulary * dim
    with Largest() as forward:
        losses = heads(hidden, ids)
    with Largest() as backward:
        losses.loss_sum.backward()
    assert 0.9 * logits_at_once < forward.elements <= logits_at_once
    assert backward.elements == vocabulary * dim


def test_raw_weights_are_all_heads_cut_to_raw_ids() -> None:
    heads = heads_of(8, 400, 2, 3, 1000)
    hidden = torch.randn(1, 1, 8)
    weights = heads.raw_weights()
    assert weights.shape == (5, COMP_BASE, 8)
    assert torch.allclose(weights[1] @ hidden[0, 0], heads.logits(hidden)[0, 0, 1, :COMP_BASE], atol=1e-6)
    assert torch.allclose((weights[2:] @ hidden[0, 0]).flatten(), heads.raw(hidden[0, 0]), atol=1e-6)
