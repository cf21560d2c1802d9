"""What the exact byte LM takes for granted of a machine, and its frequencies and entropies."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernels import exact_rows
from kernels.exact_products import PRODUCTS, is_exact
from tests.kernels.exact_models import micro_exact
from tests.kernels.exact_oracle import cumulative_frequencies, root, rounded

MODEL = micro_exact()
NEEDS_CUDA = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
DEVICES = ["cpu", pytest.param("cuda", marks=NEEDS_CUDA)]

floats = st.floats(2.0**-20, 2.0**20, width=32) | st.sampled_from([1.0, 127.0, 0.5, 3.0])


def fraction(x: torch.Tensor) -> list[Fraction]:
    return [Fraction(v) for v in x.tolist()]


@pytest.mark.parametrize("device", DEVICES)
@given(st.lists(st.tuples(floats, floats), min_size=1, max_size=40))
def test_torch_rounds_once(device: str, pairs: list[tuple[float, float]]) -> None:
    """Products, quotients, sums, differences, roots and conversions are the nearest float32; round is half to even."""
    x, y = torch.tensor(pairs, dtype=torch.float32, device=device).T.contiguous()
    a, b = fraction(x), fraction(y)
    assert fraction(x * y) == [rounded(p * q) for p, q in zip(a, b, strict=True)]
    assert fraction(x / y) == [rounded(p / q) for p, q in zip(a, b, strict=True)]
    assert fraction(x + y) == [rounded(p + q) for p, q in zip(a, b, strict=True)]
    assert fraction(x - y) == [rounded(p - q) for p, q in zip(a, b, strict=True)]
    assert fraction(exact_rows.square_root(x)) == [root(p) for p in a]
    assert torch.round(x * 0.5).tolist() == [float(round(v * 0.5)) for v in x.tolist()]
    integers = (x.double() * 2**30).to(torch.int64)
    assert fraction(integers.to(torch.float32)) == [rounded(Fraction(v)) for v in integers.tolist()]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("columns", [8, 192, 512, 1408, 2096])
@pytest.mark.parametrize("product", sorted(PRODUCTS))
@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_products_of_small_integers_are_exact(device: str, product: str, columns: int, precision: str) -> None:
    """On a CPU also where float32 may be multiplied as bfloat16, on a GPU as TF32."""
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        assert is_exact(PRODUCTS[product], columns, torch.device(device))
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("columns", [192, 512, 1408, 2096])
def test_tensor_cores_sum_integers_exactly(dtype: torch.dtype, columns: int) -> None:
    """Sums in float32 of products of bfloat16 or float16, that no library may make in smaller parts."""
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False

    def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return torch.mm(left.to(dtype), right.to(dtype).t(), out_dtype=torch.float32)

    assert is_exact(product, columns, torch.device("cuda"))


rows_of_outputs = st.lists(
    st.lists(st.integers(-3000, 3000) | st.just(exact_rows.FORBIDDEN) | st.just(7), min_size=256, max_size=256)
    | st.integers(-9, 9).map(lambda v: [v] * 256)
    | st.just([1 << 21] + [-1 << 21] * 255)
    | st.just([exact_rows.FORBIDDEN] * 256),
    min_size=1,
    max_size=4,
)


@given(rows_of_outputs, st.integers(10, 16))
def test_frequencies_follow_their_law_and_leave_no_byte_out(rows: list[list[int]], window_bits: int) -> None:
    outputs = torch.tensor(rows, dtype=torch.int32)
    tables = MODEL._tables
    expected = [cumulative_frequencies(row, tables.exp2.tolist(), window_bits) for row in rows]
    assert MODEL.cumulative_frequencies(outputs, window_bits).tolist() == expected
    assert exact_rows.cumulative_frequencies(outputs, window_bits, tables).tolist() == expected
    assert np.diff(expected).min() >= 1 << (16 - window_bits)
    assert {row[-1] for row in expected} == {1 << 16}


@given(rows_of_outputs)
def test_entropies_and_surprisals_are_nearly_the_real_ones(rows: list[list[int]]) -> None:
    outputs = torch.tensor(rows, dtype=torch.int32)
    logits = outputs.double() * (math.log(2) / 256)
    log_p = torch.log_softmax(logits, -1) / math.log(2)
    entropies = MODEL.entropies_bits(outputs)
    assert torch.equal(entropies * 1024, torch.round(entropies * 1024))
    assert torch.allclose(entropies.double(), -(log_p.exp2() * log_p).sum(-1), atol=3e-3)
    symbols = outputs.argmin(-1)
    expected = -log_p.gather(1, symbols[:, None]).squeeze(1)
    assert torch.allclose(MODEL.surprisals_bits(outputs, symbols), expected, atol=1e-3)


def test_a_forbidden_byte_keeps_the_smallest_frequency() -> None:
    outputs = torch.arange(256, dtype=torch.int32)[None]
    forbidden = torch.zeros((1, 256), dtype=torch.bool)
    forbidden[0, [3, 255]] = True
    frequencies = MODEL.cumulative_frequencies(MODEL.mask(outputs, forbidden), 16).diff(dim=-1)[0]
    assert frequencies[[3, 255]].tolist() == [1, 1]
    assert frequencies[254] > frequencies[200] > 1
    everything = MODEL.mask(outputs, torch.ones_like(forbidden))
    assert MODEL.cumulative_frequencies(everything, 16).diff(dim=-1).unique().tolist() == [256]


@given(st.integers(1 << 24, 1 << 32))
def test_the_logarithm_of_a_sum_is_within_its_last_digit(total: int) -> None:
    computed = int(exact_rows.log2_of(torch.tensor([total]), MODEL._tables)[0])
    assert computed / 65536 == pytest.approx(math.log2(total), abs=4 / 65536)
