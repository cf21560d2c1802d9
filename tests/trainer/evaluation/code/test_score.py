"""The scorer: canonical solutions pass, wrong ones fail, and what is counted adds up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from schemas.errors import InputError
from tests.trainer.evaluation.code.files import REAL, needs_real, published, write_files
from trainer.evaluation.code.problems import BASE, CORRECTED_TESTS, PLUS, Problem, ProblemSet, corrected, load_problems
from trainer.evaluation.code.sample_files import CodeSample
from trainer.evaluation.code.sandbox import Outcome, Sandbox, open_sandbox
from trainer.evaluation.code.score import Run, Scorer, Verdict, report

BOTH = (BASE, PLUS)


class Counting(Sandbox):
    """Counts its runs."""

    runs: list[str]

    def run(self, solution: str, test: str, *, limit_seconds: float, entry_point: str = "") -> Outcome:
        Counting.runs.append(solution)
        return super().run(solution, test, limit_seconds=limit_seconds, entry_point=entry_point)


@pytest.fixture
def scorer() -> Scorer:
    Counting.runs = []
    return Scorer(Counting(namespaces=open_sandbox().namespaces), workers=2)


@pytest.fixture
def data(tmp_path: Path) -> str:
    return str(write_files(tmp_path / "data"))


def samples(problems: ProblemSet, *bodies: str) -> list[CodeSample]:
    """Each body for each problem."""
    return [
        CodeSample(key=problem.key, solution=problem.prompt + body, stop="end", invalid_utf8=0)
        for problem in problems.problems
        for body in bodies
    ]


def canonical(problems: ProblemSet) -> list[CodeSample]:
    return [
        sample
        for problem in problems.problems
        for sample in samples(replace(problems, problems=(problem,)), problem.canonical)
    ]


def judge(scorer: Scorer, problems: ProblemSet, found: list[CodeSample], suites: tuple[str, ...]) -> list[Verdict]:
    return scorer.judge(problems, found, suites, scorer.limits(problems, suites))


@pytest.mark.parametrize("task", ["humaneval", "mbpp"])
def test_canonical_solutions_pass_and_others_do_not(task: str, data: str, scorer: Scorer) -> None:
    problems = load_problems(data, task, suites=BOTH)
    verdicts = judge(
        scorer, problems, canonical(problems) + samples(problems, "    pass\n", "    return (\n", ""), BOTH
    )
    count = len(problems.problems)
    assert [verdict.passed(PLUS) for verdict in verdicts] == [True] * count + [False] * 3 * count


def test_plus_is_run_only_where_base_passed_and_equal_solutions_once(data: str, scorer: Scorer) -> None:
    problems = load_problems(data, "humaneval", suites=BOTH, limit=1)
    limits = scorer.limits(problems, BOTH)
    Counting.runs.clear()
    right, almost, wrong = "    return 1\n", "    return 1.0\n", "    return 2\n"
    verdicts = scorer.judge(problems, samples(problems, right, wrong, almost, right, right), BOTH, limits)
    assert [verdict.statuses for verdict in verdicts] == [
        {"base": "passed", "plus": "passed"},
        {"base": "wrong"},
        {"base": "passed", "plus": "wrong"},
        *[{"base": "passed", "plus": "passed"}] * 2,
    ]
    assert len(Counting.runs) == 3 + 2
    found = report(problems, verdicts, BOTH)
    assert found["statuses"] == {"base": {"passed": 4, "wrong": 1}, "plus": {"passed": 3, "wrong": 1}}
    assert {suite: round(one["1"]["value"], 6) for suite, one in found["pass_at_k"].items()} == {
        "base": 0.8,
        "plus": 0.6,
    }
    assert list(found["pass_at_k"]["base"]) == ["1"], "ten samples are not there"
    assert found["stops"] == {"end": 5}


def test_k_is_left_out_where_a_problem_has_fewer_samples(data: str, scorer: Scorer) -> None:
    problems = load_problems(data, "humaneval")
    ten = samples(problems, "    return 1\n") * 10
    verdicts = [Verdict(sample=sample, statuses={"base": "passed"}) for sample in ten]
    assert list(report(problems, verdicts, (BASE,))["pass_at_k"]["base"]) == ["1", "10"]
    assert list(report(problems, verdicts[:-1], (BASE,))["pass_at_k"]["base"]) == ["1"]


def test_a_canonical_solution_that_fails_stops_the_scoring_by_name(data: str, scorer: Scorer) -> None:
    problems = load_problems(data, "humaneval")
    broken = replace(problems.problems[1], canonical="    return 3 * x\n")
    problems = replace(problems, problems=(problems.problems[0], broken))
    with pytest.raises(InputError, match=r"fail here: HumanEval/1 \(base: wrong\); .* --exclude HumanEval/1$"):
        scorer.limits(problems, (BASE,))
    assert scorer.limits(problems.without(["HumanEval/1"]), (BASE,)) == {("HumanEval/0", BASE): 4.0}


def test_recode_is_robust_only_where_all_is_solved(data: str, scorer: Scorer) -> None:
    problems = load_problems(data, "recode")
    bodies = {"HumanEval/0": "    return 1\n", "HumanEval/1": "    return 2 * x\n"}

    def solved(problem: Problem) -> str:
        return "    pass\n" if problem.key == ("HumanEval/0", "func_name/Rename/1") else bodies[problem.task_id]

    found = [
        CodeSample(key=p.key, solution=p.prompt + solved(p), stop="end", invalid_utf8=0)
        for p in problems.problems
        if p.variant != "nominal_partial"
    ]
    found += [
        CodeSample(key=p.key, solution=p.prompt + "    0\n", stop="end", invalid_utf8=1)
        for p in problems.problems
        if p.variant == "nominal_partial"
    ]
    content = report(problems, judge(scorer, problems, found, (BASE,)), (BASE,))
    assert {name: one["value"] for name, one in content["pass_at_k"]["base"].items()} == {
        "nominal_full": 1.0,
        "nominal_partial": 0.0,
    }
    families = content["robustness"]
    assert (families["func_name"]["all"]["worst"], families["func_name"]["all"]["average"]) == (0.5, 0.75)
    assert families["nlaugmenter"]["all"]["worst"] == 0.5, "behind quotes that do not close nothing compiles"
    assert families["nlaugmenter"]["clean"]["worst"] == 1.0
    assert content["samples_with_invalid_utf8"] == 2
    assert sum(content["statuses"]["base"].values()) == content["samples"] == 12


def test_runs_come_back_in_order(scorer: Scorer) -> None:
    codes = [f"def f():\n    return {number}\n" for number in range(5)]
    runs = [Run(solution=code, test="assert f() % 2\n", limit_seconds=20) for code in codes]
    seen: list[tuple[str, int, int]] = []
    scorer.advance = lambda *step: seen.append(step)
    statuses = scorer._all("base", [lambda run=run: scorer._status(run) for run in runs])  # type: ignore[misc]
    assert statuses == ["wrong", "passed"] * 2 + ["wrong"]
    assert seen == [("base", done, 5) for done in range(1, 6)]


@needs_real
@pytest.mark.parametrize(("task", "limit"), [("humaneval", 3), ("mbpp", 3)])
def test_published_problems_score_as_they_should(task: str, limit: int, scorer: Scorer) -> None:
    problems = load_problems(str(REAL), task, suites=BOTH, limit=limit)
    bodies = [problem.canonical for problem in problems.problems]
    shifted = [
        CodeSample(key=problem.key, solution=problem.prompt + body, stop="", invalid_utf8=0)
        for problem, body in zip(problems.problems, bodies[1:] + bodies[:1], strict=True)
    ]
    verdicts = judge(scorer, problems, canonical(problems) + shifted, BOTH)
    assert [verdict.passed(PLUS) for verdict in verdicts] == [True] * limit + [False] * limit


@needs_real
def test_the_one_published_test_that_is_broken_is_corrected(scorer: Scorer) -> None:
    """HumanEval/32: as published no solution passes; corrected the canonical one does, and a wrong one does not."""
    (name,) = CORRECTED_TESTS
    problems = load_problems(str(REAL), "humaneval", suites=BOTH)
    (problem,) = (problem for problem in problems.problems if problem.task_id == name)
    (row,) = (row for row in published("HumanEvalPlus-OriginFmt") if row["task_id"] == name)
    test = row["test"] + f"\ncheck({row['entry_point']})\n"
    right = problem.prompt + problem.canonical
    assert corrected(name, test, right, problem.entry_point) == problem.tests[PLUS] != test
    wrong = (problem.prompt + f"    return {root}\n" for root in ("0.5", "math.nan", "math.inf"))
    tried = (
        (right, test, False),
        *((solution, problem.tests[PLUS], solution == right) for solution in (right, *wrong)),
    )
    for solution, tests, passed in tried:
        assert scorer.sandbox.run(solution, tests, limit_seconds=60).passed == passed


@needs_real
@pytest.mark.slow
@pytest.mark.parametrize(("task", "count"), [("humaneval", 14), ("mbpp", 32)])
def test_canonical_solutions_of_every_twelfth_problem_pass(task: str, count: int, scorer: Scorer) -> None:
    """Though their tests reach them through values only. `evaluate score` runs all 542 before it scores anything."""
    problems = load_problems(str(REAL), task, suites=BOTH).problems[::12]
    runs = [
        Run(
            solution=problem.prompt + problem.canonical,
            test=problem.tests[PLUS],
            limit_seconds=400,
            entry_point=problem.entry_point,
        )
        for problem in problems
    ]
    statuses = scorer._all(PLUS, [lambda run=run: scorer._status(run) for run in runs])  # type: ignore[misc]
    failed = {problem.task_id: status for problem, status in zip(problems, statuses, strict=True) if status != "passed"}
    assert (failed, len(statuses)) == ({}, count)
