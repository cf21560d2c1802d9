"""What is remembered between forward passes: the open window's keys and values, and summaries of all before it.

Per layer one buffer of slots, [ … chunk 1, chunk 0 | window position 0 … | waste ]. Chunks are stored backwards, so
that those in use and the open window are one slice. Rows may have read different lengths, since padding is never read.
Both parts grow by doubling; when a row's window is full, its W positions become W / C summaries.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Cache

SMALLEST = 64
"""Slots that a part begins with, unless a window has fewer."""


def summarise(k: Tensor, v: Tensor, mu: Tensor, phi: Tensor, chunk: int) -> tuple[Tensor, Tensor]:
    """Summary keys and values [batch, heads, T / chunk, head size] of whole chunks of k and v [batch, heads, T, …].

    A summary key is the average of the chunk's keys under softmax(μ·k), a summary value that of its values under
    softmax(s(φ·k − |k|²/2)), s = head size^−½; in fp32. mu, phi: [1, heads, 1, 1, head size].
    """
    keys, values = k.unflatten(2, (-1, chunk)).float(), v.unflatten(2, (-1, chunk)).float()
    to_key = (keys * mu.float()).sum(-1)
    to_value = k.shape[-1] ** -0.5 * ((keys * phi.float()).sum(-1) - keys.square().sum(-1) / 2)
    summary_key = (to_key.softmax(-1).unsqueeze(-1) * keys).sum(-2)
    summary_value = (to_value.softmax(-1).unsqueeze(-1) * values).sum(-2)
    return summary_key.to(k.dtype), summary_value.to(v.dtype)


@dataclass
class _Layer:
    """The slots of one layer: keys and values [2, batch, heads, far + near + 1, head size]."""

    slots: Tensor
    far: int
    near: int


@dataclass
class _Step:
    """What all layers share in one forward pass."""

    slots: Tensor
    """Where each symbol's key and value go, int64 [batch, n]; the waste slot for those that are not meant."""
    seen: slice
    """The slots in use."""
    mask: Tensor
    """Which of them each symbol sees, bool [batch, 1, n, slots in use]."""
    full: Tensor
    """Rows whose window is full and becomes summaries first."""
    chunks: Tensor
    """The slots of these summaries, int64 [rows, W / C]."""


class EvaByteCache(Cache):
    """The past of a batch. A new one has read nothing; `forward` makes one when it is told to use a cache.

    It is a Cache by name, which some releases ask for, and has nothing of theirs: they hold all keys and values.
    """

    is_compileable = False
    is_croppable = False
    is_linear = (False,)

    def __init__(self, *, layers: int, window: int, chunk: int, rows: int, device: torch.device) -> None:
        """layers: of the model. window, chunk: positions. rows: texts side by side."""
        self.window, self.chunk, self.rows, self.device = window, chunk, rows, device
        self.columns = 0
        """Columns of input_ids read so far, padding included: what transformers calls the length of a cache."""
        self.lengths = torch.zeros(rows, dtype=torch.int64, device=device)
        """Symbols read, int64 [batch]."""
        self.closed = torch.zeros(rows, dtype=torch.int64, device=device)
        """Symbols before the open window, a multiple of the window, int64 [batch]."""
        self.far, self.near = 0, min(SMALLEST, window)
        self.held: list[_Layer | None] = [None] * layers
        self.step: _Step | None = None

    def __repr__(self) -> str:
        return f"EvaByteCache({self.rows} rows, {self.columns} columns)"

    def __len__(self) -> int:
        return len(self.held)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Columns of input_ids read so far, padding included."""
        return self.columns

    def get_max_cache_shape(self, layer_idx: int = 0) -> int:
        """-1: there is no limit."""
        return -1

    def crop(self, max_length: int) -> None:
        """Refused: a full window is kept as summaries only."""
        raise ValueError("an EvaByte cache cannot forget symbols; multi_byte_generate speculates without that")

    def room(self) -> Tensor:
        """How many symbols each row can read in one step, 1 … W: no step crosses a window's end."""
        return self.window - (self.lengths - self.closed) % self.window

    def begin(self, counts: Tensor, steps: int) -> Tensor:
        """Prepare a step of `steps` columns, the first counts [batch] of a row meant; their positions [batch, steps].

        counts must not exceed `room`. Nothing is remembered until `keep`.
        """
        full = (self.lengths - self.closed == self.window).nonzero().flatten()
        before = self.closed[full]
        self.closed[full] += self.window
        filled, most = self.lengths - self.closed, int(self.closed.max()) // self.chunk
        high = int(filled.max()) + steps
        while self.far < most:
            self.far = max(SMALLEST, 2 * self.far)
        while self.near < min(high, self.window):
            self.near = min(2 * self.near, self.window)
        columns = torch.arange(steps, device=self.device)
        places = filled.unsqueeze(1) + columns
        waste = self.far + self.near
        seen = slice(self.far - most, min(self.far + high, waste))
        slot = torch.arange(seen.start, seen.stop, device=self.device)
        near = (slot >= self.far) & (slot - self.far <= places.unsqueeze(-1))
        far = (slot < self.far) & (self.far - 1 - slot < (self.closed // self.chunk)[:, None, None])
        in_window = torch.arange(self.window // self.chunk, device=self.device)
        self.step = _Step(
            slots=torch.where(columns < counts.unsqueeze(1), self.far + places, waste),
            seen=seen,
            mask=(near | far).unsqueeze(1),
            full=full,
            chunks=self.far - 1 - (before.unsqueeze(1) // self.chunk + in_window),
        )
        return self.lengths.unsqueeze(1) + columns

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, mu: Tensor, phi: Tensor) -> Tensor:
        """Attention of one layer in this step, [batch, heads, n, head size] as q, k and v."""
        step, device = self.step, k.device
        assert step is not None
        held = self._held(layer, k)
        keys, values = held.slots
        if len(step.full):
            full = step.full.to(device)
            k_full, v_full = held.slots[:, full, :, self.far : self.far + self.window]
            summaries = summarise(k_full, v_full, mu, phi, self.chunk)
            for cached, summary in zip((keys, values), summaries, strict=True):
                cached[full.unsqueeze(1), :, step.chunks.to(device)] = summary.transpose(1, 2)
        rows = torch.arange(len(k), device=device).unsqueeze(1)
        slots = step.slots.to(device)
        keys[rows, :, slots] = k.transpose(1, 2)
        values[rows, :, slots] = v.transpose(1, 2)
        return F.scaled_dot_product_attention(
            q, keys[:, :, step.seen], values[:, :, step.seen], attn_mask=step.mask.to(device)
        )

    def keep(self, counts: Tensor) -> None:
        """Remember the first counts [batch] symbols of this step; the others never were."""
        self.lengths = self.lengths + counts

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Make row i what row beam_idx[i] was, as beam search asks."""
        self.batch_select_indices(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the rows `indices`, in their order."""
        self.lengths, self.closed = self.lengths[indices], self.closed[indices]
        self.rows = len(self.lengths)
        for held in self.held:
            if held is not None:
                held.slots = held.slots.index_select(1, indices.to(held.slots.device))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Every row `repeats` times, one after another."""
        self.batch_select_indices(torch.arange(self.rows, device=self.device).repeat_interleave(repeats))

    def _held(self, layer: int, like: Tensor) -> _Layer:
        """The layer's slots, at least as many as this step needs."""
        held = self.held[layer]
        if held is None or (held.far, held.near) != (self.far, self.near):
            rows, heads, _, size = like.shape
            slots = like.new_zeros(2, rows, heads, self.far + self.near + 1, size)
            if held is not None:
                slots[:, :, :, self.far - held.far : self.far + held.near] = held.slots[:, :, :, :-1]
            held = self.held[layer] = _Layer(slots, self.far, self.near)
        return held
