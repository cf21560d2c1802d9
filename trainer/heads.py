"""Prediction heads and their loss, without ever holding the logits of more than a few rows.

From one hidden state at position t, symbol head p of P predicts the id at t + 1 + p over the whole vocabulary, and raw
head r of R the id at t + 1 + P + r over the 320 ids below the compressed alphabet. Labels are the row itself, shifted:

    ids      <bos> <raw> a b </raw> <eos> <pad> <pad>        P = 1, R = 1
    label 0  <raw> a b </raw> <eos> ·     ·     ·            · has weight 0: padding, or beyond the row
    label 1  a b </raw> <eos> ·     ·     ·     ·

Every position weighs 1: 1 / (P + R) a head where all P + R labels exist and are below 320, elsewhere 1 / P a symbol
head and nothing for the raw heads. A head whose label does not exist gives its share up. Labels may lie in the next
document.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from schemas.vocabulary import COMP_BASE, PAD, RAW_BASE

REPRESENTATIONS = ("special", "raw", "comp")
LOGITS_AT_ONCE = 1 << 26
"""Logits that exist at one time, at about 12 bytes each."""


class HeadLosses(NamedTuple):
    """Sums over one batch, all fp32. A tuple and no dataclass, because FSDP looks for tensors in tuples only."""

    loss_sum: Tensor
    """Σ weight · nats, a scalar with gradient. Divide by the global sum of weights."""
    weight_sum: Tensor
    """Σ weight, a scalar."""
    nats: Tensor
    """[P + R, 3], without gradient: Σ nats per head and per representation of the label, as in REPRESENTATIONS."""
    labels: Tensor
    """[P + R, 3]: how many labels that were."""


class Heads(nn.Module):
    """P symbol heads and R raw heads on one hidden state."""

    def __init__(
        self, dim: int, vocabulary: int, symbol_heads: int, raw_heads: int = 0, *, logits_at_once: int = LOGITS_AT_ONCE
    ) -> None:
        super().__init__()
        self.vocabulary, self.symbol_heads, self.raw_heads = vocabulary, symbol_heads, raw_heads
        self.logits_at_once = logits_at_once
        self.symbol = nn.Linear(dim, vocabulary * symbol_heads, bias=False)
        self.raw = nn.Linear(dim, COMP_BASE * raw_heads, bias=False) if raw_heads else None

    def forward(self, hidden: Tensor, ids: Tensor, position_weights: Tensor | None = None) -> HeadLosses:
        """The loss of hidden [rows, T, dim] over ids int64 [rows, T]; position_weights fp32 [rows, T] scale it."""
        labels, weights = targets(ids, self.symbol_heads, self.raw_heads)
        if position_weights is not None:
            weights = weights * position_weights.unsqueeze(-1)
        nats = self._all_nats(hidden, labels)
        kinds = (labels >= RAW_BASE).long() + (labels >= COMP_BASE).long()
        kinds = F.one_hot(kinds, 3) * (weights > 0).unsqueeze(-1)
        return HeadLosses(
            loss_sum=(nats * weights).sum(),
            weight_sum=weights.sum(),
            nats=(nats.detach().unsqueeze(-1) * kinds).sum((0, 1)),
            labels=kinds.sum((0, 1)).float(),
        )

    def symbol_nats(self, hidden: Tensor, ids: Tensor) -> Tensor:
        """What the first head pays for the next id, fp32 nats [rows, T]; 0 where there is no next id."""
        labels, _ = targets(ids, 1)
        weight = self.symbol.weight[: self.vocabulary]
        nats = _cross_entropy(hidden, weight, labels, self.logits_at_once).squeeze(-1)
        return nats * (labels.squeeze(-1) != PAD)

    def logits(self, hidden: Tensor) -> Tensor:
        """All symbol logits [rows, T, P, vocabulary]; for short texts and tests."""
        return self.symbol(hidden).unflatten(-1, (self.symbol_heads, self.vocabulary))

    def raw_weights(self) -> Tensor:
        """The P + R heads cut to the ids below 320, [P + R, 320, dim]: all that raw bytes need at inference."""
        heads = self.symbol.weight.unflatten(0, (self.symbol_heads, self.vocabulary))[:, :COMP_BASE]
        if self.raw is None:
            return heads
        return torch.cat((heads, self.raw.weight.unflatten(0, (self.raw_heads, COMP_BASE))))

    def _all_nats(self, hidden: Tensor, labels: Tensor) -> Tensor:
        symbol = _cross_entropy(hidden, self.symbol.weight, labels[..., : self.symbol_heads], self.logits_at_once)
        if self.raw is None:
            return symbol
        # Rows that do not count are computed all the same: a fixed shape costs less than finding them costs in waiting.
        raw_labels = labels[..., self.symbol_heads :]
        raw_labels = raw_labels.masked_fill(raw_labels >= COMP_BASE, PAD)
        return torch.cat((symbol, _cross_entropy(hidden, self.raw.weight, raw_labels, self.logits_at_once)), -1)


def targets(ids: Tensor, symbol_heads: int, raw_heads: int = 0) -> tuple[Tensor, Tensor]:
    """Labels int64 and weights fp32, both [rows, T, P + R], of ids int64 [rows, T]; PAD where there is no label."""
    heads = symbol_heads + raw_heads
    labels = F.pad(ids, (0, heads), value=PAD).unfold(1, heads, 1)[:, 1:]
    exists = labels != PAD
    symbol = exists[..., :symbol_heads] / symbol_heads
    if not raw_heads:
        return labels, symbol
    is_raw = (exists & (labels < COMP_BASE)).all(-1, keepdim=True)
    symbol = torch.where(is_raw, 1 / heads, symbol)
    return labels, torch.cat((symbol, (is_raw / heads).expand(-1, -1, raw_heads)), -1)


def _cross_entropy(hidden: Tensor, weight: Tensor, labels: Tensor, logits_at_once: int) -> Tensor:
    """Nats fp32 [rows, T, heads] of labels [rows, T, heads] under weight [heads · ids, dim]."""
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        hidden, weight = (z.to(torch.get_autocast_dtype(device)) for z in (hidden, weight))
    rows_at_once = max(1, logits_at_once // weight.shape[0])
    with torch.autocast(device, enabled=False):
        nats = _ChunkedCrossEntropy.apply(hidden.flatten(0, 1), weight, labels.flatten(0, 1), rows_at_once)
    return nats.unflatten(0, labels.shape[:2])


def _logits(hidden: Tensor, weight: Tensor, heads: int) -> Tensor:
    """fp32 [rows, heads, ids]; a bf16 product keeps its fp32 sums where the device can give them."""
    if hidden.is_cuda and hidden.dtype != torch.float32:
        product = torch.mm(hidden, weight.t(), out_dtype=torch.float32)
    else:
        product = (hidden @ weight.t()).float()
    return product.unflatten(-1, (heads, -1))


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Cross-entropy of hidden @ weightᵀ in chunks of rows; backward computes each chunk's logits once more.

    Not torch.utils.checkpoint, because autograd would add up the weight's gradient over the chunks in bf16; here it is
    added in fp32. Saved for backward: the inputs and one fp32 number per row and head.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, rows_at_once: int) -> Tensor:
        normaliser = torch.empty(labels.shape, dtype=torch.float32, device=hidden.device)
        nats = torch.empty_like(normaliser)
        for first in range(0, len(hidden), rows_at_once):
            rows = slice(first, first + rows_at_once)
            logits = _logits(hidden[rows], weight, labels.shape[1])
            normaliser[rows] = logits.logsumexp(-1)
            nats[rows] = normaliser[rows] - logits.gather(-1, labels[rows].unsqueeze(-1)).squeeze(-1)
        ctx.save_for_backward(hidden, weight, labels, normaliser)
        ctx.rows_at_once = rows_at_once
        return nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        hidden, weight, labels, normaliser = ctx.saved_tensors
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
        for first in range(0, len(hidden), ctx.rows_at_once):
            rows = slice(first, first + ctx.rows_at_once)
            share = _logits(hidden[rows], weight, labels.shape[1]).sub_(normaliser[rows].unsqueeze(-1)).exp_()
            wanted = labels[rows].unsqueeze(-1)
            share.scatter_add_(-1, wanted, share.new_full((1,), -1.0).expand(wanted.shape))
            share = share.mul_(grad[rows].unsqueeze(-1)).flatten(1).to(hidden.dtype)
            torch.mm(share, weight, out=grad_hidden[rows])
            if hidden.dtype == torch.float32:
                grad_weight.addmm_(share.t(), hidden[rows])
            else:
                grad_weight += share.t() @ hidden[rows]
        return grad_hidden, grad_weight.to(weight.dtype), None, None
