"""results.json: what a score was made of, and the lines that a person reads."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np

from trainer.evaluation.code.problems import CORRECTED_TESTS, PLUS, ProblemSet
from trainer.evaluation.settings import ScoreSettings

VARIABLES = {"humaneval": "HUMANEVAL_OVERRIDE_PATH", "mbpp": "MBPP_OVERRIDE_PATH"}


def provenance(settings: ScoreSettings, problems: ProblemSet, *, sandbox: str, samples_sha256: str) -> dict[str, Any]:
    """What the verdicts depend on besides the samples: settings, data, versions. No environment, so no secrets."""
    own = {problem.task_id for problem in problems.problems if PLUS in problem.tests}
    return {
        "scorer": "builtin",
        "official": official(problems.task),
        "arguments": {
            "task": settings.task,
            "limit": settings.limit,
            "seed": settings.seed,
            "exclude": ",".join(settings.exclude),
        },
        "sandbox": sandbox,
        "data_sha256": problems.sha256,
        "samples_sha256": samples_sha256,
        "corrected_tests": sorted(set(CORRECTED_TESTS) & own),
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
    }


def official(task: str) -> str:
    """The command of evalplus whose figures others publish; it wants the plus file unpacked. Empty for ReCode."""
    if task not in VARIABLES:
        return ""
    name = {"humaneval": "HumanEvalPlus.jsonl", "mbpp": "MbppPlus.jsonl"}[task]
    return f"{VARIABLES[task]}={name} evalplus.evaluate --dataset {task} --samples samples.jsonl --min-time-limit 4"


def summary(results: dict[str, Any]) -> str:
    """Results for a person to read: a line for each suite and each family of perturbations, in percent."""
    lines = [f"{results['samples']:,} samples, scored by our own scorer ({results['sandbox']})"]
    for suite, estimates in results["pass_at_k"].items():
        for name, estimate in estimates.items():
            label = f"pass@{name}" if name.isdigit() else f"pass@1, {name}"
            low, high = _percent(estimate["low"]), _percent(estimate["high"])
            lines.append(f"  {suite} {label}: {_percent(estimate['value'])} ({low} to {high})")
        counted = ", ".join(f"{count:,} {status}" for status, count in results["statuses"][suite].items())
        lines.append(f"  {suite}: {counted or 'nothing run, as nothing passed base'}")
    for family, family_figures in results.get("robustness", {}).items():
        for name in ("all", "clean"):
            figures = family_figures[name]
            lines.append(
                f"  {family}, {name} prompts: worst case {_percent(figures['worst'])}, average "
                f"{_percent(figures['average'])}, nominal "
                f"{_percent(figures['nominal'])}, {figures['problems']} problems"
            )
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "undefined" if share is None else f"{100 * share:.1f} %"
