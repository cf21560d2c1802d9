"""Every command that reads a dataset reads a remote one, or says in one line, with options of its own, what to do."""

from __future__ import annotations

import argparse
import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_options_in_messages import OPTION, own
from tests.trainer.datasets import COMPRESSOR, make_texts, write_dataset
from tests.trainer.evaluation.trained import knows_one
from trainer.__main__ import main
from trainer.cli import parser as cli
from trainer.model.hf_export import export_model


def commands(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """(words, parser) of every command that has no further commands."""
    subcommands = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not subcommands:
        yield name.strip(), parser
    for action in subcommands:
        for word, inner in action.choices.items():
            yield from commands(inner, f"{name} {word}")


READERS = {name: parser for name, parser in commands(cli.parser()) if "--data" in set(own(parser))}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of a small model."""
    path = tmp_path_factory.mktemp("model") / "export"
    export_model(knows_one(), str(path), mode="plain", positions=256)
    return path


def arguments(name: str, model: Path, url: str) -> list[str]:
    """A command line that gives everything that is required."""
    is_measure = any(action.dest == "model" for action in READERS[name]._actions)
    return [*name.split(), *([str(model)] if is_measure else []), "--data", url]


def test_there_are_such_commands() -> None:
    assert {"train", "evaluate bpb", "evaluate translation", "reproduce"} <= set(READERS)


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_message_names_options_of_the_command_that_gave_it(
    name: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    more = ["--compressor", COMPRESSOR] if name == "evaluate translation" else []
    assert main([*arguments(name, model, f"file://{tmp_path}/nothing"), *more]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert f"file://{tmp_path}/nothing" in line
    assert set(OPTION.findall(line)) <= {*own(READERS[name]), "--output"}, line


def test_a_remote_dataset_gives_the_figures_of_a_local_one(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_dataset(tmp_path / "dataset", make_texts([20]))
    cache = tmp_path / "cache"
    more = ["--sequence-length", "32", "--held-out-share", "0.5", "--device", "cpu"]
    assert main([*arguments("evaluate bpb", model, str(dataset)), *more]) == 0
    local = capsys.readouterr().out
    assert main([*arguments("evaluate bpb", model, f"file://{dataset}"), *more, "--cache", str(cache)]) == 0
    assert capsys.readouterr().out == local != ""
    assert [path.suffix for path in cache.iterdir()] == [".arrow"]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    assert main([*arguments("evaluate bpb", model, f"file://{dataset}"), *more]) == 0
    assert capsys.readouterr().out == local
    gc.collect()
    assert not list((tmp_path / "temporary").iterdir()), "without --cache nothing is left"
