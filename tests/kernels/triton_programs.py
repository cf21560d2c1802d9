"""What the tests of Triton's kernels run in processes of their own, since Triton reads its environment when imported.

TRITON_INTERPRET=1 python -m tests.kernels.triton_programs interpret    # the kernels' integers, on a CPU
python -m tests.kernels.triton_programs compile 90 …                    # floating-point instructions, for sm_90 …
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernels.byte_lm_config import ByteLMConfig
from kernels.exact_choice import WINDOW_BITS
from kernels.exact_fused import FusedRows
from kernels.exact_lm import ExactByteLM
from kernels.exact_steps import KvCache, Rows, Seen
from kernels.exact_triton import OPTIONS, OPTIONS_OF, TritonRows, kernels
from tests.kernels.exact_models import random_arrays
from tests.kernels.test_exact_lm import windows

SHAPES = [
    ByteLMConfig(layers=1, dim=24, heads=3, ffn_dim=35, attention_bytes=9),
    ByteLMConfig(layers=1, dim=272, heads=2, ffn_dim=30, attention_bytes=40),
]
"""Three heads, and heads of 136: no powers of two."""
CONSTANTS: dict[str, dict[str, int]] = {
    "embed": {"COLUMNS": 512, "BLOCK": 512},
    "add": {"COLUMNS": 512, "BLOCK": 512},
    "gate": {"COLUMNS": 1408, "BLOCK": 2048},
    "outputs": {"COLUMNS": 256, "BLOCK": 256},
    "cumulative": {"LEAST": 1, "BYTES": 256},
    "project": {"HEADS": 8, "HALF": 32, "HEAD_BLOCK": 8, "HALF_BLOCK": 32},
    "attend": {"HEADS": 8, "SIZE": 64, "HEAD_BLOCK": 8, "SIZE_BLOCK": 64, "BLOCK": 16},
    "windows": {"WIDTH": 1024, "FAR": 512, "HEADS": 8, "SIZE": 64, "SIZE_BLOCK": 64, "BLOCK": 64},
    "quantise": {"COLUMNS": 512, "BLOCK": 512},
}
"""Those of `40m`."""
TYPES = {
    "*i64": "inputs positions own places first count",
    "*fp32": "y attended embedding x scales scale row_scale sigmoid cos sin query_scales key_scales value_scales",
    "*i32": "sums out outputs exp2",
    "*i8": "levels queries keys values",
}


def interpret() -> None:
    """Compare TritonRows with the loops of a CPU, whose oracle is plain integers; an assertion where they differ."""
    for number, config in enumerate(SHAPES):
        arrays = random_arrays(config, number)
        cpu = torch.device("cpu")
        ways: list[Rows] = [FusedRows(config, arrays), TritonRows(config, arrays, cpu)]
        loops, triton = (ExactByteLM(config, arrays, rows=rows) for rows in ways)
        inputs = windows(2, 3, number)
        places = torch.arange(inputs.numel()).flip(0).view_as(inputs)
        expected, found = loops.forward(inputs), triton.forward(inputs)
        assert torch.equal(found, expected), config
        caches = [model.new_kv_cache(inputs.numel()) for model in (loops, triton)]
        for t in range(2):
            read = [
                model.forward_step(inputs[:, t], places[:, : t + 1], cache)
                for model, cache in zip((loops, triton), caches, strict=True)
            ]
            assert torch.equal(*read), (config, t)
        outputs = expected[0, :2].clone()
        outputs[0, 3:7], outputs[1] = -(1 << 30), 7
        for bits in WINDOW_BITS:
            pair = (model.cumulative_frequencies(outputs, bits) for model in (loops, triton))
            assert torch.equal(*pair), (config, bits)
        for seen in scattered(number), in_windows(2, 70, config.attention_bytes):
            queries, cache = drawn(config, len(seen.first), len(seen.places), number)
            for one, other in zip(*(each.attend(queries, cache, seen) for each in ways), strict=True):
                assert torch.equal(one, other), (config, seen.window)
    print(f"{len(SHAPES)} shapes as the loops")


def drawn(config: ByteLMConfig, rows: int, places: int, seed: int) -> tuple[tuple[Tensor, Tensor], KvCache]:
    """Queries of some rows and a cache of some places, of all sizes, largest levels together among them."""
    rng = np.random.default_rng(seed)

    def levels(n: int) -> tuple[Tensor, Tensor]:
        level = rng.integers(-127, 128, (n, config.heads, config.dim // config.heads))
        level[rng.random(n) < 0.2] = 127
        scale = 2.0 ** rng.uniform(-12, 0, (n, config.heads))
        return torch.from_numpy(level.astype(np.int8)), torch.from_numpy(scale.astype(np.float32))

    (keys, key_scales), (values, value_scales) = levels(places), levels(places)
    return levels(rows), KvCache(keys=keys, key_scales=key_scales, values=values, value_scales=value_scales)


def scattered(seed: int) -> Seen:
    """Rows that see 1, 16, 17 and 40 places, in no order: more than a program has at a time."""
    counts = torch.tensor([1, 16, 17, 40])
    places = torch.from_numpy(np.random.default_rng(seed).permutation(int(counts.sum())))
    return Seen(places=places, first=counts.cumsum(0) - counts, count=counts, most=40)


def in_windows(rows: int, width: int, most: int) -> Seen:
    """Rows of whole windows, as `ExactByteLM.forward` has them."""
    places = torch.arange(rows * width)
    count = (places % width + 1).clamp_max(most)
    return Seen(places=places, first=places + 1 - count, count=count, most=most, window=width)


def instructions(architecture: int) -> dict[str, list[str]]:
    """The floating-point instructions of each kernel, compiled for an NVIDIA GPU of that architecture."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    found = {}
    types = {name: kind for kind, names in TYPES.items() for name in names.split()}
    for name, kernel in kernels().items():
        constants: dict[str, Any] = CONSTANTS[name]
        signature = {each: "constexpr" if each in constants else types[each] for each in kernel.arg_names}
        values = {(kernel.arg_names.index(each),): value for each, value in constants.items()}
        source = ASTSource(kernel, signature=signature, constexprs=values)
        options = {**OPTIONS, **OPTIONS_OF.get(name, {})}
        compiled = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)
        text = compiled.asm["ptx"]
        every = re.findall(r"^\s*(?:@!?%p\d+\s+)?([a-z][\w.]*f(?:16|32|64)[\w.]*)\s", text, re.MULTILINE)
        found[name] = sorted(set(every)) + (["ftz"] if ".ftz" in text else [])
    return found


if __name__ == "__main__":
    if sys.argv[1] == "interpret":
        interpret()
    else:
        print(json.dumps({architecture: instructions(int(architecture)) for architecture in sys.argv[2:]}))
