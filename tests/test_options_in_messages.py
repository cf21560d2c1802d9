"""Every option that a message, a help text or a docstring names is one that somebody can give."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
from collections.abc import Iterator

import pytest

from pipeline.cli import parser as pipeline_cli
from tests.rooms import MODULES, ROOT
from trainer.cli import parser as trainer_cli

OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
OTHER_PROGRAMS = {
    "--long": "zstd",
    "--min-time-limit": "evalplus.evaluate",
    **dict.fromkeys(("--model", "--model_args", "--tasks"), "lm_eval"),
}
"""Options that are neither ours nor Beam's, and whose they are."""


def own(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The options of a parser and of all its commands."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from own(command)


def beams() -> set[str]:
    """The options of Beam and of its runners; those of Dask's are known when its module is."""
    importlib.import_module("apache_beam.runners.dask.dask_runner")
    from apache_beam.options.pipeline_options import PipelineOptions

    parsers: list[argparse.ArgumentParser] = []
    PipelineOptions([]).get_all_options(add_extra_args_fn=parsers.append)
    return {name for parser in parsers for name in own(parser)}


def named(package: str) -> Iterator[tuple[str, str]]:
    """(option, where it is named) of every string in a package's files."""
    for module, path in MODULES.items():
        if module.partition(".")[0] == package:
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    for option in OPTION.findall(node.value):
                        yield option, f"{path.relative_to(ROOT)}:{node.lineno}"


@pytest.mark.parametrize("package", ["pipeline", "trainer"])
def test_every_option_that_is_named_exists(package: str) -> None:
    ours = set(own(pipeline_cli.parser())) | set(own(trainer_cli.parser()))
    known = ours | beams() | set(OTHER_PROGRAMS)
    unknown = sorted(f"{place} names {option}" for option, place in named(package) if option not in known)
    assert unknown == []


def test_the_makefile_gives_options_that_exist() -> None:
    ours = set(own(pipeline_cli.parser())) | set(own(trainer_cli.parser()))
    lines = (ROOT / "Makefile").read_text().replace("\\\n", " ").splitlines()
    calls = [line for line in lines if re.search(r"-m (pipeline|trainer) |PREPROCESS_OPTIONS =", line)]
    given = {option for line in calls for option in OPTION.findall(line)}
    assert len(given) > 10
    assert given - ours == set()
