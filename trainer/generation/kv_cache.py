"""What generation remembers between forwards: the open window's keys and values, and summaries of all before it.

Per layer and row, one buffer of slots: [ … chunk 1, chunk 0 | window position 0 … W − 1 | waste ]. Chunks are stored
backwards so that those in use and the open window are one slice; a softmax does not mind the order. Rows may have read
different lengths. When a row's window is full, its W positions become W / C summaries.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.eva import summarise
from schemas.errors import SettingsError
from trainer.model.evabyte import EvaByte, rotation
from trainer.model.memory import memory_bytes


class KVCache:
    """Incremental forward passes of `rows` texts of at most `capacity` positions each."""

    def __init__(self, model: EvaByte, rows: int, capacity: int) -> None:
        config, weight = model.config, model.embedding.weight
        self.model, self.config, self.device = model, config, weight.device
        self.attention_window, self.chunk = config.attention_window, config.chunk
        self.lengths = torch.zeros(rows, dtype=torch.int64, device=self.device)
        """Positions read, int64 [batch]. Those of the open window are the last 1 … W of them."""
        self.far = capacity // self.attention_window * (self.attention_window // self.chunk)
        slots = self.far + min(self.attention_window, capacity) + 1
        shape = (config.layers, 2, rows, config.heads, slots, config.head_dim)
        needed, there = math.prod(shape) * weight.element_size(), memory_bytes(self.device)
        if needed > there:
            raise SettingsError(
                f"{rows} texts of up to {capacity} ids at once need a cache of {needed / 1e9:.1f} GB, this device has "
                f"{there / 1e9:.1f}; take fewer texts at once, or fewer bytes"
            )
        self.cache = torch.zeros(shape, dtype=weight.dtype, device=self.device)
        self.closed = torch.zeros(rows, dtype=torch.int64, device=self.device)
        """Positions before the open window: a multiple of W, int64 [batch]."""

    def narrow(self, first: int, rows: int) -> KVCache:
        """Some of the rows, over the same memory: what is read through it is read by these rows."""
        part = copy.copy(self)
        part.cache = self.cache[:, :, first : first + rows]
        part.lengths, part.closed = self.lengths[first : first + rows], self.closed[first : first + rows]
        return part

    def move(self, source: int, target: int) -> None:
        """Let one row know what another one does."""
        self.cache[:, :, target] = self.cache[:, :, source]
        self.lengths[target], self.closed[target] = self.lengths[source], self.closed[source]

    def clear(self) -> None:
        """Forget all that the rows have read."""
        self.lengths.zero_()
        self.closed.zero_()

    def room(self) -> Tensor:
        """How many symbols each row can read in one `forward`, 1 … W: no forward crosses a window's end."""
        return self.attention_window - (self.lengths - self.closed) % self.attention_window

    def read(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """Feed each row its text, a window at a time; the hidden state [batch, dim] of every text's last symbol."""
        lengths = torch.tensor([len(text) for text in texts])
        padded = torch.zeros(len(texts), int(lengths.max()), dtype=torch.int64)
        for row, text in enumerate(texts):
            padded[row, : len(text)] = torch.tensor(text)
        rows = torch.arange(len(texts), device=self.device)
        last = torch.zeros(len(texts), self.config.dim, dtype=self.cache.dtype, device=self.device)
        for first in range(0, padded.shape[1], self.attention_window):
            ids = padded[:, first : first + self.attention_window].to(self.device)
            counts = (lengths - first).clamp(0, ids.shape[1]).to(self.device)
            hidden = self.forward(ids, counts)
            self.keep(counts)
            last = torch.where((counts > 0).unsqueeze(1), hidden[rows, (counts - 1).clamp_min(0)], last)
        return last

    def forward(self, ids: Tensor, counts: Tensor) -> Tensor:
        """Hidden states [batch, n, dim] of ids int64 [batch, n], of which the first counts [batch] of a row are meant.

        counts must not exceed `room`. Nothing is remembered until `keep`.
        """
        self._close_full_windows()
        filled = self.lengths - self.closed
        steps = torch.arange(ids.shape[1], device=self.device)
        places = filled.unsqueeze(1) + steps
        cos, sin = rotation(self.lengths.unsqueeze(1) + steps, self.config)
        meant = steps < counts.unsqueeze(1)
        last = self.cache.shape[4] - 1
        slots = torch.where(meant, self.far + places, last)
        first = self.far - int(self.closed.max()) // self.chunk
        stop = min(self.far + int(filled.max()) + ids.shape[1], last)
        mask = self._mask(places, first, stop)
        rows = torch.arange(len(ids), device=self.device).unsqueeze(1)
        x = self.model.embedding(ids)
        for block, (keys, values) in zip(self.model.each_block(), self.cache, strict=True):
            q, k, v = block.project(x, cos, sin)
            keys[rows, :, slots] = k.transpose(1, 2)
            values[rows, :, slots] = v.transpose(1, 2)
            attended = F.scaled_dot_product_attention(
                q, keys[:, :, first:stop], values[:, :, first:stop], attn_mask=mask
            )
            x = block.finish(x, attended)
        return self.model.norm(x)

    def keep(self, counts: Tensor) -> None:
        """Remember the first counts [batch] symbols of the last `forward`; the others never were."""
        self.lengths += counts

    def _mask(self, places: Tensor, first: int, stop: int) -> Tensor:
        """Which slots each position sees: bool [batch, 1, n, slots of the slice]."""
        slot = torch.arange(first, stop, device=self.device)
        near = (slot >= self.far) & (slot - self.far <= places.unsqueeze(-1))
        far = (slot < self.far) & (self.far - 1 - slot < (self.closed // self.chunk)[:, None, None])
        return (near | far).unsqueeze(1)

    def _close_full_windows(self) -> None:
        full = (self.lengths - self.closed == self.attention_window).nonzero().flatten()
        if not len(full):
            return
        chunks = torch.arange(self.attention_window // self.chunk, device=self.device)
        slots = self.far - 1 - (self.closed[full, None] // self.chunk + chunks)
        for block, layer in zip(self.model.each_block(), self.cache, strict=True):
            k, v = layer[:, full, :, self.far : self.far + self.attention_window]
            summaries = summarise(k, v, block.mu, block.phi, chunk=self.chunk)
            for cached, summary in zip(layer, summaries, strict=True):
                cached[full.unsqueeze(1), :, slots] = summary.transpose(1, 2)
        self.closed[full] += self.attention_window
