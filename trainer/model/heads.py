"""Prediction heads and their loss, without ever holding the logits of more than a few positions.

From one hidden state at position t, symbol head p of P predicts the id at t + 1 + p over the whole vocabulary, and raw
head r of R the id at t + 1 + P + r over the 320 ids below the compressed alphabet. Labels are the ids, shifted:

    ids      <bos> <raw> a b </raw> <eos> <pad> <pad>        P = 1, R = 1
    label 0  <raw> a b </raw> <eos> ·     ·     ·            · has weight 0: padding, or beyond what is known
    label 1  a b </raw> <eos> ·     ·     ·     ·

The loader adds the P + R ids after a sequence that ends inside a document (`next_ids`), so its end is learned too.

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
from trainer.model.products import add_product, factor, product

LOGITS_AT_ONCE = 1 << 26
"""Logits that exist at one time, at about 12 bytes each."""
TILE_ROWS = 128
"""Rows that a GPU's product computes together; what a last tile lacks is computed for nothing."""


class HeadLosses(NamedTuple):
    """Sums over one batch, all fp32. A tuple and no dataclass, because FSDP looks for tensors in tuples only."""

    loss_sum: Tensor
    """Σ weight · nats, a scalar with gradient. Divide by the global sum of weights."""
    weight_sum: Tensor
    """Σ weight of all labels, a scalar."""
    nats: Tensor
    """[P + R, 3], without gradient: Σ nats per head and kind of label, as in `schemas.vocabulary.SPAN_KINDS`."""
    labels: Tensor
    """[P + R, 3]: number of labels per head and kind."""


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

    def forward(self, hidden: Tensor, ids: Tensor, next_ids: Tensor | None = None) -> HeadLosses:
        """The loss of hidden [batch, T, dim] over ids int64 [batch, T] and next_ids [batch, any], those that follow."""
        labels, weights = targets(ids, self.symbol_heads, self.raw_heads, next_ids)
        loss_sum, nats = self._cross_entropies(hidden, labels, weights)
        kinds = (labels >= RAW_BASE).long() + (labels >= COMP_BASE).long()
        kinds = F.one_hot(kinds, 3) * (weights > 0).unsqueeze(-1)
        return HeadLosses(
            loss_sum=loss_sum,
            weight_sum=weights.sum(),
            nats=(nats.unsqueeze(-1) * kinds).sum((0, 1)),
            labels=kinds.sum((0, 1)).float(),
        )

    def symbol_nats(self, hidden: Tensor, ids: Tensor, counts: Tensor) -> Tensor:
        """What the first head pays for the ids that count: fp32 nats [n], sequence by sequence.

        hidden: [batch, T, dim]; ids: int64 [batch, T]; counts: bool [batch, T], whether an id counts, never a
        sequence's first. Only the positions before those are multiplied with the vocabulary, which is most of a small
        model's work.
        """
        at = counts[:, 1:]
        chosen, labels = hidden[:, :-1][at], ids[:, 1:][at]
        weight = self.symbol.weight[: self.vocabulary]
        ones = torch.ones(1, len(labels), 1, device=labels.device)
        _, nats = _cross_entropy(chosen.unsqueeze(0), weight, labels[None, :, None], ones, self.logits_at_once)
        return nats.flatten()

    def logits(self, hidden: Tensor) -> Tensor:
        """All symbol logits [batch, T, P, vocabulary]; for short texts and tests."""
        return self.symbol(hidden).unflatten(-1, (self.symbol_heads, self.vocabulary))

    def raw_weights(self) -> Tensor:
        """The P + R heads cut to the ids below 320, [P + R, 320, dim]: all that raw bytes need at inference."""
        heads = self.symbol.weight.unflatten(0, (self.symbol_heads, self.vocabulary))[:, :COMP_BASE]
        if self.raw is None:
            return heads
        return torch.cat((heads, self.raw.weight.unflatten(0, (self.raw_heads, COMP_BASE))))

    def _cross_entropies(self, hidden: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Σ weight · nats over all heads, and the nats [batch, T, P + R]."""
        p, at_once = self.symbol_heads, self.logits_at_once
        loss_sum, nats = _cross_entropy(hidden, self.symbol.weight, labels[..., :p], weights[..., :p], at_once)
        if self.raw is None:
            return loss_sum, nats
        # Positions that do not count are computed too: a fixed shape costs less than waiting to find them.
        raw_labels = labels[..., p:]
        raw_labels = raw_labels.masked_fill(raw_labels >= COMP_BASE, PAD)
        raw_sum, raw_nats = _cross_entropy(hidden, self.raw.weight, raw_labels, weights[..., p:], at_once)
        return loss_sum + raw_sum, torch.cat((nats, raw_nats), -1)


def targets(
    ids: Tensor, symbol_heads: int, raw_heads: int = 0, next_ids: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Labels int64 and weights fp32, both [batch, T, P + R], of ids int64 [batch, T]; PAD where there is no label."""
    heads = symbol_heads + raw_heads
    known = ids if next_ids is None else torch.cat((ids, next_ids[:, :heads]), 1)
    known = F.pad(known, (0, ids.shape[1] + heads - known.shape[1]), value=PAD)
    labels = known.unfold(1, heads, 1)[:, 1:]
    exists = labels != PAD
    symbol = exists[..., :symbol_heads] / symbol_heads
    if not raw_heads:
        return labels, symbol
    is_raw = (exists & (labels < COMP_BASE)).all(-1, keepdim=True)
    symbol = torch.where(is_raw, 1 / heads, symbol)
    return labels, torch.cat((symbol, (is_raw / heads).expand(-1, -1, raw_heads)), -1)


def _cross_entropy(
    hidden: Tensor, weight: Tensor, labels: Tensor, label_weights: Tensor, logits_at_once: int
) -> tuple[Tensor, Tensor]:
    """Σ weight · nats; and nats fp32 [batch, T, heads] of labels [batch, T, heads] under weight [heads · ids, dim]."""
    device = hidden.device.type
    factors = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    at_once = rows_at_once(logits_at_once, weight.shape[0])
    flat = (hidden.to(factors).flatten(0, 1), weight, labels.flatten(0, 1), label_weights.flatten(0, 1))
    with torch.autocast(device, enabled=False):
        loss_sum, nats = _ChunkedCrossEntropy.apply(*flat, at_once, torch.is_grad_enabled())
    return loss_sum, nats.unflatten(0, labels.shape[:2])


def rows_at_once(logits_at_once: int, ids: int) -> int:
    """Positions whose logits over so many ids exist together: whole tiles of a GPU's products, from one tile on.

    About `logits_at_once` logits, at most a sixteenth more: 1,019 positions of 65,856 ids become 1,024.
    """
    rows = max(1, logits_at_once // ids)
    return rows if rows < TILE_ROWS else (rows + rows // 16) // TILE_ROWS * TILE_ROWS


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Cross-entropy of hidden @ weightᵀ in chunks of positions, each chunk's gradient taken while its logits exist.

    The loss is a sum, so what comes back in backward is one number that scales gradients already made: no logits are
    computed twice. Not torch.utils.checkpoint, which computes them twice and adds the weight's gradient up over the
    chunks in bf16; here the products themselves add it up in fp32 (`products.py`), and what leaves is rounded once, if
    at all: an fp32 weight that is multiplied in bf16 gets fp32. Saved for backward: the two gradients, in fp32.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        labels: Tensor,
        label_weights: Tensor,
        positions_at_once: int,
        grad_enabled: bool,
    ) -> tuple[Tensor, Tensor]:
        learn = grad_enabled and any(ctx.needs_input_grad)
        ctx.hidden_dtype, ctx.weight_dtype = hidden.dtype, weight.dtype
        hidden, weight = factor(hidden), factor(weight.to(hidden.dtype))
        nats = torch.empty(labels.shape, dtype=torch.float32, device=hidden.device)
        grad_hidden = torch.empty(hidden.shape, dtype=torch.float32, device=hidden.device) if learn else None
        grad_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device) if learn else None
        for first in range(0, len(hidden), positions_at_once):
            part = slice(first, first + positions_at_once)
            wanted = labels[part].unsqueeze(-1)
            logits = product(hidden[part], weight.t()).unflatten(-1, (labels.shape[1], -1))
            share = logits.softmax(-1)
            # The largest logit and its share give the normaliser exactly, at less than a second pass of exponentials.
            normaliser = logits.amax(-1) - share.amax(-1).log()
            torch.sub(normaliser, logits.gather(-1, wanted).squeeze(-1), out=nats[part])
            if grad_hidden is not None and grad_weight is not None:
                _add_gradients(share, wanted, label_weights[part], hidden[part], weight, grad_hidden[part], grad_weight)
        if grad_hidden is not None and grad_weight is not None:
            ctx.save_for_backward(grad_hidden, grad_weight)
        ctx.mark_non_differentiable(nats)
        return (nats * label_weights).sum(), nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        grad_hidden, grad_weight = ctx.saved_tensors
        for gradient in (grad_hidden, grad_weight):
            gradient.mul_(grad)
        return grad_hidden.to(ctx.hidden_dtype), grad_weight.to(ctx.weight_dtype), None, None, None, None


def _add_gradients(
    share: Tensor, wanted: Tensor, label_weights: Tensor, hidden: Tensor, weight: Tensor, into: Tensor, total: Tensor
) -> None:
    """Write the gradient of a chunk's hidden states, add the weight's; `share` [positions, heads, ids] is lost."""
    share.scatter_(-1, wanted, -1.0, reduce="add")
    scaled = share if hidden.dtype == torch.float32 else torch.empty_like(share, dtype=hidden.dtype)
    flat = torch.mul(share, label_weights.unsqueeze(-1), out=scaled).flatten(1)
    product(flat, weight, out=into)
    add_product(total, flat.t(), hidden)
