"""Markup escapes everything; plots put data where they say."""

from __future__ import annotations

import html
import unicodedata
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.analysis.report.markup import Column, decimal, element, percent, table, text
from pipeline.analysis.report.svg import Plot, Scale, pixel, spread


class Tags(HTMLParser):
    """The tags and the text of some markup, as a browser's parser finds them."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text())
def test_text_is_never_markup(value: str) -> None:
    found = Tags(element("p", text(value), title=value))
    assert found.tags == ["p"]
    assert not any(unicodedata.category(c)[0] == "C" for c in found.text)
    if value.isprintable():
        assert found.text == value


@pytest.mark.parametrize(
    "hostile", ["</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "<!--", "a\0b"]
)
def test_hostile_attributes_and_cells(hostile: str) -> None:
    shown = table(hostile, [Column(title=hostile, number=False), Column(title="n")], [[hostile, "1"]], name=hostile)
    found = Tags(shown)
    assert set(found.tags) == {"div", "table", "caption", "span", "thead", "tbody", "tr", "th", "td"}
    assert "onerror" not in html.unescape("".join(part for part in shown.split(">")[::2] if "=" not in part))


def test_tables_have_captions_headings_and_right_aligned_numbers() -> None:
    shown = table("What", [Column(title="name", number=False), Column(title="value")], [["a", "1"]], name="t")
    assert "<caption><span>What</span></caption>" in shown
    assert '<th scope="col">name</th><th scope="col" class="n">value</th>' in shown
    assert '<th scope="row">a</th><td class="n">1</td>' in shown
    with pytest.raises(ValueError, match="zip"):
        table("What", [Column(title="name")], [["a", "1"]], name="t")


def test_numbers_for_people() -> None:
    assert (decimal(1234.5678), decimal(2, 1), percent(0.1), percent(0.98765, 2)) == (
        "1,234.568",
        "2.0",
        "10.0 %",
        "98.77 %",
    )
    assert (pixel(-0.01), pixel(12.34), pixel(100)) == ("0", "12.3", "100")


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.integers(2, 12))
@example(1.0, 401.0, 2)
def test_ticks_are_few_round_and_within(low: float, size: float, most: int) -> None:
    scale = Scale(low=low, high=low + size, start=0, end=100)
    ticks = scale.ticks(most)
    assert 1 <= len(ticks) <= most + 2 or size < 1e-2
    assert all(-1e-6 <= scale(tick) <= 100 + 1e-6 for tick in ticks)


def test_a_scale_is_linear() -> None:
    scale = Scale(low=1, high=3, start=10, end=30)
    assert [scale(value) for value in (1, 2, 3)] == [10, 20, 30]
    assert scale.ticks(4) == [1, 1.5, 2, 2.5, 3]


@given(st.lists(st.floats(0, 100), max_size=7).map(sorted))
def test_labels_stand_apart(places: list[float]) -> None:
    moved = spread(places, 10, 100)
    assert len(moved) == len(places)
    assert all(b - a >= 10 - 1e-9 for a, b in pairwise(moved))
    assert all(place <= 100 + 1e-9 for place in moved)


def test_labels_that_do_not_touch_stay() -> None:
    assert spread([5, 20, 60], 10, 100) == [5, 20, 60]
    assert spread([], 10, 100) == []


def test_a_plot_draws_every_point_at_its_place() -> None:
    plot = Plot(width=200, height=100, x=(0, 10), y=(0, 1), left=0, right=0, top=0, bottom=0)
    plot.point(5, 0.25, "c-raw", "circle", "<five>")
    plot.whisker(5, 0.2, 0.3, "c-raw")
    drawn = plot.svg("test", "a test")
    assert 'transform="translate(100,75)"' in drawn
    assert "<title>&lt;five&gt;</title>" in drawn
    assert 'y1="80" x2="100" y2="70"' in drawn
    assert drawn.startswith('<svg viewBox="0 0 200 100" role="img" aria-label="a test" class="plot test">')
