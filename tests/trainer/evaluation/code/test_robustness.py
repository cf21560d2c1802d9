"""Robust pass@1 against a slow definition, hand-made numbers, and the cases that divided by zero elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.evaluation.code.problems import Problem
from trainer.evaluation.code.robustness import robustness

VARIANTS = ["func_name/A/0", "func_name/A/1", "func_name/B/0", "format/C/0"]
BROKEN = {("p1", "func_name/A/1"), ("p2", "func_name/A/0"), ("p2", "func_name/A/1")}


def problem(task_id: str, variant: str) -> Problem:
    return Problem(task_id=task_id, prompt="", tests={}, variant=variant, broken=(task_id, variant) in BROKEN)


PROBLEMS = [
    problem(task_id, variant)
    for task_id in ("p0", "p1", "p2")
    for variant in (*VARIANTS, "nominal_full", "nominal_partial")
]
KEYS = [p.key for p in PROBLEMS]


def verdicts(failed: set[tuple[str, str]]) -> dict[tuple[str, str], list[bool]]:
    """One sample each; all pass but those."""
    return {key: [key not in failed] for key in KEYS}


def test_worst_case_average_and_drop() -> None:
    found = robustness(PROBLEMS, verdicts({("p0", "func_name/A/1"), ("p1", "func_name/B/0"), ("p1", "nominal_full")}))
    family = found["func_name"]["all"]
    assert (family["problems"], family["prompts"]) == (3, 9)
    assert family["worst"] == pytest.approx(1 / 3)
    assert family["average"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert family["nominal"] == pytest.approx(2 / 3)
    assert family["drop"] == pytest.approx(0.5)
    assert family["attacked"] == pytest.approx(0.5), "p0 is spoilt, p2 is not, p1 was not solved anyway"
    assert family["changed"] == pytest.approx(2 / 3)
    assert found["func_name"]["perturbations"]["B"]["all"]["worst"] == pytest.approx(2 / 3)
    assert found["format"]["nominal"] == "nominal_partial"
    assert found["format"]["all"]["drop"] == 0


def test_clean_leaves_out_prompts_and_problems_that_have_no_other() -> None:
    found = robustness(PROBLEMS, verdicts(BROKEN))["func_name"]
    assert found["all"]["worst"] == pytest.approx(1 / 3)
    assert found["clean"]["worst"] == 1
    assert (found["clean"]["problems"], found["clean"]["prompts"]) == (3, 6)
    assert found["perturbations"]["A"]["clean"]["problems"] == 2, "p2 has no unbroken prompt left there"


def test_a_model_that_solves_nothing_has_no_drop() -> None:
    figures = robustness(PROBLEMS, {key: [False] for key in KEYS})["func_name"]["all"]
    assert (figures["worst"], figures["nominal"], figures["drop"], figures["attacked"]) == (0, 0, None, None)


def test_many_samples_all_right_are_one() -> None:
    figures = robustness(PROBLEMS, {key: [True] * 20 for key in KEYS})["func_name"]["all"]
    assert (figures["worst"], figures["average"], figures["drop"]) == (1, 1, 0)


def test_nothing_left_is_null() -> None:
    broken = [problem("p2", "func_name/A/0"), problem("p2", "nominal_full")]
    figures = robustness(broken, {p.key: [True] for p in broken})["func_name"]
    assert figures["clean"]["worst"] is None and figures["clean"]["problems"] == 0
    assert figures["all"]["worst"] == 1


@given(st.integers(1, 3).flatmap(lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n),
                                                    min_size=len(KEYS), max_size=len(KEYS))))  # fmt: skip
def test_it_is_the_slow_definition(rows: list[list[bool]]) -> None:
    given_verdicts = dict(zip(KEYS, rows, strict=True))
    found: dict[str, Any] = robustness(PROBLEMS, given_verdicts)
    samples = len(rows[0])
    for family in ("func_name", "format"):
        of_family = [variant for variant in VARIANTS if variant.startswith(family)]
        worst = average = 0.0
        for task_id in ("p0", "p1", "p2"):
            for sample in range(samples):
                solved = [given_verdicts[task_id, variant][sample] for variant in of_family]
                worst += all(solved) / samples / 3
                average += sum(solved) / len(solved) / samples / 3
        assert found[family]["all"]["worst"] == pytest.approx(worst)
        assert found[family]["all"]["average"] == pytest.approx(average)
        assert found[family]["all"]["worst"] <= found[family]["all"]["average"] + 1e-9
        one = found[family]["perturbations"]
        assert all(found[family]["all"]["worst"] <= part["all"]["worst"] + 1e-9 for part in one.values())
