"""results.json: what a score was made of, and the lines that a person reads."""

from __future__ import annotations

import argparse
import platform
from typing import Any

import numpy as np

from trainer.evaluation.code.problems import MENDED, PLUS, ProblemSet

SHOWN = ("task", "limit", "seed", "exclude")
VARIABLES = {"humaneval": "HUMANEVAL_OVERRIDE_PATH", "mbpp": "MBPP_OVERRIDE_PATH"}


def arguments(
    options: argparse.Namespace, problems: ProblemSet, *, sandbox: str, samples_sha256: str
) -> dict[str, Any]:
    """What the verdicts depend on besides the samples: options, data, versions. No environment, so no secrets."""
    own = {problem.task_id for problem in problems.problems if PLUS in problem.tests}
    return {
        "scorer": "builtin",
        "official": official(problems.task),
        "arguments": {name: getattr(options, name) for name in SHOWN},
        "sandbox": sandbox,
        "data_sha256": problems.sha256,
        "samples_sha256": samples_sha256,
        "mended_tests": sorted(set(MENDED) & own),
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
    }


def official(task: str) -> str:
    """The command whose figures others publish; it wants the plus file unpacked. Empty where there is none."""
    if task not in VARIABLES:
        return ""
    name = {"humaneval": "HumanEvalPlus.jsonl", "mbpp": "MbppPlus.jsonl"}[task]
    return f"{VARIABLES[task]}={name} evalplus.evaluate --dataset {task} --samples samples.jsonl --min-time-limit 4"


def summary(results: dict[str, Any]) -> str:
    """One line per suite or family, in percent."""
    lines = [f"{results['samples']:,} samples, scored by our own scorer ({results['sandbox']})"]
    for suite, estimates in results["pass_at_k"].items():
        for name, found in estimates.items():
            label = f"pass@{name}" if name.isdigit() else f"pass@1, {name}"
            lines.append(
                f"  {suite} {label}: {_percent(found['value'])} ({_percent(found['low'])} to {_percent(found['high'])})"
            )
        counted = ", ".join(f"{count:,} {status}" for status, count in results["statuses"][suite].items())
        lines.append(f"  {suite}: {counted or 'nothing run, as nothing passed base'}")
    for family, found in results.get("robustness", {}).items():
        for name in ("all", "clean"):
            figures = found[name]
            lines.append(
                f"  {family}, {name} prompts: worst case {_percent(figures['worst'])}, average "
                f"{_percent(figures['average'])}, nominal "
                f"{_percent(figures['nominal'])}, {figures['problems']} problems"
            )
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "undefined" if share is None else f"{100 * share:.1f} %"
