"""The exact byte LM: one set of integers, whatever computes it, and nearly the bits of the model that it came from."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.byte_lm_config import START, ByteLMConfig
from kernels.byte_spans import ByteSpans
from kernels.exact_lm import ExactByteLM
from kernels.exact_quantise import MAX_COLUMNS, check_arrays, quantise_byte_lm
from kernels.exact_tables import make_tables
from kernels.prefix_coding import PrefixCoder
from tests.kernels.exact_models import all_ways, micro_exact, random_arrays
from tests.kernels.exact_oracle import Oracle
from tests.kernels.micro_lm import CONFIG, micro_lm

TINY = ByteLMConfig(layers=2, dim=8, heads=2, ffn_dim=6, attention_bytes=3)
ROOT = Path(__file__).parents[2]
STRINGS = [bytes([97 + (i * j) % 5 for j in range(1 + i % 19)]) + bytes([i % 256]) for i in range(200)]

configs = st.builds(
    lambda layers, heads, half, ffn_dim, attention_bytes: ByteLMConfig(
        layers=layers, dim=2 * half * heads, heads=heads, ffn_dim=ffn_dim, attention_bytes=attention_bytes
    ),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 19),
    st.integers(1, 70),
    st.integers(1, 9),
)


def windows(rows: int, positions: int, seed: int) -> torch.Tensor:
    """Inputs int64 [rows, positions] of random bytes, each row from a window's head."""
    inputs = np.random.default_rng(seed).integers(0, 256, (rows, positions))
    inputs[:, 0] = START
    return torch.from_numpy(inputs)


@given(st.integers(0, 1 << 30), st.integers(1, 7))
@settings(max_examples=15)
def test_all_ways_give_what_plain_integers_give(seed: int, positions: int) -> None:
    arrays = random_arrays(TINY, seed)
    inputs = windows(1, positions, seed)
    expected = Oracle(TINY, arrays).forward(inputs[0].tolist())
    for model in all_ways(TINY, arrays):
        assert model.forward(inputs)[0].tolist() == expected


@given(configs, st.integers(0, 1 << 30), st.integers(1, 4), st.integers(1, 20))
@settings(max_examples=40)
def test_all_ways_are_one(config: ByteLMConfig, seed: int, rows: int, positions: int) -> None:
    arrays = random_arrays(config, seed)
    inputs = windows(rows, positions, seed)
    first, *others = (model.forward(inputs) for model in all_ways(config, arrays))
    for other in others:
        assert torch.equal(first, other)


@given(configs, st.integers(0, 1 << 30), st.integers(1, 12))
@settings(max_examples=20)
def test_one_byte_at_a_time_is_the_same_as_all_at_once(config: ByteLMConfig, seed: int, positions: int) -> None:
    inputs = windows(3, positions, seed)
    places = torch.arange(3 * positions).view(positions, 3).T
    for model in all_ways(config, random_arrays(config, seed)):
        cache = model.new_kv_cache(3 * positions)
        steps = [model.forward_step(inputs[:, t], places[:, : t + 1], cache) for t in range(positions)]
        assert torch.equal(torch.stack(steps, 1), model.forward(inputs))


def test_a_text_alone_gives_what_it_gives_in_company() -> None:
    model, inputs = micro_exact(), windows(70, 30, 0)
    together = model.forward(inputs)
    for row in (0, 16, 69):
        assert torch.equal(model.forward(inputs[row : row + 1])[0], together[row])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert torch.equal(model.forward(inputs), together)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("rows", [1, 7, 512])
@pytest.mark.parametrize("product", ["int8", "float32"])
def test_intervals_do_not_depend_on_how_prefixes_are_read(rows: int, product: str) -> None:
    strings = ByteSpans.from_bytes(STRINGS)
    expected = PrefixCoder(micro_exact()).intervals(strings)
    coder = PrefixCoder(micro_exact(product=product), prefixes_per_read=rows, threads=2)
    for one, other in zip(expected, coder.intervals(strings), strict=True):
        assert np.array_equal(one, other)


def test_a_later_byte_changes_nothing_before_it() -> None:
    model, inputs = micro_exact(), windows(1, 40, 1)
    other = inputs.clone()
    other[0, 25] += 1
    same = (model.forward(inputs) == model.forward(other))[0].all(-1)
    assert same[:25].all()
    assert not same[25]


def test_bits_are_nearly_those_of_the_floating_point_model() -> None:
    inputs = torch.tensor([[START, *b"abcdefffffghhhhij\x00\x01\x02zzzz"]])
    labels = torch.roll(inputs, -1, 1)[0, :-1]
    with torch.inference_mode():
        expected = F.cross_entropy(micro_lm()(inputs)[0, :-1], labels, reduction="none") / math.log(2)
    model = micro_exact()
    bits = model.surprisals_bits(model.forward(inputs)[0, :-1], labels)
    assert bits.mean() == pytest.approx(float(expected.mean()), rel=0.02)


COMPILE = """
from kernels import exact_loops
from tests.kernels.exact_models import micro_exact
from tests.kernels.test_exact_lm import windows

model = micro_exact(product="int8")
model.cumulative_frequencies(model.forward(windows(1, 3, 0))[0], 16)
for loop in exact_loops.LOOPS:
    assert len(loop.signatures) == 1
    print(loop.inspect_llvm(loop.signatures[0]), loop.inspect_asm(loop.signatures[0]))
"""


def test_no_float_is_contracted_in_the_compiled_loops(tmp_path: Path) -> None:
    """Neither may LLVM reorder or contract anything, nor do x86's or ARM's fused instructions occur."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    code = subprocess.run(
        [sys.executable, "-c", COMPILE], env=environment, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    arithmetic = re.findall(r"= (f(?:add|sub|mul|div)) ([a-z]+|<)", code)
    assert {name for name, _ in arithmetic} == {"fadd", "fsub", "fmul", "fdiv"}
    assert {flag for _, flag in arithmetic} == {"float", "double", "<"}, "no flag before a type"
    assert "llvm.fma" not in code
    assert not re.search(r"\bvfn?m(add|sub)|\bfn?m(add|sub|la|ls)\b", code)
    assert re.search(r"\bv?(mul|add)[ps]s\b|\bfmul\b", code), "machine code was searched"


def test_a_shape_whose_sums_could_round_is_refused() -> None:
    wide = dataclasses.replace(CONFIG, ffn_dim=MAX_COLUMNS + 1)
    with pytest.raises(ValueError, match=f"ffn_dim {MAX_COLUMNS + 1} must be at most {MAX_COLUMNS}"):
        quantise_byte_lm(wide, {})
    with pytest.raises(ValueError, match="attention_bytes 2048 must be below 2048"):
        quantise_byte_lm(dataclasses.replace(CONFIG, attention_bytes=2048), {})


def test_a_text_longer_than_the_rotations_is_refused() -> None:
    with pytest.raises(ValueError, match="a text of 257 bytes, this byte LM has positions for 256"):
        micro_exact().forward(windows(1, 257, 0))


def spoilt(arrays: dict[str, np.ndarray], name: str, place: int, value: float) -> dict[str, np.ndarray]:
    """A copy with one number changed."""
    copy = arrays[name].copy()
    copy.reshape(-1)[place] = value
    return {**arrays, name: copy}


def test_arrays_that_no_quantised_model_has_are_refused() -> None:
    arrays = random_arrays(TINY, 0)
    check_arrays(TINY, arrays)
    cases = {
        "head.weight has values beyond 63": spoilt(arrays, "head.weight", 5, 64),
        "embedding.weight has values beyond 127": spoilt(arrays, "embedding.weight", 5, -128),
        "head.scale has scales outside": spoilt(arrays, "head.scale", 0, np.nan),
        "blocks.0.qkv.scale has scales outside": spoilt(arrays, "blocks.0.qkv.scale", 0, 1e9),
        "table exp2 has values": spoilt(arrays, "exp2", 3, 5),
        "table log2 has values": spoilt(arrays, "log2", 256, 5),
        "table sigmoid has values": spoilt(arrays, "sigmoid", 256, -5),
        "table rotation.cos has values": spoilt(arrays, "rotation.cos", 3, 1 << 14 | 1),
        "table rotation.sin has values": spoilt(arrays, "rotation.sin", 3, -1 << 15),
        r"head.weight is int8 \(256, 7\)": {**arrays, "head.weight": arrays["head.weight"][:, :7]},
        "head.scale is float64": {**arrays, "head.scale": arrays["head.scale"].astype(np.float64)},
        "missing or of no use: head.scale": {k: v for k, v in arrays.items() if k != "head.scale"},
        "missing or of no use: more": {**arrays, "more": arrays["exp2"]},
    }
    for message, wrong in cases.items():
        with pytest.raises(ValueError, match=message):
            ExactByteLM(TINY, wrong)


def test_a_matrix_of_zeros_and_one_of_ones_can_be_quantised() -> None:
    for value in (0.0, 1.0):
        weights = {name: np.full(w.shape, value, np.float32) for name, w in micro_lm().state_dict().items()}
        arrays = quantise_byte_lm(CONFIG, weights)
        outputs = [model.forward(windows(2, 5, 0)) for model in all_ways(CONFIG, arrays)]
        assert all(torch.equal(outputs[0], other) for other in outputs)


def test_tables_are_what_their_names_say() -> None:
    tables = {name: table.astype(np.float64) for name, table in make_tables(CONFIG).items()}
    assert tables["rotation.cos"].shape == (256, CONFIG.dim // CONFIG.heads // 2)
    assert np.allclose(tables["rotation.cos"] ** 2 + tables["rotation.sin"] ** 2, 2.0**28, rtol=1e-4)
    assert np.allclose(tables["sigmoid"] + tables["sigmoid"][::-1], 2.0**15, atol=1)
    assert np.allclose(tables["exp2"] * tables["exp2"][::-1], 2.0**48 / 2 ** (255 / 256), rtol=1e-6)
    assert np.allclose(2.0 ** (tables["log2"] / 65536), 1 + np.arange(257) / 256, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_integers() -> None:
    weights = {name: weight.numpy() for name, weight in micro_lm().state_dict().items()}
    arrays = quantise_byte_lm(CONFIG, weights)
    inputs = windows(70, 30, 0)
    here = ExactByteLM(CONFIG, arrays)
    for product in ("int8", "float32"):
        there = ExactByteLM(CONFIG, arrays, device="cuda", product=product)
        outputs = there.forward(inputs.cuda())
        assert torch.equal(here.forward(inputs), outputs.cpu())
        for window_bits in (10, 16):
            frequencies = there.cumulative_frequencies(outputs[0], window_bits)
            assert torch.equal(here.cumulative_frequencies(outputs[0].cpu(), window_bits), frequencies.cpu())
        assert torch.equal(here.entropies_bits(outputs[0].cpu()), there.entropies_bits(outputs[0]).cpu())
