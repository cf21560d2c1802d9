"""The report as a person sees it, in a real browser: what is visible, by pointer and by keyboard, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.analysis.findings import Findings
from pipeline.analysis.report.page import report_html
from schemas.files import replace_file
from tests.pipeline.analysis.corpora import hostile_dataset
from tests.pipeline.analysis.report.browsers import chromium, size_to
from tests.pipeline.analysis.report.findings import ENCODINGS, LINES, findings
from tests.pipeline.runs import Preprocess

HEADINGS = ["Stability", "Corpus", "Compressors", "Distributions", "Samples"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, preprocess: Preprocess) -> Findings:
    """Findings about hostile documents."""
    return findings(hostile_dataset(tmp_path_factory.mktemp("browser") / "corpus", preprocess))


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory, found: Findings) -> Iterator[Any]:
    """A browser with the report open on a desk's screen."""
    directory = tmp_path_factory.mktemp("page")
    replace_file(str(directory / "report.html"), report_html(found))
    with chromium(directory / "profile") as opened:
        size_to(opened, 1280, 900)
        opened.get((directory / "report.html").as_uri())
        yield opened


@pytest.fixture(autouse=True)
def fresh(driver: Any) -> None:
    """A desk's screen, no focus, no tip."""
    size_to(driver, 1280, 900)
    driver.execute_script("document.activeElement.blur(); document.getElementById('tip').hidden = true; scrollTo(0, 0)")


def texts(driver: Any, selector: str) -> list[str]:
    """The visible text of all elements."""
    return [one.text for one in driver.find_elements("css selector", selector)]


def table(driver: Any, name: str) -> list[list[str]]:
    """The visible cells of a table's body."""
    return [
        [cell.text for cell in row.find_elements("css selector", "th, td")]
        for row in driver.find_elements("css selector", f"#table-{name} tbody tr")
    ]


def visible(driver: Any, selector: str) -> list[Any]:
    """Elements that take room on the screen."""
    return [one for one in driver.find_elements("css selector", selector) if one.is_displayed()]


def press(driver: Any, key: str, times: int = 1) -> None:
    """Press a key of the real keyboard."""
    from selenium.webdriver.common.keys import Keys

    for _ in range(times):
        driver.switch_to.active_element.send_keys(getattr(Keys, key))


def tip(driver: Any) -> dict[str, str]:
    """The lines of the tip, or nothing where there is none to see."""
    if not visible(driver, "#tip"):
        return {}
    return dict(zip(texts(driver, "#tip dt"), texts(driver, "#tip dd"), strict=True))


def test_headings_and_navigation(driver: Any, found: Findings) -> None:
    assert texts(driver, "h1") == [f"What the compressors do to {found.dataset}"]
    assert texts(driver, "h2") == HEADINGS
    assert texts(driver, "nav a") == HEADINGS
    made = texts(driver, "header .made")[0]
    assert found.manifest_digest in made and found.command in made
    assert all(caption for caption in texts(driver, "section > .frame caption"))


def test_tables_have_the_manifests_numbers(driver: Any, found: Findings) -> None:
    totals = found.manifest.totals
    shown = dict(table(driver, "totals"))
    assert (shown["read"], shown["written"], shown["set aside"]) == tuple(
        f"{n:,}" for n in (totals.read, totals.written, totals.rejected)
    )
    assert shown["raw bytes"] == f"{totals.raw_bytes:,}"
    for name, symbols, ratio, segments, *_ in table(driver, "compressors"):
        assert symbols == f"{totals.symbols[name]:,}"
        assert ratio == f"{totals.raw_bytes / totals.symbols[name]:,.3f}"
        assert segments == f"{sum(shard.segments[name] for shard in found.manifest.shards):,}"
    assert {row[0] for row in table(driver, "compressors")} == set(totals.symbols)
    glance = {name: numbers for name, *numbers in table(driver, "glance")}
    assert glance["gzip"][1:] == ["0.955", "0.945 to 0.965"]
    aligned = driver.execute_script(
        "return [...document.querySelectorAll('td.n')].every(e => getComputedStyle(e).textAlign == 'right')"
    )
    assert aligned


def test_the_figure_has_its_points(driver: Any) -> None:
    (figure,) = visible(driver, "svg.frontier")
    points = figure.find_elements("css selector", ".point")
    assert len(points) == 3 * len(LINES) + len(ENCODINGS)
    names = {one.text for one in figure.find_elements("css selector", "text.name")}
    assert names == {"raw", "tokenizer", "neural, as stored", "gzip", "document", "8 bytes", "4 bytes", "2 bytes"}
    frame = figure.rect
    for point in points:
        at = point.rect
        assert frame["x"] <= at["x"] <= frame["x"] + frame["width"]
        assert frame["y"] <= at["y"] <= frame["y"] + frame["height"]
    gzip, raw = (figure.find_element("css selector", f".point.c-{name}").rect for name in ("gzip", "raw"))
    assert gzip["x"] > raw["x"] and gzip["y"] < raw["y"]
    panels = visible(driver, "svg.edits")
    assert [len(panel.find_elements("css selector", ".point")) for panel in panels] == [8, 8]


def test_the_histograms_have_their_bars(driver: Any, found: Findings) -> None:
    shown = visible(driver, "svg.histogram")
    assert sorted(len(one.find_elements("css selector", ".bar")) for one in shown) == sorted(
        len(one.counts) for one in found.statistics.histograms
    )
    scores = "svg.h-entropy-bits .threshold, svg.h-surprisal-bits .threshold"
    assert len(driver.find_elements("css selector", scores)) == 1


def expected(found: Findings, number: int, i: int) -> dict[str, str]:
    """What the tip must say about byte i of a sample."""
    sample = found.excerpts[number]
    assert sample.score_bits is not None
    segment = next(k for k, end in enumerate(sample.segment_ends) if end > i)
    return {
        "offset": f"{sample.start + i:,}",
        sample.score: f"{round(sample.score_bits[i], 3):.3f} bits",
        "segment": str(sample.first_segment + segment),
    }


def check_tip(driver: Any, found: Findings, number: int, i: int) -> None:
    """The tip tells the right numbers, within the window."""
    shown = tip(driver)
    wanted = expected(found, number, i)
    assert shown["offset"] == wanted["offset"]
    score = found.excerpts[number].score
    assert shown[score] == wanted[score]
    assert shown["segment"].split(":")[0] == wanted["segment"]
    assert shown["byte"].startswith(f"0x{found.excerpts[number].raw[i]:02x} ")
    assert int(shown["symbol"]) in found.excerpts[number].symbols
    box = driver.find_element("id", "tip").rect
    width, height, x, y = driver.execute_script("return [innerWidth, innerHeight, scrollX, scrollY]")
    assert box["x"] - x >= 0 and box["x"] + box["width"] - x <= width
    assert box["y"] - y >= 0 and box["y"] + box["height"] - y <= height


def test_a_byte_tells_its_numbers_on_hover(driver: Any, found: Findings) -> None:
    from selenium.webdriver import ActionChains

    for number, i in ((0, 3), (2, 0), (1, 17)):
        cells = driver.find_elements("css selector", f"#sample-{number} pre i")
        assert len(cells) == len(found.excerpts[number].raw)
        driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", cells[i])
        ActionChains(driver).move_to_element(cells[i]).perform()
        check_tip(driver, found, number, i)
    ActionChains(driver).move_to_element(driver.find_element("css selector", "#samples h2")).perform()
    assert tip(driver) == {}


def test_a_byte_tells_its_numbers_on_tab_and_arrows(driver: Any, found: Findings) -> None:
    driver.execute_script(
        "document.querySelector('#samples h2').tabIndex = -1; document.querySelector('#samples h2').focus()"
    )
    press(driver, "TAB")
    assert driver.switch_to.active_element.tag_name == "i"
    check_tip(driver, found, 0, 0)
    press(driver, "ARROW_RIGHT", 5)
    check_tip(driver, found, 0, 5)
    press(driver, "ARROW_LEFT")
    check_tip(driver, found, 0, 4)
    press(driver, "END")
    check_tip(driver, found, 0, len(found.excerpts[0].raw) - 1)
    press(driver, "HOME")
    press(driver, "ARROW_DOWN")
    check_tip(driver, found, 0, found.excerpts[0].segment_ends[0])
    press(driver, "ARROW_UP")
    check_tip(driver, found, 0, 0)
    assert driver.switch_to.active_element.get_attribute("aria-describedby") == "tip"
    press(driver, "ESCAPE")
    assert tip(driver) == {}
    press(driver, "TAB")
    check_tip(driver, found, 1, 0)


def test_nothing_of_a_document_runs(driver: Any, found: Findings) -> None:
    assert driver.title == f"What the compressors do to {found.dataset}"
    foreign = (
        "img, iframe, object, embed, main script:not([type='application/json']), [onerror], [onload], main style, b"
    )
    assert driver.find_elements("css selector", foreign) == []
    links = [one.get_attribute("href") for one in driver.find_elements("css selector", "a")]
    assert all("#" in link and "javascript" not in link for link in links)
    shown = "".join(texts(driver, "#samples"))
    assert "<img" in shown.replace("·", " ") and "onerror" in shown and "</script>" in shown.replace("\n", "")
    for name in (sample.source for sample in found.excerpts):
        assert name


def test_the_policy_stops_a_script_that_slips_in(driver: Any) -> None:
    driver.execute_script(
        "const s = document.createElement('script'); s.textContent = 'document.title = 1'; document.body.append(s);"
        "const i = document.createElement('img'); i.src = 'https://example.invalid/x.png'; document.body.append(i)"
    )
    assert driver.title != "1"
    messages = driver.get_log("browser")
    assert len(messages) >= 2 and all("Content Security Policy" in message["message"] for message in messages)


def test_no_message_and_no_request(found: Findings, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_bytes(report_html(found))
    page = (tmp_path / "report.html").as_uri()
    with chromium(tmp_path / "profile") as driver:
        driver.get(page)
        press(driver, "TAB", 3)
        assert driver.get_log("browser") == []
        events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    # The browser's own empty first page asks for its own parts.
    assert {url for url in asked if not url.startswith(("chrome:", "chrome-untrusted:", "data:"))} == {page}


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_nothing_sticks_out(width: int, height: int, dark: bool, driver: Any) -> None:
    size_to(driver, width, height, dark=dark)
    assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert len(visible(driver, "svg.frontier")) == 1
    heights = driver.execute_script(
        "return [...document.querySelectorAll('svg.plot text')].filter(e => e.checkVisibility())"
        ".map(e => e.getBoundingClientRect().height)"
    )
    assert min(heights) >= 9
    wide = "return [...document.querySelectorAll('pre.bytes[data-of]')].every(e => e.scrollWidth <= e.clientWidth)"
    assert driver.execute_script(wide)


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_on_every_shade(dark: bool, driver: Any) -> None:
    """WCAG's contrast of every kind of text: 4.5 at least, 2.5 for the marks that stand for white space."""
    size_to(driver, 1280, 900, dark=dark)
    ratios = driver.execute_script(CONTRAST)
    assert {name: ratio for name, ratio in ratios.items() if ratio < (2.5 if name.endswith("q") else 4.5)} == {}
    assert len(ratios) > 10


CONTRAST = """
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const paint = (colours) => {
  canvas.clearRect(0, 0, 1, 1);
  for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
  return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
};
const light = (rgb) => {
  const [r, g, b] = rgb.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const found = {};
for (const e of document.querySelectorAll('p, h1, h2, h3, td, th, caption span, figcaption, .note, pre.bytes i, a')) {
  const behind = [];
  for (let p = e; p; p = p.parentElement) behind.unshift(getComputedStyle(p).backgroundColor);
  const back = paint(['white', ...behind]), fore = paint(['white', ...behind, getComputedStyle(e).color]);
  const [a, b] = [light(back), light(fore)].sort((x, y) => y - x);
  const name = e.tagName + ' ' + [...e.classList].filter((c) => c != 's' && c != 'w').join(' ');
  found[name] = Math.min(found[name] ?? 99, (a + 0.05) / (b + 0.05));
}
return found;
"""


def test_names_are_given_once(driver: Any) -> None:
    names = driver.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(names) == len(set(names))
