"""The commands of `python -m trainer evaluate`: their options are the fields of trainer/evaluation/settings.py."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from schemas.config import from_options
from schemas.errors import SettingsError
from schemas.options import add_options
from trainer.evaluation.settings import (
    BitsPerByteSettings,
    CodeSettings,
    ScoreSettings,
    TranslationSettings,
    of_run,
)

if TYPE_CHECKING:
    from trainer.data.dataset import Dataset
    from trainer.evaluation.code.completions import Completion
    from trainer.evaluation.code.sandbox import Sandbox
    from trainer.model.evabyte import EvaByte


def add(options: argparse.ArgumentParser) -> None:
    """Add the command of each evaluation to the parser of `evaluate`."""
    commands = options.add_subparsers(dest="measure", required=True, metavar="MEASURE")
    bpb = commands.add_parser("bpb", help="bits per raw byte on held-out documents")
    add_options(bpb, BitsPerByteSettings)
    bpb.set_defaults(run=_run_bpb, stopped="nothing was written")
    code = commands.add_parser("code", help="continue the prompts of HumanEval(+), MBPP(+) or ReCode")
    add_options(code, CodeSettings)
    code.set_defaults(run=_run_code, stopped="the same command continues after the batches that are finished")
    score = commands.add_parser("score", help="run samples of code with their tests, in a sandbox")
    score.add_argument("samples", metavar="FILE", help="samples.jsonl: task_id and solution or completion in each line")
    add_options(score, ScoreSettings)
    score.set_defaults(run=_run_score, stopped="no results were written")
    translation = commands.add_parser("translation", help="from one encoding to the other, greedy")
    add_options(translation, TranslationSettings)
    translation.set_defaults(run=_run_translation, stopped="nothing was written")


def _run_bpb(options: argparse.Namespace) -> int:
    from trainer.evaluation.bits_per_byte import COMP_HEAD, held_out_symbols, score
    from trainer.generation.opening import mixing_mode, opening
    from trainer.training.device import training_device
    from trainer.training.load_model import load_model

    settings = from_options(BitsPerByteSettings, options)
    model, run = load_model(settings.model, device=training_device(settings.device))
    sequence_length = of_run(settings.sequence_length, run, "sequence_length")
    mode = mixing_mode(run)
    symbols_of = str(run["compressor"]) if mode == "comp-only" else None
    dataset = _held_out_dataset(settings, run, model, compressor=symbols_of)
    texts = held_out_symbols(dataset) if symbols_of else (texts for _, texts in dataset.held_out_documents())
    result = None
    head = COMP_HEAD if symbols_of else opening(mode)
    for result in score(model, texts, sequence_length=sequence_length, head=head):
        if settings.max_bytes and result.raw_bytes >= settings.max_bytes:
            break
    if result is None or not result.raw_bytes:
        raise SettingsError(
            f"{settings.data} holds out no documents at a share of {dataset.held_out.share}; give --held-out-share"
        )
    how = f", read as {symbols_of} symbols alone" if symbols_of else ""
    print(
        f"{result.bits_per_byte:.4f} bits per byte over {result.raw_bytes:,} raw bytes of {result.documents:,} "
        f"held-out documents{how}, windows of {sequence_length} symbols"
    )
    return 0


def _held_out_dataset(
    settings: BitsPerByteSettings | TranslationSettings, run: Mapping[str, Any], model: EvaByte, compressor: str | None
) -> Dataset:
    """The dataset whose held-out documents are read; which those are, the model's run says where the options do not."""
    from trainer.data.dataset import Dataset, HeldOut
    from trainer.data.shard_cache import open_cache

    dataset = Dataset(
        settings.data,
        compressor=compressor,
        literals=bool(run.get("literals")),
        held_out=HeldOut(share=of_run(settings.held_out_share, run, "held_out_share")),
        cache=open_cache(settings.data, settings.shards.cache, settings.shards.cache_bytes),
    )
    dataset.check_vocabulary(model.config.vocabulary)
    return dataset


def _run_translation(options: argparse.Namespace) -> int:
    from schemas.files import canonical_json, make_room, replace_file
    from trainer.evaluation.translation import first_pairs, translate
    from trainer.generation.opening import mixing_mode, opening
    from trainer.training.device import training_device
    from trainer.training.load_model import load_model

    settings = from_options(TranslationSettings, options)
    if settings.out:
        make_room(settings.out)
    model, run = load_model(settings.model, device=training_device(settings.device))
    opening(mixing_mode(run))  # refuses a model that never saw raw bytes
    compressor = of_run(settings.compressor, run, "compressor")
    if not compressor:
        raise SettingsError(f"{settings.model} was trained on raw bytes alone; name the --compressor to translate from")
    positions = of_run(settings.positions, run, "sequence_length")
    dataset = _held_out_dataset(settings, run, model, compressor=compressor)
    pairs, left_out = first_pairs(dataset, documents=settings.documents, positions=positions)
    figures = translate(model, pairs)
    if settings.out:
        replace_file(settings.out, canonical_json({**dataclasses.asdict(figures), "left_out": left_out}))
    print(
        f"{figures.documents} held-out documents, {left_out} too long left out\n"
        f"{compressor} to raw: {figures.raw_exact:.1%} exact, similarity {figures.raw_similarity:.3f}\n"
        f"raw to {compressor}: {figures.comp_exact:.1%} exact, similarity {figures.comp_similarity:.3f}\n"
        f"bits per byte: {figures.bits_per_byte:.3f} alone, {figures.bits_per_byte_given_comp:.3f} after its own "
        f"encoding, {figures.bits_per_byte_given_other_comp:.3f} after another document's"
    )
    return 0


def _run_code(options: argparse.Namespace) -> int:
    from trainer.evaluation.code.workflow import draw_samples, open_scoring, sampled_problems, samples_file
    from trainer.training.device import training_device
    from trainer.training.load_model import load_model

    settings = from_options(CodeSettings, options)
    problems = sampled_problems(settings.scoring)
    file = samples_file(settings)
    sandbox = open_scoring(file.path, settings.scoring) if settings.scoring.allow_code_execution else None
    model, run = load_model(settings.model, device=training_device(settings.device))
    drawn = draw_samples(model, run, settings, file, problems, _progress())
    print(f"{drawn.path}: {drawn.samples:,} samples of {drawn.prompts:,} prompts, {_stops(drawn.completions)}")
    if sandbox is None:
        return 0
    options.stopped = f"no results were written, but {drawn.path} is complete: score it with `evaluate score`"
    return _score(drawn.path, settings.scoring, sandbox)


def _stops(completions: list[Completion]) -> str:
    """How often completions ended in each way, and how many are not UTF-8, as a sentence."""
    names = [completion.stop for completion in completions]
    counted = ", ".join(f"{names.count(name):,} {name}" for name in sorted(set(names)))
    invalid = sum(completion.invalid_utf8 > 0 for completion in completions)
    return f"ended by {counted}; {invalid:,} with bytes that are not UTF-8"


def _run_score(options: argparse.Namespace) -> int:
    from trainer.evaluation.code.workflow import open_scoring

    settings = from_options(ScoreSettings, options)
    return _score(options.samples, settings, open_scoring(options.samples, settings))


def _score(samples_path: str, settings: ScoreSettings, sandbox: Sandbox) -> int:
    """Score a samples file and print the summary."""
    from trainer.evaluation.code.results import summary
    from trainer.evaluation.code.workflow import results_path, score_samples

    results = score_samples(samples_path, settings, sandbox, _progress())
    print(f"{results_path(samples_path)}: {summary(results)}")
    return 0


def _progress() -> Callable[[str, int, int], None]:
    """What shows how far each phase is."""
    from schemas.progress import Progress

    shown: dict[str, Progress] = {}

    def advance(phase: str, done: int, total: int) -> None:
        if phase not in shown:
            shown[phase] = Progress(phase, total=total).__enter__()
            shown[phase].to(0)
        shown[phase].to(done)
        if done == total:
            shown[phase].__exit__(None, None, None)

    return advance
