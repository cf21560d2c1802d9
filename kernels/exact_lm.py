"""The exact byte LM: codes that are the same integers on every machine.

A byte LM of `kernels.byte_lm`, trained in floating point, with quantised weights (`exact_quantise.py`) and arithmetic
that no machine can round otherwise (`exact_rows.py`). It is what codes, decodes and scores; the floating-point model
only trains.

    byte ─ embedding ─ x ─┬─ normalise ─ QKV ── project ──► keys, values in the cache
                          │                        └ queries ─ attend ─ quantise ─ OUT ─┐
                          +◄────────────────────────────────────────────────────────────┘
                          ├─ normalise ─ GATE, UP ─ gated ─ quantise ─ DOWN ─┐       capitals: products of integers
                          +◄─────────────────────────────────────────────────┘
                          └─ … ─ normalise ─ HEAD ─ outputs: log2 of the next byte's weights in 1/256 bit, int32

What is computed does not depend on how: products run on any unit (`exact_products.py`), and the steps between them by
the definition in torch (`exact_steps.TorchRows`), on a CPU in fused loops (`exact_fused.FusedRows`), on a GPU in
Triton's kernels (`exact_triton.TritonRows`) where these prove themselves (`exact_choice.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kernels import exact_rows
from kernels.byte_lm_config import ByteLMConfig
from kernels.exact_choice import WINDOW_BITS, WINDOW_BYTES, fast_rows
from kernels.exact_products import PRODUCTS, Product, fast_product
from kernels.exact_quantise import check_arrays
from kernels.exact_steps import KvCache, Rows, Seen

ROWS_AT_ONCE = {"cpu": 512, "cuda": 16_384}
"""Positions that windows are read by, by device type."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Matrix:
    """A quantised matrix: weight int8 [outputs, inputs], scale float32 [outputs]."""

    weight: Tensor
    scale: Tensor


class ExactByteLM:
    """A `kernels.byte_model.ByteModel` whose outputs are integers, the same ones on every machine."""

    def __init__(
        self,
        config: ByteLMConfig,
        arrays: dict[str, np.ndarray],
        *,
        device: str = "cpu",
        product: str = "",
        rows: Rows | None = None,
    ) -> None:
        """arrays: of `exact_quantise.quantise_byte_lm`, ValueError for others.

        product: a name of `PRODUCTS`; rows: what computes the rest. By default both are the fastest ones here; neither
        changes any output.
        """
        check_arrays(config, arrays)
        self.config, self.arrays, self.device = config, arrays, torch.device(device)
        self._tables = exact_rows.Tables.load(arrays, self.device)
        self._matrices = {
            name.removesuffix(".weight"): _Matrix(
                weight=torch.from_numpy(array).to(self.device),
                scale=torch.from_numpy(arrays[f"{name.removesuffix('.weight')}.scale"]).to(self.device),
            )
            for name, array in arrays.items()
            if name.endswith(".weight")
        }
        self.product_name = product or fast_product((config.dim, config.ffn_dim), self.device)
        self._product: Product = PRODUCTS[self.product_name]
        self.slower_because = ""
        """One line that says why the steps between products are slower than they should be here; mostly empty."""
        if rows is None:
            rows, self.slower_because = fast_rows(config, arrays, self.device, self._trace)
        self._rows: Rows = rows

    @property
    def steps_name(self) -> str:
        """What computes the steps between products: FusedRows, TritonRows or TorchRows."""
        return type(self._rows).__name__

    @property
    def batch_invariant(self) -> bool:
        """True: outputs are functions of a prefix alone."""
        return True

    @property
    def kv_bytes_per_prefix(self) -> int:
        """Bytes of a kv cache for each prefix."""
        return 2 * self.config.layers * (self.config.dim + 4 * self.config.heads)

    def new_kv_cache(self, prefixes: int) -> KvCache:
        """A cache with places 0 … prefixes - 1, whose contents are undefined."""
        config = self.config
        scales = (config.layers, prefixes, config.heads)
        levels = (*scales, config.dim // config.heads)
        return KvCache(
            keys=torch.empty(levels, dtype=torch.int8, device=self.device),
            key_scales=torch.empty(scales, dtype=torch.float32, device=self.device),
            values=torch.empty(levels, dtype=torch.int8, device=self.device),
            value_scales=torch.empty(scales, dtype=torch.float32, device=self.device),
        )

    def forward_step(self, inputs: Tensor, ancestors: Tensor, kv_cache: KvCache) -> Tensor:
        """Outputs int32 [rows, 256] about the byte after each of `rows` prefixes, all of the same length t.

        inputs: int64 [rows], the last byte of each prefix, START for the empty one. ancestors: int64 [rows, t + 1],
        places in the cache of each prefix's own prefixes by length, its own place last; there this call writes its
        keys and values.
        """
        rows, width = ancestors.shape
        self._check_positions(width)
        count = min(width, self.config.attention_bytes)
        ends = torch.arange(1, rows + 1, device=self.device) * width
        seen = Seen(places=ancestors.flatten(), first=ends - count, count=torch.full_like(ends, count), most=count)
        own = ancestors[:, -1].contiguous()
        return self._outputs(inputs, torch.full_like(ends, width - 1), own, seen, kv_cache)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs int32 [rows, positions, 256] for inputs int64 [rows, positions], each row a window."""
        rows, width = inputs.shape
        self._check_positions(width)
        at_once = max(1, ROWS_AT_ONCE[self.device.type] // width)
        places = torch.arange(min(rows, at_once) * width, device=self.device)
        position = places % width
        count = (position + 1).clamp_max(self.config.attention_bytes)
        cache = self.new_kv_cache(len(places))
        parts = []
        for begin in range(0, rows, at_once):
            flat = inputs[begin : begin + at_once].flatten()
            n = len(flat)
            seen = Seen(
                places=places,
                first=(places + 1 - count)[:n],
                count=count[:n],
                most=min(width, self.config.attention_bytes),
                window=width,
            )
            parts.append(self._outputs(flat, position[:n], places[:n], seen, cache))
        return torch.cat(parts).view(rows, width, 256)

    @torch.inference_mode()
    def _trace(self, steps: Rows, inputs: Tensor) -> list[Tensor]:
        """What `steps` make of bytes int64 [rows, positions]: read one by one, in windows, and with bytes forbidden."""
        self._rows = steps
        rows, positions = inputs.shape
        places = torch.arange(rows * positions, device=self.device).view(positions, rows).T.contiguous()
        cache = self.new_kv_cache(rows * positions)
        found = [self.forward_step(inputs[:, t], places[:, : t + 1], cache) for t in range(positions)]
        masked = self.mask(found[-1], found[-1] % 3 == 0)
        found += [self.cumulative_frequencies(each, bits) for each in (found[-1], masked) for bits in WINDOW_BITS]
        windows = self.forward(inputs.reshape(-1, WINDOW_BYTES))
        return [*found, windows, cache.keys, cache.key_scales, cache.values, cache.value_scales]

    def _check_positions(self, positions: int) -> None:
        if positions > len(self._tables.cos):
            raise ValueError(f"a text of {positions} bytes, this byte LM has positions for {len(self._tables.cos)}")

    def mask(self, outputs: Tensor, forbidden: Tensor) -> Tensor:
        """Outputs int32 [rows, 256] under which bytes where forbidden, bool [rows, 256], have the smallest frequency.

        Where every byte is forbidden, all are alike.
        """
        return outputs.masked_fill(forbidden, exact_rows.FORBIDDEN)

    def cumulative_frequencies(self, outputs: Tensor, window_bits: int) -> Tensor:
        """Cumulative frequencies int32 [rows, 257], 0 to 2^16, of outputs [rows, 256]; each is ≥ 2^(16 - W)."""
        return self._rows.cumulative_frequencies(outputs, window_bits)

    def entropies_bits(self, outputs: Tensor) -> Tensor:
        """H = -Σ p log2 p, float32 [rows], in bits, of outputs [rows, 256]."""
        return exact_rows.entropies_bits(outputs, self._tables)

    def surprisals_bits(self, outputs: Tensor, symbols: Tensor) -> Tensor:
        """-log2 p, float64 [rows], in bits, of bytes int64 [rows], of outputs [rows, 256]."""
        return exact_rows.surprisals_bits(outputs, symbols, self._tables)

    def _outputs(self, inputs: Tensor, positions: Tensor, own: Tensor, seen: Seen, kv_cache: KvCache) -> Tensor:
        """Outputs int32 [n, 256] of n rows at `positions`, int64 [n], whose keys and values go to the places `own`."""
        rows, matrices, product = self._rows, self._matrices, self._product
        x, levels, scale = rows.embed(inputs)
        for number in range(self.config.layers):
            cache = kv_cache.layer(number)
            qkv, out, gate_up, down = (
                matrices[f"blocks.{number}.{name}"] for name in ("qkv", "out", "gate_up", "down")
            )
            queries = rows.project(product(levels, qkv.weight), qkv.scale, scale, positions, own, cache)
            levels, scale = rows.attend(queries, cache, seen)
            levels, scale = rows.add(x, product(levels, out.weight), out.scale, scale)
            levels, scale = rows.gate(product(levels, gate_up.weight), gate_up.scale, scale)
            levels, scale = rows.add(x, product(levels, down.weight), down.scale, scale)
        head = matrices["head"]
        return rows.outputs(product(levels, head.weight), head.scale, scale)
