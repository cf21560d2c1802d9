"""The command line of `python -m pipeline`: one parser, its commands by what they work on."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn

from pipeline.cli.dataset import add_analyze_options, add_decode_options, add_show_options, add_verify_options
from pipeline.cli.models import add_sample_options, add_tokenizer_options
from pipeline.cli.plan import add_plan_options
from pipeline.cli.preprocess import add_preprocess_options
from pipeline.cli.reformat import add_reformat_options

COMMANDS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], str]] = {
    "preprocess": (add_preprocess_options, "a corpus becomes verified Arrow shards"),
    "sample": (add_sample_options, "draw the sample that models are made from"),
    "tokenizer": (add_tokenizer_options, "train a SentencePiece tokenizer"),
    "verify": (add_verify_options, "decode every document and compare it with raw"),
    "decode": (add_decode_options, "the corpus back, byte for byte"),
    "show": (add_show_options, "print a view of a shard"),
    "analyze": (add_analyze_options, "tables and a page: does it deserve trust?"),
    "plan": (add_plan_options, "hours, storage and requests of a larger run"),
    "reformat": (add_reformat_options, "held-out texts in other formatting"),
}


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = _Parser(
        prog="python -m pipeline", description="Turn a corpus into Arrow shards with raw and compressed encodings."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (add_options, help_line) in COMMANDS.items():
        add_options(commands.add_parser(name, help=help_line, formatter_class=_Help))
    return top


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see `{self.prog} --help`\n")


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Defaults in every help line."""
