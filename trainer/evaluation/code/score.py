"""The scorer: every sample's solution is run with the tests of its problem, in the sandbox, and counted.

    canonical solutions ──► limits, self-check ──► distinct (solution, tests) ──► verdicts ──► pass@k, robustness

A problem's time limit is four times what its canonical solution took just now, at least 4 and at most 60 seconds. A
canonical solution that fails says that the machine or the files are wrong; then nothing is scored until the problem is
left out by name. A sample passes `plus` only if it passes `base` too.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeVar

from schemas.errors import InputError
from trainer.evaluation.code.pass_at_k import bootstrap, estimate
from trainer.evaluation.code.problems import BASE, PLUS, Problem, ProblemSet
from trainer.evaluation.code.robustness import robustness
from trainer.evaluation.code.sample_files import CodeSample
from trainer.evaluation.code.sandbox import PASSED, Sandbox

MIN_SECONDS, MAX_SECONDS, FACTOR = 4.0, 60.0, 4.0
KS = (1, 10, 100)
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A solution to be run with the tests of one suite."""

    solution: str
    test: str
    limit_seconds: float
    entry_point: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """How the runs of a sample ended: suite to a status of the sandbox."""

    sample: CodeSample
    statuses: dict[str, str]

    def passed(self, suite: str) -> bool:
        """Whether the sample passed a suite; plus includes base."""
        return all(self.statuses.get(name) == PASSED for name in ((BASE, PLUS) if suite == PLUS else (suite,)))


class Scorer:
    """Runs many samples on some threads, each of which waits for one process."""

    def __init__(
        self, sandbox: Sandbox, *, workers: int, advance: Callable[[str, int, int], None] | None = None
    ) -> None:
        """advance: called with a phase, how many runs are done and how many there are."""
        self.sandbox, self.workers = sandbox, workers
        self.advance = advance or (lambda phase, done, total: None)

    def limits(self, problems: ProblemSet, suites: Sequence[str]) -> dict[tuple[str, str], float]:
        """(task id, suite) to seconds. InputError names the canonical solutions that fail."""
        of_task: dict[str, Problem] = {}
        for problem in problems.problems:
            if problem.task_id not in of_task or problem.canonical:
                of_task[problem.task_id] = problem
        chosen = [(problem, suite) for problem in of_task.values() for suite in suites]
        results = self._all("canonical", [partial(self._timed, *pair) for pair in chosen])
        failed = {
            problem.task_id: f"{problem.task_id} ({suite}: {status})"
            for (problem, suite), (status, _) in zip(chosen, results, strict=True)
            if status != PASSED
        }
        if failed:
            raise InputError(
                f"canonical solutions that must pass fail here: {', '.join(failed.values())}; correct the files or the "
                f"machine, or leave these problems out with --exclude {','.join(failed)}"
            )
        return {
            (problem.task_id, suite): min(MAX_SECONDS, max(MIN_SECONDS, FACTOR * seconds))
            for (problem, suite), (_, seconds) in zip(chosen, results, strict=True)
        }

    def judge(
        self,
        problems: ProblemSet,
        samples: Sequence[CodeSample],
        suites: Sequence[str],
        limits: dict[tuple[str, str], float],
    ) -> list[Verdict]:
        """The verdict of every sample. Equal solutions of a problem are run once; plus only where base has passed."""
        by_key = {problem.key: problem for problem in problems.problems}
        statuses: list[dict[str, str]] = [{} for _ in samples]
        for suite in suites:
            runs = {
                number: Run(
                    solution=sample.solution,
                    test=by_key[sample.key].tests[suite],
                    limit_seconds=limits[sample.key[0], suite],
                    entry_point=by_key[sample.key].entry_point,
                )
                for number, sample in enumerate(samples)
                if all(status == PASSED for status in statuses[number].values())
            }
            distinct = list(dict.fromkeys(runs.values()))
            status_of = dict(
                zip(distinct, self._all(suite, [partial(self._status, run) for run in distinct]), strict=True)
            )
            for number, run in runs.items():
                statuses[number][suite] = status_of[run]
        return [Verdict(sample=sample, statuses=own) for sample, own in zip(samples, statuses, strict=True)]

    def _timed(self, problem: Problem, suite: str) -> tuple[str, float]:
        run = Run(
            solution=problem.prompt + problem.canonical,
            test=problem.tests[suite],
            limit_seconds=MAX_SECONDS,
            entry_point=problem.entry_point,
        )
        begun = time.monotonic()
        return self._status(run), time.monotonic() - begun

    def _status(self, run: Run) -> str:
        return self.sandbox.run(
            run.solution, run.test, limit_seconds=run.limit_seconds, entry_point=run.entry_point
        ).status

    def _all(self, phase: str, tasks: list[Callable[[], Result]]) -> list[Result]:
        """The results of all tasks, in order."""
        results = []
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                for done, result in enumerate(pool.map(lambda task: task(), tasks), 1):
                    results.append(result)
                    self.advance(phase, done, len(tasks))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return results


def report(
    problems: ProblemSet, verdicts: Sequence[Verdict], suites: Sequence[str], *, seed: int = 0
) -> dict[str, Any]:
    """The content of results.json that follows from the verdicts: no time, no place."""
    result: dict[str, Any] = {
        "problems": len(problems.problems),
        "samples": len(verdicts),
        "pass_at_k": {suite: _pass_at_k(problems, verdicts, suite, seed) for suite in suites},
        "statuses": {suite: _counted(verdict.statuses[suite] for verdict in verdicts if suite in verdict.statuses)
                     for suite in suites},
        "stops": _counted(verdict.sample.stop for verdict in verdicts),
        "samples_with_invalid_utf8": sum(verdict.sample.invalid_utf8 > 0 for verdict in verdicts),
        "verdicts": _by_key(verdicts),
    }  # fmt: skip
    if problems.task == "recode":
        passed = defaultdict(list)
        for verdict in verdicts:
            passed[verdict.sample.key].append(verdict.passed(BASE))
        result["robustness"] = robustness(problems.problems, passed)
    return result


def _pass_at_k(problems: ProblemSet, verdicts: Sequence[Verdict], suite: str, seed: int) -> dict[str, Any]:
    """k to an estimate, as far as every problem has k samples. ReCode: by nominal set, k = 1."""
    counts: dict[tuple[str, str], list[bool]] = {problem.key: [] for problem in problems.problems}
    for verdict in verdicts:
        counts[verdict.sample.key].append(verdict.passed(suite))
    if problems.task == "recode":
        nominal = sorted({variant for _, variant in counts if variant and "/" not in variant})
        return {
            variant: asdict(
                bootstrap([sum(own) / len(own) for key, own in counts.items() if key[1] == variant], seed=seed)
            )
            for variant in nominal
        }
    fewest = min(map(len, counts.values()))
    pairs = [(len(own), sum(own)) for own in counts.values()]
    return {str(k): asdict(estimate(pairs, k, seed=seed)) for k in KS if k <= fewest}


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(name for name in names if name).items()))


def _by_key(verdicts: Sequence[Verdict]) -> dict[str, list[dict[str, str]]]:
    """Task id, with its variant, to the statuses of its samples, in the file's order."""
    by_key: dict[str, list[dict[str, str]]] = {}
    for verdict in verdicts:
        by_key.setdefault(" ".join(verdict.sample.key).strip(), []).append(verdict.statuses)
    return by_key
