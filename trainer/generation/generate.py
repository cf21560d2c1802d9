"""Raw bytes in, raw bytes out: prompts are continued without any compressor.

    <bos> <raw> prompt ──forward──► byte, byte, … until </raw>, <eos> or `max_bytes`

Speculation: the model's later heads guess the bytes after the next one for free. One forward then reads the next byte
and all guesses; what the first head says at each of them is what decoding without speculation would have said, so the
guesses are kept as far as they agree with it and the rest is forgotten. A choice depends on logits, seed and position
alone, so this changes no output, greedy or sampled, only the number of forwards. (Up to rounding: a forward over
several positions may differ from single ones in the last bits of a float, which matters where two ids tie to six
digits; in bf16, to two or three.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from schemas.errors import SettingsError
from schemas.vocabulary import BOS, RAW_BASE, RAW_OPEN
from trainer.generation.kv_cache import KVCache
from trainer.generation.sampling import ENDS, choose
from trainer.generation.settings import Sampling
from trainer.model.evabyte import EvaByte


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """One continuation."""

    text: bytes
    """The new bytes, without the prompt and without the symbol that ended them."""
    ended: bool
    """Whether the model closed the text itself, with </raw> or <eos>."""
    forwards: int
    """Forward passes that this took, the prompt's included."""

    @property
    def symbols_per_forward(self) -> float:
        """Bytes, and the end if there is one, per forward: 1 for plain decoding."""
        return (len(self.text) + self.ended) / self.forwards


def generate(
    model: EvaByte,
    prompts: Sequence[bytes],
    *,
    max_bytes: int,
    sampling: Sampling | None = None,
    seeds: Sequence[int] | None = None,
    speculate: bool = True,
    batch_size: int = 16,
    opening: Sequence[int] = (BOS, RAW_OPEN),
) -> list[Generation]:
    """Continue each prompt by at most `max_bytes` bytes.

    seeds: one non-negative integer per prompt (default: its index); a sample depends on its prompt and seed only.
    batch_size: prompts in memory at a time. opening: ids before the prompt; a model trained without sentinels wants
    (BOS,). SettingsError for counts that do not fit.
    """
    seeds = range(len(prompts)) if seeds is None else seeds
    if len(seeds) != len(prompts):
        raise SettingsError(f"{len(seeds)} seeds for {len(prompts)} prompts; give one seed per prompt")
    if max_bytes < 0 or batch_size < 1 or not opening or min(seeds, default=0) < 0:
        raise SettingsError(
            f"max_bytes {max_bytes} must be at least 0, batch size {batch_size} at least 1, "
            "seeds at least 0, and the opening must hold an id"
        )
    return continue_ids(
        model,
        [[*opening, *(RAW_BASE + byte for byte in prompt)] for prompt in prompts],
        max_bytes=max_bytes,
        sampling=sampling or Sampling(),
        seeds=seeds,
        speculate=speculate,
        batch_size=batch_size,
    )


@torch.inference_mode()
def continue_ids(
    model: EvaByte,
    texts: Sequence[Sequence[int]],
    *,
    max_bytes: int,
    sampling: Sampling,
    seeds: Sequence[int],
    speculate: bool = True,
    batch_size: int = 16,
) -> list[Generation]:
    """Raw bytes after any ids, compressed ones too; the other arguments are those of `generate`."""
    results: list[Generation] = []
    for first in range(0, len(texts), batch_size):
        batch = slice(first, first + batch_size)
        run = _BatchGeneration(model, texts[batch], max_bytes, sampling, np.array(seeds[batch], np.uint64), speculate)
        results += run.results()
    return results


class _BatchGeneration:
    """The continuation of some texts side by side."""

    def __init__(
        self,
        model: EvaByte,
        texts: Sequence[Sequence[int]],
        max_bytes: int,
        sampling: Sampling,
        seeds: np.ndarray,
        speculate: bool,
    ) -> None:
        self.sampling, self.seeds, self.max_bytes = sampling, seeds, max_bytes
        self.cache = KVCache(model, len(texts), max(map(len, texts)) + max_bytes)
        self.device = self.cache.device
        weights = model.heads.raw_weights().float()
        self.weights = weights if speculate else weights[:1]
        self.hidden = self.cache.read(texts)
        """Hidden state of the last symbol of each text, [batch, dim]."""
        self.accepted: list[list[int]] = [[] for _ in texts]
        self.active = np.full(len(texts), max_bytes > 0)
        self.ended = np.zeros(len(texts), bool)
        self.forwards = np.ones(len(texts), np.int64)

    def results(self) -> list[Generation]:
        """Continue all texts to their ends."""
        while self.active.any():
            ids = self._proposals()
            counts = self._count_proposals(ids)
            if counts.any():
                self._check(ids[:, : counts.max()], counts)
        return [
            Generation(text=bytes(id - RAW_BASE for id in ids), ended=bool(ended), forwards=int(forwards))
            for ids, ended, forwards in zip(self.accepted, self.ended, self.forwards, strict=True)
        ]

    def _choose(self, logits: Tensor, offset: int) -> np.ndarray:
        """Ids [batch, n] from logits [batch, n, 320], for the symbols `offset` … after those accepted."""
        positions = np.array([len(ids) for ids in self.accepted])[:, None] + offset + np.arange(logits.shape[1])
        seeds = np.broadcast_to(self.seeds[:, None], positions.shape)
        return choose(logits.cpu().numpy(), self.sampling, seeds, positions)

    def _proposals(self) -> np.ndarray:
        """The next id of each text and the guesses after it, int64 [batch, heads]."""
        return self._choose(torch.einsum("bd,hvd->bhv", self.hidden.float(), self.weights), 0)

    def _count_proposals(self, ids: np.ndarray) -> np.ndarray:
        """How many of a text's proposals the next forward reads, int64 [batch]; ends the texts that are done."""
        room = self.cache.room().cpu().numpy()
        counts = np.zeros(len(ids), np.int64)
        for row in np.flatnonzero(self.active):
            if ids[row, 0] in ENDS:
                self.active[row], self.ended[row] = False, True
                continue
            left = self.max_bytes - len(self.accepted[row])
            ends = np.flatnonzero(np.isin(ids[row], ENDS))
            guesses = int(ends[0]) if len(ends) else ids.shape[1]
            counts[row] = min(left, room[row], guesses)
            if left == 1:
                # The last byte needs no forward: nothing comes after it.
                self.accepted[row].append(int(ids[row, 0]))
                self.active[row], counts[row] = False, 0
        return counts

    def _check(self, ids: np.ndarray, counts: np.ndarray) -> None:
        """Read the proposals and keep those that decoding without speculation would have chosen."""
        device_counts = torch.from_numpy(counts).to(self.device)
        hidden = self.cache.forward(torch.from_numpy(ids.copy()).to(self.device), device_counts)
        agreed = counts.clip(max=1)
        if ids.shape[1] > 1:
            wanted = self._choose(hidden[:, :-1].float() @ self.weights[0].t(), 1)
            agrees = (wanted == ids[:, 1:]) & (np.arange(1, ids.shape[1]) < counts[:, None])
            agreed = agreed + np.cumprod(agrees, 1).sum(1) * agreed
        kept = torch.from_numpy(agreed).to(self.device)
        self.cache.keep(kept)
        last = hidden[torch.arange(len(ids), device=self.device), (kept - 1).clamp_min(0)]
        self.hidden = torch.where((kept > 0).unsqueeze(1), last, self.hidden)
        self.forwards += counts > 0
        for row in np.flatnonzero(agreed):
            self.accepted[row] += ids[row, : agreed[row]].tolist()
            if len(self.accepted[row]) >= self.max_bytes:
                self.active[row] = False
