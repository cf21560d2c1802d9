"""docs/how-it-works.md is what its generator computes, and no number in it comes from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.how_it_works import PAGE, TEMPLATE, render

CONSTANTS = {"256", "2^16", "2^32", "2^48", "16"}
"""Of the format itself: bytes, the precision of intervals, the coder's state and grid, bits of a window."""


@pytest.mark.slow
def test_the_page_is_up_to_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = render(tmp_path)
    remedy = "run `python -m tests.docs.how_it_works --update` and read what changed"
    assert page == PAGE.read_text("utf-8"), remedy


def test_every_other_number_of_the_template_is_a_constant_of_the_format() -> None:
    text = re.sub(r"\{\{\w+\}\}|\]\([^)]*\)|UTF-8|−log₂", "", TEMPLATE.read_text("utf-8"))
    numbers = set(re.findall(r"\d+(?:\^\d+|[.,]\d+)*", text))
    assert numbers - {"0"} == CONSTANTS
