"""The command line of `python -m trainer`: its commands, which have a file each."""

from __future__ import annotations

import argparse

from schemas.options import OneLineParser
from trainer.cli import evaluate as cli_evaluate
from trainer.cli import export as cli_export
from trainer.cli import generate as cli_generate
from trainer.cli import lm as cli_lm
from trainer.cli import plot as cli_plot
from trainer.cli import reproduce as cli_reproduce
from trainer.cli import serve as cli_serve
from trainer.cli import train as cli_train


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = OneLineParser(prog="python -m trainer", description="Train models on samples and shards, and use them.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    cli_lm.add(commands.add_parser("lm", help="train the byte LM of the neural compressor"))
    cli_train.add(commands.add_parser("train", help="train EvaByte on a dataset"))
    cli_generate.add(commands.add_parser("generate", help="continue a prompt, raw bytes in and out"))
    cli_serve.add(commands.add_parser("serve", help="answer completions over HTTP, in the OpenAI form"))
    cli_evaluate.add(commands.add_parser("evaluate", help="bits per byte, and problems to be solved by code"))
    cli_reproduce.add(commands.add_parser("reproduce", help="the paper's ablations, at a scale that fits here"))
    cli_plot.add(commands.add_parser("plot", help="draw loss and held-out bits of runs"))
    cli_export.add(commands.add_parser("export", help="write the EvaByte Hugging Face layout"))
    return top
