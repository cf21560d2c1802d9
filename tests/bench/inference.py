"""The byte LM's reads on full shapes beside the matrix rate of the same dtype and thread count, one core."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F

from kernels.byte_lm import ByteLM
from kernels.byte_lm_config import PRESETS
from tests.bench.common import seconds

ROWS = 512
DEPTHS = (1, 6, 12)


def main() -> None:
    """Print GFLOP/s of reads of `ROWS` prefixes at some depths, and their share of a large product's."""
    torch.set_num_threads(1)
    with torch.inference_mode():
        left, right = torch.randn(2048, 2048), torch.randn(2048, 2048)
        taken, spread = seconds(lambda: F.linear(left, right))
        peak = 2 * 2048**3 / taken / 1e9
        print(f"matrix product 2048^3, float32, 1 thread: {peak:.1f} GFLOP/s {spread}")
        for name, config in PRESETS.items():
            model = ByteLM(config)
            model.initialise(0)
            model.eval()
            for depth in DEPTHS:
                kv_cache = model.new_kv_cache(ROWS * (depth + 1))
                ancestors = torch.arange(ROWS * (depth + 1)).view(depth + 1, ROWS).T.contiguous()
                inputs = torch.arange(ROWS) % 256
                taken, spread = seconds(partial(model.forward_step, inputs, ancestors, kv_cache))
                rate = ROWS * config.matmul_flop_per_byte / taken / 1e9
                print(
                    f"{name:5} depth {depth:2}: {ROWS / taken:9,.0f} prefixes/s, "
                    f"{rate:6.1f} GFLOP/s {spread}, {rate / peak:.0%} of the product's"
                )


if __name__ == "__main__":
    main()
