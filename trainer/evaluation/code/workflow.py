"""From a model to samples.jsonl, and from samples.jsonl to results.json.

draw_samples    problems ─► prompts continued ─► samples.jsonl       resumed after an interruption
open_scoring    the sandbox, tried out before anything long begins
score_samples   samples.jsonl ─► runs in the sandbox ─► results.json
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.errors import SettingsError
from schemas.files import canonical_json, replace_file
from schemas.machine import usable_cpus
from trainer.evaluation.code import completions
from trainer.evaluation.code.problems import ProblemSet, load_problems
from trainer.evaluation.code.results import provenance
from trainer.evaluation.code.sample_files import SampleFile, read_samples, sample_lines
from trainer.evaluation.code.sandbox import Sandbox, open_sandbox
from trainer.evaluation.code.score import Scorer, report
from trainer.evaluation.settings import CodeSettings, ScoreSettings, of_run
from trainer.generation.opening import mixing_mode, opening
from trainer.generation.settings import Sampling
from trainer.model.evabyte import EvaByte

Advance = Callable[[str, int, int], None]
"""Called with the name of a phase, how many of its parts are done, and how many there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnSamples:
    """A finished samples file."""

    path: str
    samples: int
    prompts: int
    completions: list[completions.Completion]
    """The distinct continuations; several samples may share one."""


def samples_file(settings: CodeSettings) -> SampleFile:
    """The samples file that settings lead to; SettingsError where it exists and may not be replaced."""
    directory = settings.out or os.path.join(settings.model, "evaluation", settings.scoring.task)
    scoring = settings.scoring
    return SampleFile(directory, partial=bool(scoring.limit), overwrite=scoring.overwrite)


def draw_samples(
    model: EvaByte,
    run: Mapping[str, Any],
    settings: CodeSettings,
    file: SampleFile,
    problems: ProblemSet,
    advance: Advance,
) -> DrawnSamples:
    """Continue the prompts of all problems, batch by batch, and write the samples file.

    run: the settings that the model was trained with, empty where they are not known.
    """
    sampling = Sampling(temperature=settings.temperature, top_p=settings.top_p)
    chosen = completions.SampleSettings(
        samples=settings.samples,
        sampling=sampling,
        max_new_bytes=settings.max_new_bytes,
        seed=settings.scoring.seed,
        context=of_run(settings.context, run, "sequence_length"),
        truncate_left=settings.truncate_left,
        batch_size=settings.batch_size,
    )
    ids = opening(mixing_mode(run))
    requests, owners = completions.plan(problems, chosen)
    batches = file.resume(completions.identity(model, problems, chosen))
    rest = requests[sum(map(len, batches)) :]
    for batch in completions.complete(model, rest, chosen, stops=completions.STOPS[problems.task], ids=ids):
        file.add(batch)
        batches.append(batch)
        advance("samples", sum(map(len, batches)), len(requests))
    distinct = [completion for batch in batches for completion in batch]
    file.finish(sample_lines(problems, distinct, owners, requests))
    return DrawnSamples(path=file.path, samples=len(owners), prompts=len(problems.problems), completions=distinct)


def sampled_problems(settings: ScoreSettings) -> ProblemSet:
    """The problems to sample for, with the tests that scoring will need if code may be executed."""
    suites = settings.suites if settings.allow_code_execution else ("base",)
    return load_problems(settings.data_dir, settings.task, suites=suites, limit=settings.limit)


def open_scoring(samples_path: str, settings: ScoreSettings) -> Sandbox:
    """A sandbox that works; SettingsError where code may not be executed, or where the results exist."""
    if not settings.allow_code_execution:
        raise SettingsError(
            "scoring runs code that a model wrote, on this machine; if you mean it, add --allow-code-execution"
        )
    path = results_path(samples_path)
    if os.path.exists(path) and not settings.overwrite:
        raise SettingsError(f"{path} exists; give --overwrite to replace it")
    return open_sandbox(settings.sandbox)


def score_samples(samples_path: str, settings: ScoreSettings, sandbox: Sandbox, advance: Advance) -> dict[str, Any]:
    """Run every sample of a file with its tests and write results.json beside it; returns what was written."""
    problems = load_problems(settings.data_dir, settings.task, suites=settings.suites, limit=settings.limit)
    known = problems.task_ids
    if settings.limit:
        known = load_problems(settings.data_dir, settings.task).task_ids
    problems = problems.without(settings.exclude)
    samples, digest = read_samples(samples_path, problems, all_task_ids=set(known))
    workers = settings.workers or max(1, usable_cpus() // 2)
    scorer = Scorer(sandbox, workers=workers, advance=advance)
    limits = scorer.limits(problems, settings.suites)
    verdicts = scorer.judge(problems, samples, settings.suites, limits)
    results = report(problems, verdicts, settings.suites, seed=settings.seed)
    results |= provenance(settings, problems, sandbox=sandbox.kind, samples_sha256=digest)
    replace_file(results_path(samples_path), canonical_json(results))
    return results


def results_path(samples_path: str) -> str:
    """`results.json` for `samples.jsonl`, `results.partial.json` for `samples.partial.jsonl`, beside the samples."""
    directory, name = os.path.split(samples_path)
    stem = name.removesuffix(".jsonl")
    own = stem.replace("samples", "results", 1) if stem.startswith("samples") else f"{stem}.results"
    return os.path.join(directory, f"{own}.json")
