"""The steps between the products of the exact byte LM on a CPU, in the fused loops of `exact_loops`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kernels import exact_loops as loops
from kernels.byte_lm_config import ByteLMConfig
from kernels.exact_rows import Tables
from kernels.exact_steps import KvCache, Seen
from kernels.window_coder import PRECISION_BITS


class FusedRows:
    """`exact_steps.Rows` on a CPU. Safe to share between threads."""

    def __init__(self, config: ByteLMConfig, arrays: dict[str, np.ndarray]) -> None:
        tables = Tables.load(arrays, torch.device("cpu"))
        self._heads = config.heads
        self._cos, self._sin = tables.cos.numpy(), tables.sin.numpy()
        self._sigmoid, self._exp2 = tables.sigmoid.numpy(), tables.exp2.numpy()
        self._embedding, self._embedding_scale = arrays["embedding.weight"], arrays["embedding.scale"]

    def embed(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `exact_steps.Rows`."""
        x = torch.empty((len(inputs), self._embedding.shape[1]), dtype=torch.float32)
        levels, scale = _quantised(*x.shape)
        loops.embed_rows(
            inputs.numpy(), self._embedding, self._embedding_scale, x.numpy(), levels.numpy(), scale.view(-1).numpy()
        )
        return x, levels, scale

    def project(
        self, sums: Tensor, scale: Tensor, row_scale: Tensor, positions: Tensor, own: Tensor, cache: KvCache
    ) -> tuple[Tensor, Tensor]:
        """See `exact_steps.Rows`."""
        rows = len(sums)
        queries = torch.empty((rows, self._heads, cache.keys.shape[-1]), dtype=torch.int8)
        query_scales = torch.empty((rows, self._heads), dtype=torch.float32)
        loops.project_rows(
            sums.numpy(),
            scale.numpy(),
            row_scale.view(-1).numpy(),
            positions.numpy(),
            np.ascontiguousarray(own.numpy()),
            self._cos,
            self._sin,
            queries.numpy(),
            query_scales.numpy(),
            cache.keys.numpy(),
            cache.key_scales.numpy(),
            cache.values.numpy(),
            cache.value_scales.numpy(),
        )
        return queries, query_scales

    def attend(self, queries: tuple[Tensor, Tensor], cache: KvCache, seen: Seen) -> tuple[Tensor, Tensor]:
        """See `exact_steps.Rows`."""
        levels, scale = _quantised(len(queries[0]), queries[0][0].numel())
        loops.attend_rows(
            queries[0].numpy(),
            queries[1].numpy(),
            cache.keys.numpy(),
            cache.key_scales.numpy(),
            cache.values.numpy(),
            cache.value_scales.numpy(),
            seen.places.numpy(),
            seen.first.numpy(),
            seen.count.numpy(),
            seen.most,
            self._exp2,
            levels.numpy(),
            scale.view(-1).numpy(),
        )
        return levels, scale

    def add(self, x: Tensor, sums: Tensor, scale: Tensor, row_scale: Tensor) -> tuple[Tensor, Tensor]:
        """See `exact_steps.Rows`."""
        levels, new_scale = _quantised(*x.shape)
        loops.add_rows(
            x.numpy(),
            sums.numpy(),
            scale.numpy(),
            row_scale.view(-1).numpy(),
            levels.numpy(),
            new_scale.view(-1).numpy(),
        )
        return levels, new_scale

    def gate(self, sums: Tensor, scale: Tensor, row_scale: Tensor) -> tuple[Tensor, Tensor]:
        """See `exact_steps.Rows`."""
        levels, new_scale = _quantised(len(sums), sums.shape[1] // 2)
        loops.gate_rows(
            sums.numpy(),
            scale.numpy(),
            row_scale.view(-1).numpy(),
            self._sigmoid,
            levels.numpy(),
            new_scale.view(-1).numpy(),
        )
        return levels, new_scale

    def outputs(self, sums: Tensor, scale: Tensor, row_scale: Tensor) -> Tensor:
        """See `exact_steps.Rows`."""
        out = torch.empty(sums.shape, dtype=torch.int32)
        loops.outputs_rows(sums.numpy(), scale.numpy(), row_scale.view(-1).numpy(), out.numpy())
        return out

    def cumulative_frequencies(self, outputs: Tensor, window_bits: int) -> Tensor:
        """See `exact_steps.Rows`."""
        out = torch.empty((len(outputs), outputs.shape[1] + 1), dtype=torch.int32)
        loops.cumulative_rows(outputs.numpy(), self._exp2, 1 << (PRECISION_BITS - window_bits), out.numpy())
        return out


def _quantised(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Room for levels int8 [rows, columns] and for scales float32 [rows, 1]."""
    return torch.empty((rows, columns), dtype=torch.int8), torch.empty((rows, 1), dtype=torch.float32)
