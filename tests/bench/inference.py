"""Prefixes per second of the exact byte LM beside the floating-point one that it comes from, one core, one run.

    python -m tests.bench inference
    ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 python -m tests.bench inference

The two take turns read by read, and core-seconds are counted, so that other work on the machine decides little.
"""

from __future__ import annotations

import statistics
import time
from functools import partial

import torch

from kernels.byte_lm import ByteLM
from kernels.byte_lm_config import PRESETS
from kernels.byte_model import ByteModel
from kernels.exact_lm import ExactByteLM
from kernels.exact_products import PRODUCTS
from kernels.exact_quantise import quantise_byte_lm

ROWS = 512
DEPTHS = (1, 6, 12)
REPEATS = 9


def main() -> None:
    """Print prefixes per second of reads of `ROWS` prefixes at some depths, and the ratios with their spread."""
    torch.set_num_threads(1)
    print(f"{torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}, one thread")
    with torch.inference_mode():
        for name, config in PRESETS.items():
            model = ByteLM(config)
            model.initialise(0)
            arrays = quantise_byte_lm(config, {key: weight.numpy() for key, weight in model.state_dict().items()})
            exact = {product: ExactByteLM(config, arrays, product=product) for product in PRODUCTS}
            own = ExactByteLM(config, arrays).product_name
            for depth in DEPTHS:
                read = {"float32 model": reader(model.eval(), depth)}
                read |= {f"exact, {product}": reader(each, depth) for product, each in exact.items()}
                for line in compared(read):
                    print(f"{name:5} depth {depth:2}: {line}")
            print(f"{name:5} takes {own} products here")


def reader(model: ByteModel, depth: int) -> partial[object]:
    """A read of `ROWS` prefixes of `depth` bytes, with the frequencies that a coder asks for."""
    kv_cache = model.new_kv_cache(ROWS * (depth + 1))
    places = torch.arange(ROWS * (depth + 1)).view(depth + 1, ROWS).T.contiguous()
    inputs = torch.arange(ROWS) % 256
    for t in range(depth):
        model.forward_step(inputs, places[:, : t + 1], kv_cache)

    def read() -> object:
        return model.cumulative_frequencies(model.forward_step(inputs, places, kv_cache), 16)

    return partial(read)


def compared(read: dict[str, partial[object]]) -> list[str]:
    """Rates of some reads that take turns, and the ratio of each to the first, with half the range of the ratios."""
    times: dict[str, list[float]] = {name: [] for name in read}
    for number in range(REPEATS + 1):
        for name, work in read.items():
            begin = time.process_time()
            work()
            if number:
                times[name].append(time.process_time() - begin)
    first, lines = times[next(iter(read))], []
    for name, own in times.items():
        ratios = [a / b for a, b in zip(first, own, strict=True)]
        spread = (max(ratios) - min(ratios)) / 2
        rate = ROWS / statistics.median(own)
        lines.append(f"{name:14} {rate:9,.0f} prefixes/s, {statistics.median(ratios):.2f} ± {spread:.2f} of the first")
    return lines


if __name__ == "__main__":
    main()
