"""EVA attention: exact inside an aligned window, one summary per chunk for everything before it.

Per head, with s = head size^−½, windows of W positions and chunks of C:

    a_j = softmax over the chunk of μ·k_j                          (k rotated, not scaled by s)
    b_j = softmax over the chunk of s(φ·k_j − |k_j|²/2)
    summary key = Σ a_j k_j,   summary value = Σ b_j v_j
    out_i = one softmax over {j ≤ i in the window of i} ∪ {chunks of all earlier windows}, logits s q_i·k

Documents: a query sees only its own document, a chunk belongs to the document of its last position, and only that
document's positions are pooled. All of it follows from one array, `starts`: the first position of the document that
each position belongs to. A query i then sees two intervals, keys [max(window start, starts_i), i] and chunks
[starts_i // C, i // W · W / C); both attention paths below say just that.

    documents 0 0 0 1 1 1 1 1   C = 2, W = 4
    starts    0 0 0 3 3 3 3 3   the chunk (0, 1) belongs to the first, the chunk (2, 3) pools position 3 alone

Shapes: q, k, v [batch, heads, T, head size]; mu, phi [heads, head size]; starts int64 [batch, T] or None for one
document a sequence. T is any number; the last window may be partial.

A packed document is treated as if it stood alone where its start is a multiple of W (its windows and chunks are the
same as alone) and where it lies inside one window (there are no summaries). Any other document has another chunk grid
than alone, and other, equally valid, outputs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

FLEX_BLOCK = 128


def document_starts(documents: Tensor) -> Tensor:
    """The first position of each position's document, int64 [batch, T], from document numbers [batch, T].

    Numbers must not fall inside a sequence. An end-of-document id carries the number of the document that it closes.
    """
    places = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return torch.where(begins, places, 0).cummax(1).values


def summarise(
    k: Tensor, v: Tensor, mu: Tensor, phi: Tensor, *, chunk: int, starts: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Summary keys and values [batch, heads, T / chunk, head size] of whole chunks; softmax and sums run in fp32."""
    keys, values = (z.unflatten(2, (-1, chunk)).float() for z in (k, v))
    mu, phi = (z.float()[:, None, None] for z in (mu, phi))
    to_key = (keys * mu).sum(-1)
    to_value = k.shape[-1] ** -0.5 * ((keys * phi).sum(-1) - keys.square().sum(-1) / 2)
    if starts is not None:
        grid = starts.unflatten(1, (-1, chunk))
        foreign = (grid != grid[..., -1:]).unsqueeze(1)
        to_key, to_value = (z.masked_fill(foreign, float("-inf")) for z in (to_key, to_value))
    summary_key = (to_key.softmax(-1).unsqueeze(-1) * keys).sum(-2)
    summary_value = (to_value.softmax(-1).unsqueeze(-1) * values).sum(-2)
    return summary_key.to(k.dtype), summary_value.to(v.dtype)


def summarised_positions(positions: int, window: int) -> int:
    """How many leading positions are ever seen through summaries: all windows but the last one."""
    return max(0, (positions - 1) // window * window)


def eva_sdpa(
    q: Tensor, k: Tensor, v: Tensor, mu: Tensor, phi: Tensor, *, window: int, chunk: int, starts: Tensor | None = None
) -> Tensor:
    """Attention [batch, heads, T, head size] by one scaled_dot_product_attention per window: CPU path and oracle."""
    far = summarised_positions(q.shape[2], window)
    far_k, far_v = summarise(
        k[:, :, :far], v[:, :, :far], mu, phi, chunk=chunk, starts=None if starts is None else starts[:, :far]
    )
    outputs = []
    for first in range(0, q.shape[2], window):
        here = slice(first, min(first + window, q.shape[2]))
        chunks = first // chunk
        keys = torch.cat((far_k[:, :, :chunks], k[:, :, here]), 2)
        values = torch.cat((far_v[:, :, :chunks], v[:, :, here]), 2)
        mask = _window_mask(here, chunks, chunk, starts, q.device)
        outputs.append(
            F.scaled_dot_product_attention(q[:, :, here], keys, values, attn_mask=mask, is_causal=mask is None)
        )
    return torch.cat(outputs, 2)


def _window_mask(here: slice, chunks: int, chunk: int, starts: Tensor | None, device: torch.device) -> Tensor | None:
    """Who sees whom, bool [batch or 1, 1, queries, chunks + keys] of one window; None for plainly causal."""
    if starts is None and chunks == 0:
        return None
    places = torch.arange(here.start, here.stop, device=device)
    near = places[None, :] <= places[:, None]
    if starts is None:
        return torch.cat((near.new_ones(len(places), chunks), near), 1)[None, None]
    begin = starts[:, here, None]
    near = near & (places >= begin)
    far = torch.arange(chunks, device=device) >= begin // chunk
    return torch.cat((far, near), 2).unsqueeze(1)


def eva_block_mask(
    positions: int, *, window: int, chunk: int, starts: Tensor | None, device: torch.device
) -> BlockMask:
    """The mask of `eva_flex` for T = `positions`; build it once per batch, every layer takes the same.

    Blocks are classed exactly, from the lengths of the two intervals of each query, without the T × T mask.
    """
    begin = starts if starts is not None else torch.zeros(1, positions, dtype=torch.int64, device=device)
    places = torch.arange(positions, device=device)
    chunks = summarised_positions(positions, window) // chunk
    near_from, near_to = torch.maximum(places // window * window, begin), places + 1
    far_from, far_to = positions + begin // chunk, positions + places // window * (window // chunk)
    edges = torch.arange(0, positions + chunks, FLEX_BLOCK, device=device)

    def seen(start: Tensor, stop: Tensor) -> Tensor:
        high = torch.minimum(stop.unsqueeze(-1), edges + FLEX_BLOCK)
        return (high - torch.maximum(start.unsqueeze(-1), edges)).clamp_min_(0)

    pairs = seen(near_from, near_to.expand_as(near_from)) + seen(far_from, far_to.expand_as(far_from))
    pairs = F.pad(pairs, (0, 0, 0, -positions % FLEX_BLOCK)).unflatten(1, (-1, FLEX_BLOCK)).sum(2)
    full = pairs == FLEX_BLOCK**2
    partial = (pairs > 0) & ~full
    return BlockMask.from_kv_blocks(
        *_listed(partial),
        *_listed(full),
        BLOCK_SIZE=FLEX_BLOCK,
        mask_mod=_mask_mod(begin, positions, window, chunk),
        seq_lengths=(positions, positions + chunks),
    )


def _listed(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Counts [batch, 1, query blocks] and indices, the chosen first, of bool [batch, query blocks, key blocks]."""
    order = blocks.to(torch.int8).argsort(dim=-1, descending=True, stable=True)
    return blocks.sum(-1, dtype=torch.int32).unsqueeze(1), order.to(torch.int32).unsqueeze(1)


def _mask_mod(
    begin: Tensor, positions: int, window: int, chunk: int
) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    rows = begin.shape[0]
    begin = begin.to(torch.int32)
    per_window = window // chunk

    def visible(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        own = begin[row if rows > 1 else row * 0, query]
        near = (key <= query) & (key >= own) & (key >= query // window * window)
        far = (key >= positions + own // chunk) & (key < positions + query // window * per_window)
        return near | far

    return visible


@functools.cache
def _compiled_flex() -> Callable[..., Tensor]:
    return torch.compile(flex_attention, dynamic=False)


def eva_flex(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mu: Tensor,
    phi: Tensor,
    *,
    window: int,
    chunk: int,
    block_mask: BlockMask,
    starts: Tensor | None = None,
) -> Tensor:
    """The same attention as one flex_attention over [keys ; summaries]: the GPU path. On CPU it has no gradient."""
    far = summarised_positions(q.shape[2], window)
    far_k, far_v = summarise(
        k[:, :, :far], v[:, :, :far], mu, phi, chunk=chunk, starts=None if starts is None else starts[:, :far]
    )
    # Inside a compiled block flex_attention is compiled with it; alone it would build the whole score matrix.
    alone = q.is_cuda and not torch.compiler.is_compiling()
    attend = _compiled_flex() if alone else cast("Callable[..., Tensor]", flex_attention)
    return attend(q, torch.cat((k, far_k), 2), torch.cat((v, far_v), 2), block_mask=block_mask)
