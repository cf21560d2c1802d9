"""Each folder says what happens in it: a drawing that names every file and folder there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.rooms import PACKAGES, ROOT

MIN_LINES, MAX_LINES = 5, 22
FOLDERS = sorted(path.parent for package in PACKAGES for path in (ROOT / package).rglob("__init__.py"))


def orientation(folder: Path) -> str:
    """The docstring of a folder."""
    return ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))) or ""


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_folder_draws_its_flow(folder: Path) -> None:
    lines = orientation(folder).splitlines()
    assert MIN_LINES <= len(lines) <= MAX_LINES
    assert lines[0].endswith((".", ":"))
    assert any("──" in line or re.match(r"\S+ {2,}\S", line.strip()) for line in lines), "there is no drawing"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_folder_names_what_is_in_it(folder: Path) -> None:
    words = set(re.findall(r"\w+", orientation(folder)))
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
    folders = {path.parent.name for path in folder.glob("*/__init__.py")}
    missing = (files | folders) - words
    assert sorted(missing) == [], "name them in the docstring of __init__.py"
