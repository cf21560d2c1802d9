"""The steps between the products of the exact byte LM on a GPU, in the Triton kernels of `exact_triton_kernels`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernels.byte_lm_config import ByteLMConfig
from kernels.exact_rows import Tables
from kernels.exact_steps import KvCache, Seen
from kernels.window_coder import PRECISION_BITS

OPTIONS = {"enable_fp_fusion": False}
"""What every kernel is compiled with: a multiplication and an addition stay two."""
OPTIONS_OF = {"windows": {"num_stages": 1}}
"""And single kernels: Triton 3.7 cannot overlap the loads of this one with its products on sm_90, and fails."""
GATHERED = 1 << 13
"""Key or value elements that one program has at a time."""
MOST_POSITIONS = 64
"""Positions that one program has at a time; a fixed number, so that kernels are compiled once."""
WINDOW_ROWS = 64
"""Rows, and keys at a time, of one program where rows are windows."""
LEAST_PRODUCT = 32
"""Columns of the smallest product of int8 that tensor cores have."""


class TritonRows:
    """`exact_steps.Rows` on a GPU; on a CPU under Triton's interpreter, for tests. ImportError without Triton."""

    def __init__(self, config: ByteLMConfig, arrays: dict[str, np.ndarray], device: torch.device) -> None:
        self._kernels = kernels()
        self._tables = Tables.load(arrays, device)
        self._heads, self._size = config.heads, config.dim // config.heads
        weight, scale = (torch.from_numpy(arrays[f"embedding.{part}"]).to(device) for part in ("weight", "scale"))
        self._embedding = weight.to(torch.float32) * scale[:, None]

    def embed(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `exact_steps.Rows`."""
        dim = self._embedding.shape[1]
        x = torch.empty((len(inputs), dim), dtype=torch.float32, device=inputs.device)
        levels, scales = _quantised(x, dim)
        self._run("embed", len(x), inputs.contiguous(), self._embedding, x, levels, scales, **_columns(dim))
        return x, levels, scales

    def project(
        self, sums: Tensor, scale: Tensor, row_scale: Tensor, positions: Tensor, own: Tensor, cache: KvCache
    ) -> tuple[Tensor, Tensor]:
        """See `exact_steps.Rows`."""
        rows, half = len(sums), self._size // 2
        queries = torch.empty((rows, self._heads, self._size), dtype=torch.int8, device=sums.device)
        query_scales = torch.empty((rows, self._heads), dtype=torch.float32, device=sums.device)
        self._run(
            *("project", rows, sums.contiguous(), scale, row_scale, positions.contiguous(), own.contiguous()),
            *(self._tables.cos, self._tables.sin, queries, query_scales),
            *(cache.keys, cache.key_scales, cache.values, cache.value_scales),
            HEADS=self._heads,
            HALF=half,
            HEAD_BLOCK=_block(self._heads),
            HALF_BLOCK=_block(half),
        )
        return queries, query_scales

    def attend(self, queries: tuple[Tensor, Tensor], cache: KvCache, seen: Seen) -> tuple[Tensor, Tensor]:
        """See `exact_steps.Rows`."""
        if seen.window:
            return self._attend_windows(queries, cache, seen)
        levels, scales = _quantised(queries[0], self._heads * self._size)
        heads, size = _block(self._heads), _block(self._size)
        self._run(
            *("attend", len(levels), *queries, cache.keys, cache.key_scales, cache.values, cache.value_scales),
            *(seen.places.contiguous(), seen.first.contiguous(), seen.count.contiguous()),
            *(self._tables.exp2, levels, scales),
            HEADS=self._heads,
            SIZE=self._size,
            HEAD_BLOCK=heads,
            SIZE_BLOCK=size,
            BLOCK=max(1, min(MOST_POSITIONS, GATHERED // (heads * size))),
        )
        return levels, scales

    def _attend_windows(self, queries: tuple[Tensor, Tensor], cache: KvCache, seen: Seen) -> tuple[Tensor, Tensor]:
        """`attend` where rows are whole windows, whose places are in their order from 0 on."""
        rows, dim = len(queries[0]), self._heads * self._size
        attended = torch.empty((rows, dim), dtype=torch.float32, device=queries[0].device)
        levels, scales = _quantised(attended, dim)
        grid = (-(-seen.window // WINDOW_ROWS), self._heads, rows // seen.window)
        arrays = (*queries, cache.keys, cache.key_scales, cache.values, cache.value_scales, self._tables.exp2, attended)
        self._run(
            *("windows", grid, *arrays),
            WIDTH=seen.window,
            FAR=seen.most,
            HEADS=self._heads,
            SIZE=self._size,
            SIZE_BLOCK=max(LEAST_PRODUCT, _block(self._size)),
            BLOCK=WINDOW_ROWS,
        )
        self._run("quantise", rows, attended, levels, scales, **_columns(dim))
        return levels, scales

    def add(self, x: Tensor, sums: Tensor, scale: Tensor, row_scale: Tensor) -> tuple[Tensor, Tensor]:
        """See `exact_steps.Rows`."""
        levels, scales = _quantised(x, x.shape[1])
        self._run("add", len(x), x, sums.contiguous(), scale, row_scale, levels, scales, **_columns(x.shape[1]))
        return levels, scales

    def gate(self, sums: Tensor, scale: Tensor, row_scale: Tensor) -> tuple[Tensor, Tensor]:
        """See `exact_steps.Rows`."""
        columns = sums.shape[1] // 2
        levels, scales = _quantised(sums, columns)
        tables = self._tables.sigmoid
        self._run("gate", len(sums), sums.contiguous(), scale, row_scale, tables, levels, scales, **_columns(columns))
        return levels, scales

    def outputs(self, sums: Tensor, scale: Tensor, row_scale: Tensor) -> Tensor:
        """See `exact_steps.Rows`."""
        out = torch.empty(sums.shape, dtype=torch.int32, device=sums.device)
        self._run("outputs", len(sums), sums.contiguous(), scale, row_scale, out, **_columns(sums.shape[1]))
        return out

    def cumulative_frequencies(self, outputs: Tensor, window_bits: int) -> Tensor:
        """See `exact_steps.Rows`."""
        rows, symbols = outputs.shape
        out = torch.empty((rows, symbols + 1), dtype=torch.int32, device=outputs.device)
        least = 1 << (PRECISION_BITS - window_bits)
        self._run("cumulative", rows, outputs.contiguous(), self._tables.exp2, out, LEAST=least, BYTES=symbols)
        return out

    def _run(self, name: str, programs: int | tuple[int, ...], *arrays: object, **constants: int) -> None:
        """So many programs: one for each row, or a grid of them."""
        grid = (programs,) if isinstance(programs, int) else programs
        if all(grid):
            self._kernels[name][grid](*arrays, **constants, **OPTIONS, **OPTIONS_OF.get(name, {}))


def kernels() -> dict[str, Any]:
    """The kernels by their names; ImportError without Triton."""
    from kernels import exact_triton_attention, exact_triton_kernels, exact_triton_windows

    modules = (exact_triton_kernels, exact_triton_attention, exact_triton_windows)
    names = {name: part for part in modules for name in vars(part) if name.endswith("_kernel")}
    return {name.removesuffix("_kernel"): getattr(part, name) for name, part in names.items()}


def _quantised(like: Tensor, columns: int) -> tuple[Tensor, Tensor]:
    """Room for levels int8 [rows, columns] and for scales float32 [rows, 1]."""
    rows, device = len(like), like.device
    levels = torch.empty((rows, columns), dtype=torch.int8, device=device)
    return levels, torch.empty((rows, 1), dtype=torch.float32, device=device)


def _columns(columns: int) -> dict[str, int]:
    return {"COLUMNS": columns, "BLOCK": _block(columns)}


def _block(n: int) -> int:
    """The smallest power of two that is at least n."""
    return 1 << (n - 1).bit_length()
