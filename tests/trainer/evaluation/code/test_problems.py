"""Problems: prompts byte for byte, tests of the right file, and one line for everything that can be wrong with them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from schemas.errors import InputError, SettingsError, UserError
from tests.trainer.evaluation.code.files import HUMANEVAL, REAL, lines, needs_real, published, write_files
from trainer.evaluation.code.problems import BASE, CORRECTED_TESTS, PLUS, corrected, load_problems
from trainer.evaluation.code.records import read_records


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_files(tmp_path / "data")


def test_prompts_and_canonical_solutions_are_the_files(data: Path) -> None:
    problems = load_problems(str(data), "humaneval", suites=(BASE, PLUS)).problems
    assert [(p.task_id, p.prompt, p.canonical) for p in problems] == [
        (row["task_id"], row["prompt"], row["canonical_solution"]) for row in HUMANEVAL
    ]
    assert problems[1].tests[BASE].endswith("\ncheck(twice)\n")
    assert "allclose" in problems[1].tests[PLUS]
    (mbpp,) = load_problems(str(data), "mbpp", suites=(BASE, PLUS)).problems
    assert mbpp.tests[BASE].splitlines()[:2] == ["import math", "assert add(1, 2) == 3"]
    assert mbpp.tests[PLUS].startswith("import math\nfor x in")


def test_recode_names_its_variants_and_keeps_the_broken_ones(data: Path) -> None:
    found = load_problems(str(data), "recode")
    assert found.task_ids == ["HumanEval/0", "HumanEval/1"]
    assert [p.variant for p in found.problems[:6]] == [
        *("nominal_full", "nominal_partial", "func_name/Rename/0", "func_name/Rename/1"),
        *("nlaugmenter/Spaces/0", "nlaugmenter/Typos/0"),
    ]
    assert [p.key for p in found.problems if p.broken] == [("HumanEval/0", "nlaugmenter/Spaces/0")]
    assert found.problems[2].tests[BASE].endswith("check(one_0)\n")


def test_plain_humaneval_is_enough_for_its_base_tests(tmp_path: Path) -> None:
    (tmp_path / "HumanEval.jsonl").write_bytes(lines(HUMANEVAL))
    assert len(load_problems(str(tmp_path), "humaneval").problems) == 2
    with pytest.raises(InputError, match=r"has no HumanEvalPlus-OriginFmt.jsonl\[.gz\]; .* or give --suite base"):
        load_problems(str(tmp_path), "humaneval", suites=(BASE, PLUS))


@pytest.mark.parametrize(("limit", "count"), [(0, 2), (1, 1), (2, 2), (9, 2)])
def test_the_limit_counts_problems(data: Path, limit: int, count: int) -> None:
    assert len(load_problems(str(data), "recode", limit=limit).task_ids) == count


def test_unknown_tasks_suites_limits_and_directories_are_refused(data: Path) -> None:
    for task, options, message in (
        ("apps", {}, "task 'apps' is unknown; choose one of humaneval, mbpp, recode"),
        ("recode", {"suites": (BASE, PLUS)}, "recode has no plus tests; give --suite base"),
        ("mbpp", {"limit": -1}, "--limit is -1; give 1 or more, or 0 for all problems"),
    ):
        with pytest.raises(SettingsError, match=message):
            load_problems(str(data), task, **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no directory .*nowhere; --data-dir is where the files of mbpp lie"):
        load_problems(str(data / "nowhere"), "mbpp")


def test_problems_are_left_out_by_name_only(data: Path) -> None:
    problems = load_problems(str(data), "recode")
    assert problems.without(["HumanEval/0"]).task_ids == ["HumanEval/1"]
    assert problems.without([""]) == problems
    with pytest.raises(SettingsError, match="--exclude names HumanEval/7, which recode does not have"):
        problems.without(["HumanEval/7"])
    with pytest.raises(SettingsError, match="leaves no problem"):
        problems.without(["HumanEval/0", "HumanEval/1"])


def test_another_release_is_read_with_a_warning(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_problems(str(data), "mbpp")
    assert "MbppPlus.jsonl is not the release that is known (sha256" in caplog.text


BROKEN = {
    "a line that is not JSON": (b'{"task_id": "HumanEval/0"\n', ":1: not JSON"),
    "not UTF-8": (b'{"task_id": "\xff"}\n', ":1: not JSON"),
    "a line that is no object": (b"[]\n", r":1: \[\] where a JSON object was expected"),
    "a field that is missing": (lines([HUMANEVAL[0], {"task_id": "HumanEval/1"}]), ":2: field 'test' is missing"),
    "a field of another type": (lines([{**HUMANEVAL[0], "test": 5}]), ":1: field 'test' is 5, it must be a string"),
    "half of a surrogate pair": (
        lines([HUMANEVAL[0], {**HUMANEVAL[1], "prompt": "caf\ud800"}]),
        ":2: field 'prompt' holds half of a surrogate pair",
    ),
    "an empty file": (b"", "holds no records"),
    "blank lines alone": (b"\n \n", "holds no records"),
    "a problem twice": (lines([HUMANEVAL[0], HUMANEVAL[0]]), "HumanEval/0 occurs twice"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_wrong_file_is_named_with_its_line(case: str, tmp_path: Path) -> None:
    content, message = BROKEN[case]
    (tmp_path / "HumanEval.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load_problems(str(tmp_path), "humaneval")
    assert "\n" not in str(caught.value)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "HumanEval.jsonl.gz"
    for content in (gzip.compress(lines(HUMANEVAL))[:-20], b"no gzip at all"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"HumanEval.jsonl.gz cannot be read .* fetch it again"):
            load_problems(str(tmp_path), "humaneval")


def test_files_of_different_releases_are_refused(data: Path) -> None:
    (data / "HumanEvalPlus-OriginFmt.jsonl.gz").write_bytes(gzip.compress(lines(HUMANEVAL[:1])))
    with pytest.raises(InputError, match="task_id 'HumanEval/1' is not in HumanEvalPlus-OriginFmt.jsonl"):
        load_problems(str(data), "humaneval", suites=(BASE, PLUS))


def test_the_digest_is_of_the_text_however_it_is_packed(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(HUMANEVAL))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines(HUMANEVAL), 1))
    assert read_records(str(tmp_path / "a.jsonl"))[1] == read_records(str(tmp_path / "b.jsonl"))[1]


@needs_real
def test_the_published_files_are_the_releases_that_are_known(caplog: pytest.LogCaptureFixture) -> None:
    found = {
        (task, suites): load_problems(str(REAL), task, suites=suites)
        for task, suites in (("humaneval", (BASE, PLUS)), ("mbpp", (BASE, PLUS)), ("recode", (BASE,)))
    }
    counts = [(len(one.problems), len({p.prompt for p in one.problems})) for one in found.values()]
    assert counts == [(164, 164), (378, 378), (14_760, 11_190)]
    assert sum(p.broken for p in found["recode", (BASE,)].problems) == 988
    assert caplog.text == ""


@needs_real
def test_a_corrected_test_differs_in_one_line_and_what_is_before_it() -> None:
    for row in published("HumanEvalPlus-OriginFmt"):
        program = row["prompt"] + row["canonical_solution"]
        test = corrected(row["task_id"], row["test"], program, row["entry_point"])
        before, after = row["test"].split("\n"), test.split("\n")
        after = after[len(after) - len(before) :]
        assert sum(a != b for a, b in zip(before, after, strict=True)) == (row["task_id"] in CORRECTED_TESTS)


def test_every_refusal_is_a_users_error() -> None:
    assert issubclass(InputError, UserError) and InputError.exit_code == 2
