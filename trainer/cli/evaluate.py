"""The options of `python -m trainer evaluate`, and what each of its commands does with them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from schemas.errors import SettingsError
from trainer.cli import translation as cli_translation

if TYPE_CHECKING:
    from trainer.evaluation.code.problems import ProblemSet
    from trainer.evaluation.code.sandbox import Sandbox

MODEL_HELP = "run, checkpoint or export (default: runs/tiny)"


def add(options: argparse.ArgumentParser) -> None:
    """The subcommands."""
    commands = options.add_subparsers(dest="measure", required=True, metavar="MEASURE")
    _bpb(commands.add_parser("bpb", help="bits per raw byte on held-out documents"))
    _code(commands.add_parser("code", help="continue the prompts of HumanEval(+), MBPP(+) or ReCode"))
    _score(commands.add_parser("score", help="run samples of code with their tests, in a sandbox"))
    cli_translation.add(
        commands.add_parser("translation", help="from one encoding to the other, greedy"), model_help=MODEL_HELP
    )


def _bpb(options: argparse.ArgumentParser) -> None:
    options.add_argument("model", nargs="?", default="runs/tiny", help=MODEL_HELP)
    options.add_argument("--data", default="data/stdlib", metavar="DIR", help="finished dataset (default: data/stdlib)")
    options.add_argument("--held-out-share", type=float, default=None, help="of the documents (default: the run's)")
    options.add_argument("--row-symbols", type=int, default=None, help="length of a window (default: the run's)")
    options.add_argument(
        "--max-bytes", type=int, default=0, help="stop after about so many bytes; 0 for all (default: 0)"
    )
    _device(options)
    options.set_defaults(run=_run_bpb)


def _run_bpb(options: argparse.Namespace) -> int:
    from trainer.data.dataset import Dataset, HeldOut
    from trainer.evaluation.bits_per_byte import score
    from trainer.training.load_model import load_model
    from trainer.training.parallel import training_device

    model, settings = load_model(options.model, device=training_device(options.device))
    share = settings.get("held_out_share", 0.05) if options.held_out_share is None else options.held_out_share
    row_symbols = options.row_symbols or settings.get("row_symbols", 1024)
    dataset = Dataset(options.data, compressor=None, held_out=HeldOut(share=share))
    result = None
    for result in score(model, (texts for _, texts in dataset.held_out_documents()), row_symbols=row_symbols):
        if options.max_bytes and result.raw_bytes >= options.max_bytes:
            break
    if result is None or not result.raw_bytes:
        raise SettingsError(f"{options.data} holds out no documents at a share of {share}; give --held-out-share")
    print(
        f"{result.bits_per_byte:.4f} bits per byte over {result.raw_bytes:,} raw bytes of {result.documents:,} "
        f"held-out documents, windows of {row_symbols} symbols"
    )
    return 0


def _code(options: argparse.ArgumentParser) -> None:
    options.add_argument("model", nargs="?", default="runs/tiny", help=MODEL_HELP)
    _problem_options(options)
    options.add_argument("--out", default=None, metavar="DIR", help="for the samples (default: MODEL/evaluation/TASK)")
    options.add_argument("--samples", type=int, default=1, help="per prompt (default: 1)")
    options.add_argument("--temperature", type=float, default=0.0, help="0 is greedy (default: 0)")
    options.add_argument(
        "--top-p", type=float, default=0.95, help="share of probability kept above temperature 0 (default: 0.95)"
    )
    options.add_argument("--max-new-bytes", type=int, default=2048, help="longest completion (default: 2048)")
    options.add_argument(
        "--context", type=int, default=None, help="symbols that prompt and completion must fit in (default: the run's)"
    )
    options.add_argument(
        "--truncate-left", action="store_true", help="cut off the beginning of prompts too long for it"
    )
    options.add_argument(
        "--batch-size", type=int, default=16, help="prompts at a time; changes no sample (default: 16)"
    )
    _device(options)
    _execution_options(options)
    options.set_defaults(run=_run_code)


def _run_code(options: argparse.Namespace) -> int:
    from trainer.evaluation.code import completions as samples
    from trainer.evaluation.code.sample_files import SampleFile, sample_lines
    from trainer.generation.sampling import Sampling
    from trainer.training.load_model import load_model
    from trainer.training.parallel import training_device

    out = options.out or os.path.join(options.model, "evaluation", options.task)
    problems = _problems(options)
    file = SampleFile(out, partial=bool(options.limit), overwrite=options.overwrite)
    sandbox = _sandbox(options, file.path) if options.allow_code_execution else None
    sampling = Sampling(temperature=options.temperature, top_p=options.top_p)
    model, run = load_model(options.model, device=training_device(options.device))
    settings = samples.SampleSettings(
        samples=options.samples,
        sampling=sampling,
        max_new_bytes=options.max_new_bytes,
        seed=options.seed,
        context=options.context or run.get("row_symbols", 16_384),
        truncate_left=options.truncate_left,
        batch_size=options.batch_size,
    )
    ids = samples.opening(run.get("mixing", {}).get("mode", ""))
    requests, owners = samples.plan(problems, settings)
    batches = file.resume(samples.identity(model, problems, settings))
    done = sum(map(len, batches))
    advance = _progress()
    for batch in samples.complete(model, requests[done:], settings, stops=samples.STOPS[options.task], ids=ids):
        file.add(batch)
        batches.append(batch)
        advance("samples", sum(map(len, batches)), len(requests))
    completions = [completion for batch in batches for completion in batch]
    file.finish(sample_lines(problems, completions, owners, requests))
    print(f"{file.path}: {len(owners):,} samples of {len(problems.problems):,} prompts, {_stops(completions)}")
    return _score_file(options, file.path, sandbox) if sandbox else 0


def _stops(completions: list[Any]) -> str:
    """How the completions ended, in words."""
    names = [completion.stop for completion in completions]
    counted = ", ".join(f"{names.count(name):,} {name}" for name in sorted(set(names)))
    invalid = sum(completion.invalid_utf8 > 0 for completion in completions)
    return f"ended by {counted}; {invalid:,} with bytes that are not UTF-8"


def _score(options: argparse.ArgumentParser) -> None:
    options.add_argument(
        "samples", metavar="FILE", help="samples.jsonl: task_id and solution or completion in each line"
    )
    _problem_options(options)
    _execution_options(options)
    options.set_defaults(run=_run_score)


def _run_score(options: argparse.Namespace) -> int:
    if not options.allow_code_execution:
        raise SettingsError(
            "scoring runs code that a model wrote, on this machine; if you mean it, add --allow-code-execution"
        )
    return _score_file(options, options.samples, _sandbox(options, options.samples))


def _score_file(options: argparse.Namespace, path: str, sandbox: Sandbox) -> int:
    """Run every sample of a file and write results.json beside it."""
    from schemas.files import canonical_json, replace_file
    from trainer.evaluation.code.problems import load_problems
    from trainer.evaluation.code.results import arguments, summary
    from trainer.evaluation.code.sample_files import read_samples
    from trainer.evaluation.code.score import Scorer, report

    problems, suites = _problems(options), _suites(options)
    known = load_problems(options.data_dir, options.task).task_ids if options.limit else problems.task_ids
    problems = problems.without(options.exclude)
    samples, digest = read_samples(path, problems, all_task_ids=set(known))
    scorer = Scorer(sandbox, workers=options.workers or max(1, (os.cpu_count() or 1) // 2), advance=_progress())
    verdicts = scorer.judge(problems, samples, suites, scorer.limits(problems, suites))
    results = report(problems, verdicts, suites, seed=options.seed)
    results |= arguments(options, problems, sandbox=sandbox.kind, samples_sha256=digest)
    replace_file(_results_path(path), canonical_json(results))
    print(f"{_results_path(path)}: {summary(results)}")
    return 0


def _results_path(samples: str) -> str:
    """`results.json` for `samples.jsonl`, `results.partial.json` for `samples.partial.jsonl`."""
    directory, name = os.path.split(samples)
    stem = name.removesuffix(".jsonl")
    own = stem.replace("samples", "results", 1) if stem.startswith("samples") else f"{stem}.results"
    return os.path.join(directory, f"{own}.json")


def _sandbox(options: argparse.Namespace, samples: str) -> Sandbox:
    """The sandbox that was asked for, tried out; SettingsError where the results are there already."""
    from trainer.evaluation.code.sandbox import open_sandbox

    if options.workers < 0:
        raise SettingsError(f"workers {options.workers} must be 1 or more, or 0 for half of the cores")
    if os.path.exists(_results_path(samples)) and not options.overwrite:
        raise SettingsError(f"{_results_path(samples)} exists; give --overwrite to replace it")
    return open_sandbox(options.sandbox)


def _problem_options(options: argparse.ArgumentParser) -> None:
    options.add_argument(
        "--data-dir", required=True, metavar="DIR", help="where HumanEval.jsonl.gz and the like lie; nothing is fetched"
    )
    options.add_argument(
        "--task", choices=("humaneval", "mbpp", "recode"), default="humaneval", help="(default: humaneval)"
    )
    options.add_argument("--limit", type=int, default=0, help="only the first so many problems; 0 for all (default: 0)")
    options.add_argument("--seed", type=int, default=0, help="of samples and intervals (default: 0)")
    options.add_argument("--overwrite", action="store_true", help="replace samples and results that are there")


def _execution_options(options: argparse.ArgumentParser) -> None:
    options.add_argument(
        "--allow-code-execution", action="store_true", help="run what the model wrote; nothing is run without it"
    )
    options.add_argument(
        "--suite",
        choices=("base", "plus"),
        default=None,
        help="tests: base, or base and plus (default: plus; recode: base)",
    )
    options.add_argument(
        "--sandbox",
        choices=("auto", "namespace", "rlimits"),
        default="auto",
        help="namespaces, or resource limits alone; auto: namespaces where they are permitted (default: auto)",
    )
    options.add_argument("--workers", type=int, default=0, help="samples run at a time (default: half of the cores)")
    options.add_argument(
        "--exclude", default="", metavar="ID,…", help="problems to leave out, whose canonical solutions fail here"
    )


def _device(options: argparse.ArgumentParser) -> None:
    options.add_argument("--device", default="", help="cpu or cuda (default: cuda where there is one)")


def _suites(options: argparse.Namespace) -> tuple[str, ...]:
    suite = options.suite or ("base" if options.task == "recode" else "plus")
    return ("base", "plus") if suite == "plus" else ("base",)


def _problems(options: argparse.Namespace) -> ProblemSet:
    """The problems; without execution only what sampling needs of them."""
    from trainer.evaluation.code.problems import load_problems

    suites = _suites(options) if options.allow_code_execution else ("base",)
    return load_problems(options.data_dir, options.task, suites=suites, limit=options.limit)


def _progress() -> Callable[[str, int, int], None]:
    """A bar for each phase, on a terminal."""
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def advance(phase: str, done: int, total: int) -> None:
        if phase not in bars:
            bars[phase] = tqdm(total=total, desc=phase, disable=not sys.stderr.isatty())
        bars[phase].update(done - bars[phase].n)
        if done == total:
            bars[phase].close()

    return advance
