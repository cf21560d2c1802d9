"""Small hand-written files in the formats of HumanEval(+), MBPP(+) and ReCode, and the real ones where they are."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

REAL = Path(__file__).parents[5] / "shared" / "data"
needs_real = pytest.mark.skipif(not (REAL / "HumanEval.jsonl.gz").exists(), reason="the published files are not here")

HUMANEVAL: list[dict[str, Any]] = [
    {
        "task_id": "HumanEval/0",
        "prompt": 'def one():\n    """1"""\n',
        "entry_point": "one",
        "canonical_solution": "    return 1\n",
        "test": "def check(candidate):\n    assert candidate() == 1\n",
    },
    {
        "task_id": "HumanEval/1",
        "prompt": 'def twice(x):\n    """2x"""\n',
        "entry_point": "twice",
        "canonical_solution": "    return 2 * x\n",
        "test": "def check(candidate):\n    assert candidate(3) == 6\n",
    },
]
PLUS_TESTS = {
    "HumanEval/0": "def check(candidate):\n    assert isinstance(candidate(), int)\n",
    "HumanEval/1": "import numpy as np\ndef check(candidate):\n    assert np.allclose(candidate(-0.5), -1)\n",
}
MBPP = [
    {
        "task_id": "Mbpp/2",
        "prompt": '"""\nWrite a function that adds.\nassert add(1, 2) == 3\n"""\n',
        "entry_point": "add",
        "canonical_solution": "\ndef add(x, y):\n  return x + y\n",
    },
]
MBPP_TESTS = [
    {
        "task_id": 2,
        "prompt": "Write a function that adds.",
        "test_imports": ["import math"],
        "test_list": ["assert add(1, 2) == 3", "assert math.isclose(add(0.1, 0.2), 0.3)"],
        "test": "for x in range(9):\n    assert add(x, -x) == 0\n",
    },
]


def recode() -> list[dict[str, Any]]:
    """For both problems: the nominal prompts, one family with two seeds, one with a broken prompt."""
    rows: list[dict[str, Any]] = []
    for problem in HUMANEVAL:
        common = {"task_id": problem["task_id"], "entry_point": problem["entry_point"], "broken": False}
        nominal = {**common, "perturbation": None, "seed": None, "prompt": problem["prompt"]}
        rows.append({**nominal, "category": "nominal_full"})
        rows.append({**nominal, "category": "nominal_partial", "prompt": problem["prompt"] + "    pass\n"})
        name = problem["entry_point"]
        for seed in range(2):
            other = f"{name}_{seed}"
            prompt = problem["prompt"].replace(name, other)
            row = {**common, "category": "func_name", "perturbation": "Rename", "seed": seed, "entry_point": other}
            rows.append({**row, "prompt": prompt})
        same = {**common, "category": "nlaugmenter", "seed": 0, "prompt": problem["prompt"]}
        spaces = {**same, "perturbation": "Spaces"}
        if name == "one":
            spaces |= {"broken": True, "prompt": problem["prompt"].replace('"""\n', '" " "\n')}
        rows += [spaces, {**same, "perturbation": "Typos"}]
    return rows


def published(name: str) -> list[dict[str, Any]]:
    """The rows of a real file."""
    return [json.loads(line) for line in gzip.decompress((REAL / f"{name}.jsonl.gz").read_bytes()).splitlines()]


def lines(rows: list[dict[str, Any]]) -> bytes:
    """JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write_files(directory: Path) -> Path:
    """A data directory of two HumanEval problems, one of MBPP and ten ReCode prompts; some files plain, some gzip."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "HumanEval.jsonl.gz").write_bytes(gzip.compress(lines(HUMANEVAL)))
    (directory / "HumanEvalPlus.jsonl").write_bytes(lines(HUMANEVAL))
    plus = [{**problem, "test": PLUS_TESTS[problem["task_id"]]} for problem in HUMANEVAL]
    (directory / "HumanEvalPlus-OriginFmt.jsonl.gz").write_bytes(gzip.compress(lines(plus)))
    (directory / "MbppPlus.jsonl").write_bytes(lines(MBPP))
    (directory / "MbppPlus-OriginFmt.jsonl").write_bytes(lines(MBPP_TESTS))
    (directory / "recode-humaneval-s5.jsonl.gz").write_bytes(gzip.compress(lines(recode())))
    return directory
