"""Several bytes a forward pass: the later heads guess ahead, the first one checks.

One forward reads the next id and all guesses after it. What the first head says at each of them is what greedy decoding
would have said, so the guesses are kept as far as they agree with it. The text is that of greedy decoding, with any
number of heads. (Up to rounding: where two ids tie in the last digits, in bf16 in the second or third, a forward over
several positions may decide otherwise than a single one.)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .configuration_evabyte import COMP_BASE, EOS, RAW_BASE, RAW_CLOSE


def raw_continuations(ids: Tensor) -> Tensor:
    """Which ids a text of bytes may continue with, bool as ids: </raw>, <eos> and the 256 bytes."""
    return (ids == EOS) | (ids == RAW_CLOSE) | ((ids >= RAW_BASE) & (ids < COMP_BASE))


class MultiByteDecoding:
    """Adds `multi_byte_generate` to a model with `num_pred_heads` heads."""

    config: Any
    generation_config: Any
    model: Any
    lm_head: Any
    _cache: Any

    @torch.no_grad()
    def multi_byte_generate(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        max_new_tokens: int | None = None,
        max_length: int | None = None,
        return_forwards: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Greedy continuations of ids [batch, T], padded on either side: [batch, T + the longest], padded on the right.

        max_new_tokens, or max_length with the prompt: the limit; by default that of the generation config.
        return_forwards: also the number of forward passes of each row, the prompt's included. ValueError for settings
        that are not greedy decoding.
        """
        if kwargs:
            raise ValueError(f"multi_byte_generate is greedy and does not know {sorted(kwargs)}; generate does")
        limit = self._limit(input_ids.shape[1], max_new_tokens, max_length)
        decoding = _Decoding(self, input_ids, attention_mask, limit)
        while limit > 0 and bool(decoding.active.any()):
            decoding.advance()
        ids = torch.cat((input_ids, decoding.written(int(self.config.pad_token_id))), 1)
        return (ids, decoding.forwards.tolist()) if return_forwards else ids

    def _limit(self, read: int, max_new_tokens: int | None, max_length: int | None) -> int:
        """How many ids to write at most."""
        defaults = self.generation_config
        if max_new_tokens is None and max_length is None:
            max_new_tokens = getattr(defaults, "max_new_tokens", None)
            max_length = getattr(defaults, "max_length", None)
        if max_new_tokens is not None:
            return max_new_tokens
        return max(0, (20 if max_length is None else max_length) - read)


class _Decoding:
    """The continuation of some rows side by side."""

    def __init__(self, model: Any, input_ids: Tensor, attention_mask: Tensor | None, limit: int) -> None:
        config, self.model, self.limit = model.config, model, limit
        device = input_ids.device
        self.cache = model._cache(None, input_ids)
        heads = model.lm_head.weight.unflatten(0, (config.num_pred_heads, config.vocab_size))
        ids = torch.arange(config.vocab_size, device=heads.device)
        self.ids = ids[raw_continuations(ids)] if config.only_raw_ids else ids
        self.weights = heads[:, self.ids].float()
        """Of all heads for the ids that may be written, fp32 [heads, ids, size]."""
        ends = model.generation_config.eos_token_id
        self.ends = torch.tensor(ends if isinstance(ends, list) else [ends], device=device)
        states = model._states(input_ids, None, attention_mask, self.cache, False)
        self.hidden = states[-1][:, -1]
        """The hidden state of each row's last symbol, [batch, size]."""
        self.accepted: list[list[int]] = [[] for _ in input_ids]
        self.active = torch.ones(len(input_ids), dtype=torch.bool)
        self.forwards = torch.ones(len(input_ids), dtype=torch.int64)

    def advance(self) -> None:
        """Propose, read the proposals, and keep those that the first head agrees with."""
        logits = torch.einsum("bd,hvd->bhv", self.hidden.float(), self.weights)
        ids = self.ids[logits.argmax(-1)]
        counts = self._meant(ids)
        if not bool(counts.any()):
            return
        ids = ids[:, : int(counts.max())]
        device_counts = counts.to(ids.device)
        body = self.model.model
        hidden = body.step(body.embed_tokens(ids), device_counts, self.cache)[-1]
        wanted = self.ids[(hidden[:, :-1].float() @ self.weights[0].t()).argmax(-1)]
        agrees = (wanted == ids[:, 1:]) & (torch.arange(1, ids.shape[1], device=ids.device) < device_counts[:, None])
        kept = (1 + agrees.long().cumprod(1).sum(1)) * device_counts.clamp_max(1)
        self.cache.keep(kept)
        last = hidden[torch.arange(len(ids), device=ids.device), (kept - 1).clamp_min(0)]
        self.hidden = torch.where((kept > 0).unsqueeze(1), last, self.hidden)
        self.forwards += counts > 0
        for row, count in enumerate(kept.tolist()):
            self.accepted[row] += ids[row, :count].tolist()
            if len(self.accepted[row]) >= self.limit:
                self.active[row] = False

    def written(self, pad: int) -> Tensor:
        """The new ids int64 [batch, the longest], padded on the right."""
        longest = max(map(len, self.accepted))
        rows = [[*ids, *[pad] * (longest - len(ids))] for ids in self.accepted]
        return torch.tensor(rows, dtype=torch.int64, device=self.hidden.device).view(len(rows), longest)

    def _meant(self, ids: Tensor) -> Tensor:
        """How many of a row's proposals the next forward reads, int64 [batch]; rows that are done become inactive."""
        room = self.cache.room().tolist()
        ends = torch.isin(ids, self.ends).tolist()
        counts = torch.zeros(len(ids), dtype=torch.int64)
        for row, ending in enumerate(ends):
            if not self.active[row]:
                continue
            left = self.limit - len(self.accepted[row])
            if ending[0] or left == 1:
                # Nothing comes after an end or the last id, so no forward reads it.
                self.accepted[row].append(int(ids[row, 0]))
                self.active[row] = False
                continue
            guesses = ending.index(True) if True in ending else len(ending)
            counts[row] = min(left, room[row], guesses)
        return counts
