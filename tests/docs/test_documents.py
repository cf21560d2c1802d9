"""The Markdown files: paragraphs are filled, what they name exists, and every command that they name parses."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path

import pytest

from pipeline.cli import parser as pipeline_cli
from tests.docs.documents import DOCUMENTS, GENERATED, LINK_ITEM, ROOT, commands, prose, slug, wrapped
from trainer.cli import parser as trainer_cli

OURS = ("schemas", "kernels", "pipeline", "trainer", "tests", "docs", r"\.ci", r"\.github")
PATH = re.compile(rf"(?<![\w/.])(?:{'|'.join(OURS)})(?:/[\w.*-]+)+/?")
FILE_NAME = re.compile(r"(?<![\w/.*<-])[\w-]+\.(?:py|md)\b")
ELSEWHERE = {"registry_utils.py"}
"""Files of other projects that are named."""

named = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())


@cache
def file_names() -> set[str]:
    """The names of all files that git knows."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {Path(line).name for line in listed.splitlines()}


def test_there_are_documents() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in DOCUMENTS}
    assert {"README.md", "CONTRIBUTING.md", "docs/decisions.md", "schemas/CHANGES.md"} <= names


@named
def test_paragraphs_are_filled(path: Path) -> None:
    if path.relative_to(ROOT).as_posix() not in GENERATED:
        text = path.read_text("utf-8")
        assert text == wrapped(text), "run `python -m tests.docs.documents`"


@named
def test_lines_are_not_wider_than_125_characters(path: Path) -> None:
    if path.relative_to(ROOT).as_posix() not in GENERATED:
        lines = prose(path.read_text("utf-8"))
        wide = [(number, line) for number, line in lines if len(line) > 125]
        assert [number for number, line in wide if line[0] != "|" and not LINK_ITEM.fullmatch(line)] == []


@named
def test_links_within_the_repository_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8")):
        if "://" not in target and not target.startswith("#"):
            assert (path.parent / target.partition("#")[0]).exists(), f"{path.name} links to {target}"


@named
def test_paths_that_are_named_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    for name in set(PATH.findall(text)):
        assert list(ROOT.glob(name.rstrip("/."))), f"{path.name} names {name}"
    for name in set(FILE_NAME.findall(text)) - ELSEWHERE:
        assert name in file_names(), f"{path.name} names {name}"


COMMANDS = [(path, *command) for path in DOCUMENTS for command in commands(path.read_text("utf-8"))]


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 60


@pytest.mark.parametrize(("path", "command", "whole"), COMMANDS, ids=lambda value: getattr(value, "name", value))
def test_a_command_parses(path: Path, command: str, whole: bool) -> None:
    """Alternatives as in `bpb|code` are tried one by one; what follows an ellipsis is not looked at."""
    words = shlex.split(command.partition("…")[0])
    for word in words:
        if re.fullmatch(r"[a-z-]+(\|[a-z-]+)+", word):
            for choice in word.split("|"):
                check([choice if other == word else other for other in words], whole=whole)
            return
    check(words, whole=whole)


def check(words: list[str], *, whole: bool) -> None:
    """Fail unless a command line is one of ours; one of the running text may lack arguments that are required."""
    if words[0] == "make":
        shown = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
        assert shown.returncode == 0, shown.stderr
        return
    module, arguments = words[2], words[3:]
    if module in ("pipeline", "trainer"):
        parser = pipeline_cli.parser() if module == "pipeline" else trainer_cli.parser()
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            try:
                _, extra = parser.parse_known_args(arguments)
            except SystemExit as stop:
                missing = "the following arguments are required" in errors.getvalue()
                assert stop.code == 0 or (missing and not whole), errors.getvalue()
                return
        # What preprocess does not know are Beam's options.
        assert extra == [] or arguments[0] == "preprocess", f"{' '.join(words)}: {extra}"
    elif module.startswith(("tests", "docs")):
        file = ROOT / module.replace(".", "/")
        assert file.with_suffix(".py").is_file() or (file / "__main__.py").is_file(), module
        if arguments and module in ("tests.bench", "tests.soak") and not arguments[0].startswith("-"):
            assert (file / f"{arguments[0]}.py").is_file(), f"{module} has no {arguments[0]}"


def test_every_decision_is_in_the_index() -> None:
    text = (ROOT / "docs/decisions.md").read_text("utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    index = re.findall(r"\]\(#([^)]+)\)", text.partition("\n## ")[0])
    assert sorted(index) == sorted(slug(heading) for heading in headings)
    assert len(set(index)) == len(index) > 40
