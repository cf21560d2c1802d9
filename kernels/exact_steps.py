"""What happens between the products of the exact byte LM: the interface, and the definition behind it on any device.

`exact_rows` says what each step computes. Here the steps meet the cache of keys and values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from kernels import exact_rows
from kernels.byte_lm_config import ByteLMConfig

MAX_GATHERED = 1 << 24
"""Key or value elements that `TorchRows` gathers at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KvCache:
    """Keys and values of prefixes: int8 [layers, places, heads, head size], scales float32 [layers, places, heads]."""

    keys: Tensor
    key_scales: Tensor
    values: Tensor
    value_scales: Tensor

    def layer(self, number: int) -> KvCache:
        """That layer's part."""
        return KvCache(
            keys=self.keys[number],
            key_scales=self.key_scales[number],
            values=self.values[number],
            value_scales=self.value_scales[number],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """The places in a cache that each row attends to: places[first[i] : first[i] + count[i]]."""

    places: Tensor
    """int64 [n]"""
    first: Tensor
    """int64 [rows]"""
    count: Tensor
    """int64 [rows], at least 1."""
    most: int
    """No count is larger."""
    window: int = 0
    """Where not 0, rows are whole windows of so many, their places are 0, 1, … in this order, and row i of a window
    sees up to `most` of its window's places, the i-th the last."""


class Rows(Protocol):
    """What happens between the products, for x float32 [rows, dim]; `exact_rows` says what each step computes."""

    def embed(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x of inputs int64 [rows], and its normalised levels int8 and scales."""
        ...

    def project(
        self, sums: Tensor, scale: Tensor, row_scale: Tensor, positions: Tensor, own: Tensor, cache: KvCache
    ) -> tuple[Tensor, Tensor]:
        """Queries and their scales; keys and values go to the cache's places `own`, int64 [rows]."""
        ...

    def attend(self, queries: tuple[Tensor, Tensor], cache: KvCache, seen: Seen) -> tuple[Tensor, Tensor]:
        """What the rows attend to, quantised: levels int8 [rows, dim] and scales float32 [rows, 1]."""
        ...

    def add(self, x: Tensor, sums: Tensor, scale: Tensor, row_scale: Tensor) -> tuple[Tensor, Tensor]:
        """Add a product to x, in place; returns the new x's normalised levels and scales."""
        ...

    def gate(self, sums: Tensor, scale: Tensor, row_scale: Tensor) -> tuple[Tensor, Tensor]:
        """The gated unit, quantised: levels int8 [rows, ffn_dim] and scales."""
        ...

    def outputs(self, sums: Tensor, scale: Tensor, row_scale: Tensor) -> Tensor:
        """int32 [rows, 256]."""
        ...

    def cumulative_frequencies(self, outputs: Tensor, window_bits: int) -> Tensor:
        """int32 [rows, 257] of outputs int32 [rows, 256]."""
        ...


class TorchRows:
    """`Rows` as `exact_rows` defines them, in plain torch on any device."""

    def __init__(self, config: ByteLMConfig, arrays: dict[str, np.ndarray], device: torch.device) -> None:
        self._heads = config.heads
        self._tables = exact_rows.Tables.load(arrays, device)
        weight, scale = (torch.from_numpy(arrays[f"embedding.{part}"]).to(device) for part in ("weight", "scale"))
        self._embedding = weight.to(torch.float32) * scale[:, None]

    def embed(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Rows`."""
        x = self._embedding[inputs]
        return x, *exact_rows.normalise(x)

    def project(
        self, sums: Tensor, scale: Tensor, row_scale: Tensor, positions: Tensor, own: Tensor, cache: KvCache
    ) -> tuple[Tensor, Tensor]:
        """See `Rows`."""
        query, key, value = exact_rows.project(sums, scale, row_scale, positions, self._heads, self._tables)
        for array, part in zip(
            (cache.keys, cache.key_scales, cache.values, cache.value_scales), (*key, *value), strict=True
        ):
            array.index_copy_(0, own, part)
        return query

    def attend(self, queries: tuple[Tensor, Tensor], cache: KvCache, seen: Seen) -> tuple[Tensor, Tensor]:
        """See `Rows`."""
        levels, scales = queries
        at_once = max(1, MAX_GATHERED // (seen.most * levels[0].numel()))
        parts = [
            self._attended((levels[begin : begin + at_once], scales[begin : begin + at_once]), cache, seen, begin)
            for begin in range(0, len(levels), at_once)
        ]
        return exact_rows.quantise(torch.cat(parts))

    def _attended(self, queries: tuple[Tensor, Tensor], cache: KvCache, seen: Seen, begin: int) -> Tensor:
        """`exact_rows.attend` of the rows from `begin` on."""
        first, count = (column[begin : begin + len(queries[0]), None] for column in (seen.first, seen.count))
        step = torch.arange(seen.most, device=first.device)
        is_seen = step < count
        places = seen.places[torch.where(is_seen, first + step, first)]
        key, value = (
            (levels[places], scales[places])
            for levels, scales in ((cache.keys, cache.key_scales), (cache.values, cache.value_scales))
        )
        return exact_rows.attend(queries, key, value, is_seen, self._tables)

    def add(self, x: Tensor, sums: Tensor, scale: Tensor, row_scale: Tensor) -> tuple[Tensor, Tensor]:
        """See `Rows`."""
        x += exact_rows.scaled(sums, scale, row_scale)
        return exact_rows.normalise(x)

    def gate(self, sums: Tensor, scale: Tensor, row_scale: Tensor) -> tuple[Tensor, Tensor]:
        """See `Rows`."""
        return exact_rows.quantise(exact_rows.gated(sums, scale, row_scale, self._tables))

    def outputs(self, sums: Tensor, scale: Tensor, row_scale: Tensor) -> Tensor:
        """See `Rows`."""
        return exact_rows.to_outputs(sums, scale, row_scale)

    def cumulative_frequencies(self, outputs: Tensor, window_bits: int) -> Tensor:
        """See `Rows`."""
        return exact_rows.cumulative_frequencies(outputs, window_bits, self._tables)
