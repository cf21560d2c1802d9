"""The Markdown files of the repository: how they are wrapped, and what they name.

python -m tests.docs.documents    # wrap the paragraphs of all of them again
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("schemas/*.md"),
        *ROOT.glob("kernels/*.md"),
        *ROOT.glob("tests/*.md"),
    ]
)

WIDTH = 120
"""Of the lines of a paragraph, in characters. Lines of tables and code have no limit that a wrapper could keep."""
GENERATED = ("docs/reproduction.md",)
"""Written by a command, as it likes."""
LINK_ITEM = re.compile(r"- \[[^]]*\]\(#[^)]*\)")
"""A list item that is one link to a heading: it stays on one line."""
_ITEM = re.compile(r"( *)([-*]|\d+\.) +")


def wrapped(text: str) -> str:
    """Markdown with its paragraphs and list items filled; headings, tables, code and HTML comments as they are.

    A heading gets the empty line before it that it needs.
    """
    done: list[str] = []
    paragraph: list[str] = []

    def flush() -> None:
        if paragraph:
            item = _ITEM.match(paragraph[0])
            indent = " " * (item.end() if item else len(paragraph[0]) - len(paragraph[0].lstrip()))
            # A short piece of code stays on one line.
            words = re.sub(
                r"`[^`]{1,60}`", lambda code: code[0].replace(" ", "\0"), " ".join(map(str.strip, paragraph))
            )
            first = item[1] if item else indent
            filled = textwrap.wrap(
                words,
                WIDTH,
                initial_indent=first,
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
            done.extend(line.replace("\0", " ") for line in filled)
            paragraph.clear()

    fenced = False
    for line in text.splitlines():
        fence = line.lstrip().startswith("```")
        as_it_is = fenced or fence or not line.strip() or line.startswith(("|", "#", "<!--", "    "))
        as_it_is = as_it_is or bool(LINK_ITEM.fullmatch(line))
        if as_it_is and not (paragraph and line.startswith("    ") and not fenced):
            flush()
            # What two branches appended to one file is joined without one.
            if line.startswith("#") and not fenced and done and done[-1]:
                done.append("")
            done.append(line.rstrip())
        else:
            if _ITEM.match(line):
                flush()
            paragraph.append(line)
        fenced ^= fence
    flush()
    return "\n".join(done) + "\n"


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


def commands(text: str) -> list[tuple[str, bool]]:
    """All `python -m …` and `make …` commands, and whether they are in a shell block, where they are whole.

    Continued lines of blocks are joined; the other commands are those of the running text.
    """
    shell = "\n".join(blocks(text, "sh")).replace("\\\n", " ")
    found = [(line.strip(), True) for line in shell.splitlines()] + [(code, False) for code in inline_code(text)]
    return [(command, whole) for command, whole in found if command.startswith(("python -m ", "make "))]


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


if __name__ == "__main__":
    for path in DOCUMENTS:
        if path.relative_to(ROOT).as_posix() not in GENERATED:
            path.write_text(wrapped(path.read_text("utf-8")), "utf-8")
