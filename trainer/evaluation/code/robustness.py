"""ReCode: does a model still solve a problem whose prompt was perturbed?

A verdict is one sample's. For a set T of variants of a problem (the seeds of a perturbation, or all that a family has)

    worst    1 if the sample solves every variant of T, else 0: robust pass@1, as ReCode reports it
    average  the share of T that it solves

averaged over samples and then over problems. A family is compared with the nominal prompts that it was made from:
drop = (nominal − worst) / nominal, null where nominal is 0; changed = the share of problems whose verdict any variant
changes; attacked = the share of problems solved nominally that some variant spoils, null where there are none.

Many published prompts are broken: no body compiles behind them. `clean` is the same without those, over the problems
that have variants left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from trainer.evaluation.code.problems import Problem

NOMINAL_OF = {
    "func_name": "nominal_full",
    "nlaugmenter": "nominal_full",
    "format": "nominal_partial",
    "natgen": "nominal_partial",
}
"""Which prompts a family was made from: the problem, or the problem and half of its solution."""

Verdicts = Mapping[tuple[str, str], Sequence[bool]]
"""(task id, variant) to its samples' verdicts; every variant of a problem has the same number of them."""


def robustness(problems: Iterable[Problem], verdicts: Verdicts) -> dict[str, Any]:
    """Family to its figures, over all its perturbations and for each, with and without the broken prompts."""
    families: dict[str, dict[str, list[Problem]]] = defaultdict(lambda: defaultdict(list))
    for problem in problems:
        if "/" in problem.variant:
            family, perturbation, _ = problem.variant.split("/")
            families[family][perturbation].append(problem)
    report: dict[str, Any] = {}
    for family, perturbations in sorted(families.items()):
        nominal = NOMINAL_OF[family]
        everything = [problem for variants in perturbations.values() for problem in variants]
        report[family] = {
            "nominal": nominal,
            **_both(everything, nominal, verdicts),
            "perturbations": {
                name: _both(variants, nominal, verdicts) for name, variants in sorted(perturbations.items())
            },
        }
    return report


def _both(variants: Sequence[Problem], nominal: str, verdicts: Verdicts) -> dict[str, Any]:
    return {
        "all": _figures(variants, nominal, verdicts),
        "clean": _figures([variant for variant in variants if not variant.broken], nominal, verdicts),
    }


def _figures(variants: Sequence[Problem], nominal: str, verdicts: Verdicts) -> dict[str, Any]:
    """The figures of a set of variants; null where they are not defined."""
    of_task: dict[str, list[Sequence[bool]]] = defaultdict(list)
    for variant in variants:
        of_task[variant.task_id].append(verdicts[variant.key])
    if not of_task:
        return {"problems": 0, "prompts": 0, "nominal": None, "worst": None, "average": None, "drop": None,
                "changed": None, "attacked": None}  # fmt: skip
    solved = [np.array(rows, bool) for rows in of_task.values()]
    clean = [np.array(verdicts[task_id, nominal], bool) for task_id in of_task]
    worst = float(np.mean([rows.all(0).mean() for rows in solved]))
    before = float(np.mean([row.mean() for row in clean]))
    changed = [(rows != row).any(0).mean() for rows, row in zip(solved, clean, strict=True)]
    spoilt = sum(float((row & ~rows.all(0)).mean()) for rows, row in zip(solved, clean, strict=True))
    return {
        "problems": len(of_task),
        "prompts": len(variants),
        "nominal": before,
        "worst": worst,
        "average": float(np.mean([rows.mean() for rows in solved])),
        "drop": (before - worst) / before if before else None,
        "changed": float(np.mean(changed)),
        "attacked": spoilt / (before * len(of_task)) if before else None,
    }
