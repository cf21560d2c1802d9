"""Triton's kernels of the exact byte LM: their integers by the interpreter, and what they become on an NVIDIA GPU.

Neither needs a GPU; both need Triton, which comes with torch where it is built for GPUs. What a real GPU computes is
compared in `test_exact_lm`, by gpu-check, and whenever a model is loaded (`exact_choice`).
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDS_TRITON = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="no Triton")
EXACT = re.compile(
    r"(add|sub|mul|div|sqrt)\.rn\.f32(x2)?|(abs|max|min|neg)\.f32|redux\.sync\.(max|min)(\.abs)?\.f32"
    r"|cvt\.(rn\.f32\.[su]\d+|rzi\.[su]\d+\.f32)|(mov|selp)\.f32|setp\.\w+\.f32"
)
"""One rounding to the nearest, or none. What is cut to an integer is one already."""


def program(*arguments: str, cache: Path, **variables: str) -> str:
    """What one of `triton_programs` prints."""
    environment = {**os.environ, "TRITON_CACHE_DIR": str(cache), **variables}
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernels.triton_programs", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@NEEDS_TRITON
def test_kernels_give_the_integers_of_the_loops(tmp_path: Path) -> None:
    assert "2 shapes as the loops" in program("interpret", cache=tmp_path, TRITON_INTERPRET="1")


@NEEDS_TRITON
def test_every_floating_point_instruction_rounds_once(tmp_path: Path) -> None:
    """Explicit roundings, which the assembler may not contract either; no approximation, nothing flushed to zero."""
    found = json.loads(program("compile", "90", cache=tmp_path))
    assert {len(kernels) for kernels in found.values()} == {9}
    for kernels in found.values():
        every = {instruction for instructions in kernels.values() for instruction in instructions}
        assert {"add.rn.f32", "mul.rn.f32", "div.rn.f32", "sqrt.rn.f32"} <= every, "something was searched"
        assert [each for each in sorted(every) if not EXACT.fullmatch(each)] == []
