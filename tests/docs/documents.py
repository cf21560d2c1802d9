"""The Markdown files of the repository, and what they name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("schemas/*.md"), *ROOT.glob("kernels/*.md")]
)


def prose(text: str) -> Iterator[tuple[int, str]]:
    """(line number from 1, line) of everything outside of fenced blocks."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line


def blocks(text: str, language: str) -> list[str]:
    """The fenced code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def inline_code(text: str) -> list[str]:
    """What stands between single backquotes, line breaks as spaces."""
    outside = "\n".join(line for _, line in prose(text))
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", outside)]


def commands(text: str) -> list[str]:
    """All `python -m …` and `make …` commands, of blocks (continued lines joined) and of the running text."""
    shell = "\n".join(blocks(text, "sh")).replace("\\\n", " ")
    return [
        command
        for command in [*(line.strip() for line in shell.splitlines()), *inline_code(text)]
        if command.startswith(("python -m ", "make "))
    ]
