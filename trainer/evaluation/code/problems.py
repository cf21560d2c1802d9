"""Problems to be solved by code, from the files of HumanEval(+), MBPP(+) and ReCode in a directory that the user gives.

    task       prompts                             base tests                          plus tests
    humaneval  HumanEvalPlus, else HumanEval       HumanEval                           HumanEvalPlus-OriginFmt
    mbpp       MbppPlus                            MbppPlus-OriginFmt: test_list       MbppPlus-OriginFmt: test
    recode     recode-humaneval-s5                 HumanEval

Each may lie there as .jsonl or .jsonl.gz. A problem's prompt is taken byte for byte. ReCode shows one problem in many
variants, named category/perturbation/seed, and in the two nominal ones that they are compared with.
"""

from __future__ import annotations

import logging
import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from schemas.errors import InputError, SettingsError
from trainer.evaluation.code.records import JsonRecord, read_records

logger = logging.getLogger(__name__)
Value = TypeVar("Value")

TASKS = ("humaneval", "mbpp", "recode")
BASE, PLUS = "base", "plus"
HUMANEVAL, HUMANEVAL_PLUS, HUMANEVAL_TESTS = "HumanEval.jsonl", "HumanEvalPlus.jsonl", "HumanEvalPlus-OriginFmt.jsonl"
MBPP_PLUS, MBPP_TESTS = "MbppPlus.jsonl", "MbppPlus-OriginFmt.jsonl"
RECODE = "recode-humaneval-s5.jsonl"
NOMINAL = ("nominal_full", "nominal_partial")
SHA256 = {
    HUMANEVAL: "1d49078ba3e2b196b9344535bef34a43021f038fad9561d6ee7c53450609a6a2",
    HUMANEVAL_PLUS: "42526ec0e7d5f3ee0b06d6ced98f8c8bae3d76519151bfb3d36f79010645bd7f",
    HUMANEVAL_TESTS: "04228b8a570ff7c346c740b91f0c6a0b323f86a26e903db8477c6f2d10f38819",
    MBPP_PLUS: "b54e762755248ca411b523c917fa9f93c07b5ff2966bf60b3917b853926a3dad",
    MBPP_TESTS: "132d01c96df6b4b0fe0cbb8414092fe62c51b873b160d1ec8fc2ded28484865a",
    RECODE: "b9372b1cdbaf61036d1744617c025a9f7783a6dfa1430dfa36e0e6e31a99680b",
}
"""sha256 of each file's text: HumanEval @6d43fb98, HumanEval+ v0.1.10, MBPP+ v0.2.0, ReCode @6688522 of five seeds."""

CORRECTED_TESTS = {
    "HumanEval/32": (
        "assert _poly(*candidate(*inp), inp) <= 0.0001",
        "if not abs(_poly(*inp, candidate(*[list(xs) for xs in inp]))) <= 0.0001: "
        "assert not abs(_poly(*inp, canonical()(*[list(xs) for xs in inp]))) <= 0.0001",
    ),
}
"""Plus tests that no solution can pass as published, with the line that is wrong and the line that was meant.

An input of which the canonical solution finds no root decides nothing: since Python 3.12, whose `sum` compensates, its
Newton's method goes astray on 7 of 886, and elsewhere a C library's `pow` may lead it to others.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """A prompt, and how to tell whether what follows solves it."""

    task_id: str
    """`HumanEval/0` or `Mbpp/2`, as evalplus has them."""
    prompt: str
    tests: dict[str, str]
    """Suite to Python source, which finds the names that the solution defines and raises where it is wrong."""
    entry_point: str = ""
    """Name of the function that the tests call."""
    canonical: str = ""
    """What to put behind the prompt, by those who wrote the problem; empty for ReCode's variants."""
    variant: str = ""
    """ReCode's category/perturbation/seed, or its category alone for the nominal ones; empty elsewhere."""
    broken: bool = False
    """ReCode: no body at all compiles behind this prompt."""

    @property
    def key(self) -> tuple[str, str]:
        """Task id and variant, which name a problem in a set of problems."""
        return self.task_id, self.variant


@dataclass(frozen=True, kw_only=True, slots=True)
class ProblemSet:
    """The problems of one task, in the order of their file."""

    task: str
    problems: tuple[Problem, ...]
    sha256: dict[str, str]
    """Name of a file to the sha256 of its text, as hex."""

    @property
    def task_ids(self) -> list[str]:
        """The different task ids, in order."""
        return list(dict.fromkeys(problem.task_id for problem in self.problems))

    def without(self, names: Sequence[str]) -> ProblemSet:
        """The set without the problems of some task ids; SettingsError for a task id that is not in it."""
        chosen = [name.strip() for name in names if name.strip()]
        if unknown := sorted(set(chosen) - set(self.task_ids)):
            raise SettingsError(f"--exclude names {', '.join(unknown)}, which {self.task} does not have here")
        left = tuple(problem for problem in self.problems if problem.task_id not in chosen)
        if not left:
            raise SettingsError(f"--exclude leaves no problem of {self.task}; name fewer")
        return replace(self, problems=left)


def load_problems(directory: str, task: str, *, suites: Sequence[str] = (BASE,), limit: int = 0) -> ProblemSet:
    """Read a task's files; only those that `suites` need. limit: the first so many task ids, 0 for all.

    InputError for a file that is missing or wrong, SettingsError for a task or a suite that there is not.
    """
    if task not in TASKS:
        raise SettingsError(f"task {task!r} is unknown; choose one of {', '.join(TASKS)}")
    if task == "recode" and PLUS in suites:
        raise SettingsError("recode has no plus tests; give --suite base")
    if limit < 0:
        raise SettingsError(f"--limit is {limit}; give 1 or more, or 0 for all problems")
    if not os.path.isdir(directory):
        raise InputError(f"no directory {directory}; --data-dir is where the files of {task} lie, such as {RECODE}.gz")
    files = _Files(directory)
    problems = {"humaneval": _humaneval, "mbpp": _mbpp, "recode": _recode}[task](files, PLUS in suites)
    _no_key_twice(problems)
    chosen = set(list(dict.fromkeys(problem.task_id for problem in problems))[: limit or None])
    return ProblemSet(
        task=task, problems=tuple(problem for problem in problems if problem.task_id in chosen), sha256=files.sha256
    )


class _Files:
    """The directory; remembers the digests of what was read."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.sha256: dict[str, str] = {}

    def has(self, name: str) -> bool:
        return any(os.path.isfile(os.path.join(self.directory, name + end)) for end in ("", ".gz"))

    def read(self, name: str) -> list[JsonRecord]:
        if not self.has(name):
            raise InputError(f"{self.directory} has no {name}[.gz]; {_REMEDY.get(name, 'put it there')}")
        records, digest = read_records(os.path.join(self.directory, name))
        self.sha256[name] = digest
        if SHA256[name] != digest:
            logger.warning("warning: %s/%s is not the release that is known (sha256 %s)", self.directory, name, digest)
        return records


_REMEDY = {
    HUMANEVAL: "it is data/HumanEval.jsonl.gz of github.com/openai/human-eval",
    HUMANEVAL_TESTS: "it comes with release v0.1.10 of evalplus/humanevalplus_release; or give --suite base",
    MBPP_PLUS: "it comes with release v0.2.0 of evalplus/mbppplus_release",
    MBPP_TESTS: "it comes with release v0.2.0 of evalplus/mbppplus_release",
    RECODE: "make it from dataset-release/ of github.com/amazon-science/recode",
}


def _humaneval(files: _Files, plus: bool) -> list[Problem]:
    tests = {record.text("task_id"): _checked(record) for record in files.read(HUMANEVAL)}
    plus_tests = {record.text("task_id"): _checked(record) for record in files.read(HUMANEVAL_TESTS)} if plus else {}
    problems = []
    for record in files.read(HUMANEVAL_PLUS if files.has(HUMANEVAL_PLUS) else HUMANEVAL):
        own = {BASE: _of(tests, record, HUMANEVAL)}
        if plus:
            test = _of(plus_tests, record, HUMANEVAL_TESTS)
            program = record.text("prompt") + record.text("canonical_solution")
            own[PLUS] = corrected(record.text("task_id"), test, program, record.text("entry_point"))
        problems.append(_problem(record, own))
    return problems


def _mbpp(files: _Files, plus: bool) -> list[Problem]:
    base_tests, plus_tests = {}, {}
    for record in files.read(MBPP_TESTS):
        number = record.values.get("task_id")
        imports = "".join(f"{line}\n" for line in record.texts("test_imports"))
        base_tests[f"Mbpp/{number}"] = imports + "\n".join(record.texts("test_list")) + "\n"
        plus_tests[f"Mbpp/{number}"] = imports + record.text("test")
    problems = []
    for record in files.read(MBPP_PLUS):
        own = {BASE: _of(base_tests, record, MBPP_TESTS)}
        if plus:
            own[PLUS] = _of(plus_tests, record, MBPP_TESTS)
        problems.append(_problem(record, own))
    return problems


def _recode(files: _Files, plus: bool) -> list[Problem]:
    nominal = {record.text("task_id"): record for record in files.read(HUMANEVAL)}
    problems = []
    for record in files.read(RECODE):
        original = _of(nominal, record, HUMANEVAL)
        category, broken = record.text("category"), record.values.get("broken", False)
        variant = category
        if category not in NOMINAL:
            seed = record.values.get("seed")
            if not isinstance(seed, int):
                raise record.error(f"field 'seed' is {seed!r}, it must be a whole number")
            variant = f"{category}/{record.text('perturbation')}/{seed}"
        problems.append(
            Problem(
                task_id=record.text("task_id"),
                prompt=record.text("prompt"),
                tests={BASE: f"{original.text('test')}\ncheck({record.text('entry_point')})\n"},
                entry_point=record.text("entry_point"),
                canonical=original.text("canonical_solution") if category == "nominal_full" else "",
                variant=variant,
                broken=bool(broken),
            )
        )
    return problems


def _problem(record: JsonRecord, tests: dict[str, str]) -> Problem:
    return Problem(
        task_id=record.text("task_id"),
        prompt=record.text("prompt"),
        tests=tests,
        entry_point=record.text("entry_point"),
        canonical=record.text("canonical_solution"),
    )


def _checked(record: JsonRecord) -> str:
    """The tests of a record in HumanEval's layout, where they define check(candidate)."""
    return f"{record.text('test')}\ncheck({record.text('entry_point')})\n"


def corrected(task_id: str, test: str, canonical: str, entry_point: str) -> str:
    """A published test with its wrong line corrected, where it has one, which may ask the canonical program."""
    if task_id not in CORRECTED_TESTS:
        return test
    program = textwrap.indent(canonical, "    ")
    return f"def canonical():\n{program}\n    return {entry_point}\n\n" + test.replace(*CORRECTED_TESTS[task_id])


def _of(by_task: dict[str, Value], record: JsonRecord, name: str) -> Value:
    task_id = record.text("task_id")
    if task_id not in by_task:
        raise record.error(f"task_id {task_id!r} is not in {name}; take both files from one release")
    return by_task[task_id]


def _no_key_twice(problems: list[Problem]) -> None:
    seen: set[tuple[str, str]] = set()
    for problem in problems:
        if problem.key in seen:
            raise InputError(f"problem {' '.join(problem.key).strip()} occurs twice; take the file as published")
        seen.add(problem.key)
