"""Codes are the same integers on every machine: this one computes what is committed, by every way that it has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kernels.byte_lm_config import ByteLMConfig
from kernels.exact_lm import ExactByteLM
from kernels.exact_products import PRODUCTS
from schemas.byte_lm_files import read_byte_lm
from tests.kernels.exact_golden import CODES, LM, codes, golden_lm

EXPECTED = json.loads(CODES.read_text("utf-8"))
ROOT = Path(__file__).parents[2]
LOWERED = [
    {"MKL_CBWR": "COMPATIBLE"},
    {"ATEN_CPU_CAPABILITY": "default"},
    {"ATEN_CPU_CAPABILITY": "avx2"},
    {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
    {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"},
]
"""What stands for other machines: fewer instructions for torch, MKL, oneDNN or numba, more threads."""


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("prefixes_per_read", [1, 64, 512])
def test_this_machine_computes_the_committed_codes(product: str, prefixes_per_read: int) -> None:
    assert codes(golden_lm(product), prefixes_per_read=prefixes_per_read, threads=2) == EXPECTED


@pytest.mark.slow
@pytest.mark.parametrize("lowered", LOWERED, ids=lambda variables: "-".join(variables))
def test_so_does_a_machine_of_fewer_instructions(lowered: dict[str, str]) -> None:
    environment = {**os.environ, **lowered}
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernels.exact_golden"], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "as everywhere" in done.stdout


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_so_does_a_gpu() -> None:
    files = read_byte_lm(str(LM))
    for product in PRODUCTS:
        assert (
            codes(ExactByteLM(ByteLMConfig(**files.config), files.arrays, device="cuda", product=product)) == EXPECTED
        )


def test_a_changed_weight_changes_the_codes() -> None:
    model = golden_lm()
    model.arrays["blocks.0.down.weight"][0] *= -1
    changed = type(model)(model.config, model.arrays)
    found = codes(changed)
    assert found["intervals"] != EXPECTED["intervals"]
    assert found["entropies in documents"] != EXPECTED["entropies in documents"]
