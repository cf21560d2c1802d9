"""The README's code blocks run: shell lines on a small dataset at data/stdlib, make lines as far as make -n goes."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.cli import parser as cli
from tests.trainer.serving.servers import served
from trainer.cli import parser as trainer_cli
from trainer.training.load_model import load_model

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def shell_lines() -> list[str]:
    """All commands of the shell blocks."""
    return [line for block in blocks("sh") for line in block.splitlines() if line.strip()]


def test_there_are_blocks_to_run() -> None:
    assert len(shell_lines()) >= 5
    assert len(blocks("python")) >= 2


@pytest.mark.parametrize("line", [line for line in shell_lines() if line.startswith("make ")])
def test_make_lines_become_commands_that_parse(line: str) -> None:
    shown = subprocess.run(
        ["make", "-n", *shlex.split(line, comments=True)[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
    commands = [shlex.split(text) for text in shown.stdout.replace("\\\n", " ").splitlines() if " -m " in text]
    ours = [
        words[words.index("-m") + 1 :] for words in commands if words[words.index("-m") + 1] in ("pipeline", "trainer")
    ]
    assert ours, shown.stdout
    for package, *words in ours:
        parser = cli.parser() if package == "pipeline" else trainer_cli.parser()
        assert parser.parse_args(words).command == words[0]


@pytest.mark.parametrize("line", [line for line in shell_lines() if line.startswith("python ")])
def test_python_lines_run(line: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    words = shlex.split(line)
    assert words[1:3] == ["-m", "pipeline"], line
    assert main(words[3:]) == 0


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_blocks_run(number: int, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    monkeypatch.chdir(workplace)
    block = blocks("python")[number]
    with ExitStack() as stack:
        if "import openai" in block:
            server = stack.enter_context(served(load_model("runs/demo")[0], name="mine"))
            assert block.count(":8000/") == 1
            block = block.replace(":8000/", f":{server.port}/")
        exec(compile(block, f"README.md, block {number}", "exec"), {})


def test_every_line_of_the_shell_blocks_is_run() -> None:
    assert all(line.startswith(("make ", "python ")) for line in shell_lines())


def tree_folders() -> list[str]:
    """The folders that the README's tree draws, as paths from the root."""
    (tree,) = re.findall(r"## The tree\n.*?```\n(.*?)```", README, re.DOTALL)
    found: list[str] = []
    above: list[str] = []
    for line in tree.splitlines():
        indent, name = re.fullmatch(r"([│├└─ ]*)(\w+)/ .*", line).groups()  # type: ignore[union-attr]
        assert len(indent) % 4 == 0, line
        above = [*above[: len(indent) // 4], name]
        found.append("/".join(above))
    return found


def test_the_tree_draws_the_folders_that_there_are() -> None:
    packages = ("schemas", "kernels", "pipeline", "trainer")
    own = {path.parent.relative_to(ROOT).as_posix() for name in packages for path in (ROOT / name).rglob("__init__.py")}
    drawn = tree_folders()
    assert len(drawn) == len(set(drawn))
    assert own <= set(drawn), "a folder of the code is missing in the README's tree"
    for folder in drawn:
        assert (ROOT / folder).is_dir(), f"the README's tree draws {folder}, which does not exist"


def test_the_public_names_are_explained() -> None:
    for package in ("schemas", "trainer"):
        for name in importlib.import_module(package)._HOMES:
            assert re.search(rf"`(from {package} import .*)?\b{name}\b.*`", README), f"{package}.{name}"


def test_the_documents_named_in_the_tree_exist() -> None:
    tree = README[README.index("## The tree") : README.index("## Contributing")]
    names = re.findall(r"\b[\w-]+\.md\b", tree)
    assert len(names) >= 5
    for name in names:
        assert list((ROOT / "docs").glob(name)) + list((ROOT / "kernels").glob(name)), name


def test_the_first_screen_has_a_program() -> None:
    """A newcomer sees what it is for, how it is installed and how it is used without scrolling."""
    first = README.splitlines()[:45]
    assert any(line.startswith("```sh") for line in first) and any(line.startswith("```python") for line in first)


def test_the_terms_of_the_code_are_explained() -> None:
    """Public classes of the data, and what the messages speak of, are words of the terminology."""
    table = README[README.index("## Terminology") : README.index("## The data path")].lower()
    terms = " ".join(re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE))
    for word in (
        *("raw", "comp", "symbol", "segment", "window", "interval", "code", "codebook", "prefix", "word", "collision"),
        *("score", "surprisal", "entropy", "theta", "byte lm", "document", "encoding", "held out", "span", "lane"),
        *("shard", "unit", "manifest", "reject", "view"),
    ):
        assert re.search(rf"\b{word}\b", terms), f"the README's terminology lacks {word}"
