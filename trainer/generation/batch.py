"""Texts that are continued side by side, each with a seed, a sampling and a length of its own; they come and go.

    add: prompts ─► cache, hidden state of the last symbol ─┐
    step: heads propose ─► one forward reads the proposals ─► kept as far as plain decoding agrees ─► bytes of each text
    a text that is done leaves, and the last row takes its place

Rows in use are always the first ones, so a step costs what the texts in it cost. What a text becomes depends on no
other: a server and `generate` share this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from schemas.vocabulary import RAW_BASE
from trainer.generation.kv_cache import KVCache
from trainer.generation.sampling import ENDS, choose
from trainer.generation.settings import Sampling
from trainer.model.evabyte import EvaByte


@dataclass(kw_only=True, slots=True, eq=False)
class Continuation:
    """A text that is being continued."""

    ids: Sequence[int]
    """Opening and prompt."""
    max_bytes: int
    """Most bytes that are added."""
    sampling: Sampling
    seed: int
    """Non-negative; with the ids it decides what is sampled."""
    accepted: list[int] = field(default_factory=list)
    """Ids of the bytes added so far."""
    ended: bool = False
    """Whether the model closed the text itself, with </raw> or <eos>."""
    forwards: int = 0
    """Forward passes that it took part in, the prompt's included."""

    @property
    def done(self) -> bool:
        """Whether nothing more is added."""
        return self.ended or len(self.accepted) >= self.max_bytes

    @property
    def text(self) -> bytes:
        """The bytes added so far."""
        return bytes(id - RAW_BASE for id in self.accepted)


class Batch:
    """At most `rows` texts at a time, of at most `capacity` ids each, what is added included."""

    def __init__(self, model: EvaByte, rows: int, capacity: int, *, speculate: bool = True) -> None:
        self.rows, self.capacity = rows, capacity
        self.texts: list[Continuation] = []
        """The texts that are not done, in the order of their rows."""
        self._cache = KVCache(model, rows, capacity)
        weights = model.heads.raw_weights().float()
        self._weights = weights if speculate else weights[:1]
        self._hidden = torch.zeros(rows, model.config.dim, dtype=self._cache.cache.dtype, device=self._cache.device)
        """Hidden state of the last symbol of each text, [rows, dim]."""

    @property
    def free(self) -> int:
        """Rows without a text."""
        return self.rows - len(self.texts)

    @torch.inference_mode()
    def add(self, texts: Sequence[Continuation]) -> None:
        """Read the prompts of texts, at most `free`; those that are done already take no row."""
        assert len(texts) <= self.free and all(len(text.ids) + text.max_bytes <= self.capacity for text in texts)
        if not texts:
            return
        first = len(self.texts)
        part = self._cache.narrow(first, len(texts))
        part.clear()
        self._hidden[first : first + len(texts)] = part.read([text.ids for text in texts])
        for text in texts:
            text.forwards += 1
        self.texts += texts
        self._drop()

    @torch.inference_mode()
    def step(self) -> None:
        """One forward: every text gets at least a byte, or ends."""
        ids = self._proposals()
        counts = self._count_proposals(ids)
        if counts.any():
            self._check(ids[:, : counts.max()], counts)
        self._drop()

    def remove(self, text: Continuation) -> None:
        """Give up a text that is not done."""
        self._free(self.texts.index(text))

    def _drop(self) -> None:
        for row in reversed(range(len(self.texts))):
            if self.texts[row].done:
                self._free(row)

    def _free(self, row: int) -> None:
        """Let the last row take the place of one."""
        last = len(self.texts) - 1
        if row != last:
            self._cache.move(last, row)
            self._hidden[row] = self._hidden[last]
            self.texts[row] = self.texts[last]
        self.texts.pop()

    def _choose(self, logits: Tensor, offset: int) -> np.ndarray:
        """Ids [batch, n] from logits [batch, n, 320], for the symbols `offset` … after those accepted."""
        values = logits.cpu().numpy()
        positions = np.array([len(text.accepted) for text in self.texts])[:, None] + offset + np.arange(values.shape[1])
        seeds = np.broadcast_to(np.array([text.seed for text in self.texts], np.uint64)[:, None], positions.shape)
        samplings = [text.sampling for text in self.texts]
        ids = np.empty(positions.shape, np.int64)
        for sampling in dict.fromkeys(samplings):
            own = np.array([other == sampling for other in samplings])
            ids[own] = choose(values[own], sampling, seeds[own], positions[own])
        return ids

    def _proposals(self) -> np.ndarray:
        """The next id of each text and the guesses after it, int64 [batch, heads]."""
        hidden = self._hidden[: len(self.texts)].float()
        return self._choose(torch.einsum("bd,hvd->bhv", hidden, self._weights), 0)

    def _count_proposals(self, ids: np.ndarray) -> np.ndarray:
        """How many of a text's proposals the next forward reads, int64 [batch]; ends the texts that are done."""
        room = self._cache.narrow(0, len(self.texts)).room().cpu().numpy()
        counts = np.zeros(len(ids), np.int64)
        for row, text in enumerate(self.texts):
            if ids[row, 0] in ENDS:
                text.ended = True
                continue
            left = text.max_bytes - len(text.accepted)
            if left == 1:
                # The last byte needs no forward: nothing comes after it.
                text.accepted.append(int(ids[row, 0]))
                continue
            ends = np.flatnonzero(np.isin(ids[row], ENDS))
            guesses = int(ends[0]) if len(ends) else ids.shape[1]
            counts[row] = min(left, room[row], guesses)
        return counts

    def _check(self, ids: np.ndarray, counts: np.ndarray) -> None:
        """Read the proposals and keep those that decoding without speculation would have chosen."""
        cache = self._cache.narrow(0, len(self.texts))
        device_counts = torch.from_numpy(counts).to(cache.device)
        hidden = cache.forward(torch.from_numpy(ids.copy()).to(cache.device), device_counts)
        agreed = counts.clip(max=1)
        if ids.shape[1] > 1:
            wanted = self._choose(hidden[:, :-1].float() @ self._weights[0].t(), 1)
            agrees = (wanted == ids[:, 1:]) & (np.arange(1, ids.shape[1]) < counts[:, None])
            agreed = agreed + np.cumprod(agrees, 1).sum(1) * agreed
        kept = torch.from_numpy(agreed).to(cache.device)
        cache.keep(kept)
        last = hidden[torch.arange(len(ids), device=cache.device), (kept - 1).clamp_min(0)]
        rows = self._hidden[: len(ids)]
        rows.copy_(torch.where((kept > 0).unsqueeze(1), last, rows))
        for row, text in enumerate(self.texts):
            text.forwards += int(counts[row] > 0)
            text.accepted += ids[row, : agreed[row]].tolist()
