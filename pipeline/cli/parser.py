"""The command line of `python -m pipeline`: one parser, its commands by what they work on."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from pipeline.analysis.settings import AnalyzeSettings
from pipeline.cli import dataset, models, plan, preprocess
from schemas.options import OneLineParser, add_options

Run = Callable[[argparse.Namespace, Sequence[str]], int]

COMMANDS: dict[str, tuple[type | Callable[[argparse.ArgumentParser], None], Run, str]] = {
    "preprocess": (
        preprocess.add_preprocess_options,
        preprocess.run_preprocess,
        "turn a corpus into Arrow shards",
    ),
    "sample": (models.SampleSettings, models.run_sample, "draw the sample that models are made from"),
    "tokenizer": (models.TokenizerSettings, models.run_tokenizer, "train a SentencePiece tokenizer"),
    "verify": (dataset.VerifySettings, dataset.run_verify, "decode every document and compare it with raw"),
    "decode": (dataset.DecodeSettings, dataset.run_decode, "write the corpus again, byte for byte"),
    "show": (dataset.ShowSettings, dataset.run_show, "print a view of a shard"),
    "analyze": (AnalyzeSettings, dataset.run_analyze, "measure stability and collisions: tables and a page"),
    "plan": (plan.PlanOptions, plan.run_plan, "hours, storage and requests of a larger run"),
    "reformat": (dataset.ReformatSettings, dataset.run_reformat, "write held-out texts in other formatting"),
}
"""Command to the settings whose fields are its options, what runs it, and its line in the help."""


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; `run` of what it parses is the command's function."""
    top = OneLineParser(
        prog="python -m pipeline", description="Turn a corpus into Arrow shards with raw and compressed encodings."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (settings, run, help_line) in COMMANDS.items():
        command = commands.add_parser(name, help=help_line)
        if isinstance(settings, type):
            add_options(command, settings)
        else:
            settings(command)
        command.set_defaults(run=run)
    return top
