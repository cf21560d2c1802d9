"""The page as text: the same for the same findings, self-contained, whole, and honest about what there is not."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipeline.analysis.findings import Findings
from pipeline.analysis.report.page import report_html
from pipeline.analysis.report.stability import main_rows
from pipeline.analysis.tables import rows_csv, table_files
from schemas.manifest import read_manifest
from tests.pipeline.analysis.corpora import hostile_dataset
from tests.pipeline.analysis.measuring import excerpts_of, statistics_of
from tests.pipeline.analysis.report.findings import findings, stability_rows
from tests.pipeline.analysis.report.test_markup_and_svg import Tags
from tests.pipeline.runs import Preprocess

VOID = {"meta", "link", "img", "br", "hr", "input", "source"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, preprocess: Preprocess) -> Path:
    """A dataset of hostile documents."""
    return hostile_dataset(tmp_path_factory.mktemp("report") / "corpus", preprocess)


@pytest.fixture(scope="module")
def found(dataset: Path) -> Findings:
    """Findings about it."""
    return findings(dataset)


class Nesting(HTMLParser):
    """Fails where an element is not closed in its place."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_equal_findings_give_equal_bytes(dataset: Path, found: Findings) -> None:
    assert report_html(findings(dataset)) == report_html(found)
    assert table_files(findings(dataset)) == table_files(found)


def test_the_page_is_well_formed(found: Findings) -> None:
    Nesting(report_html(found).decode())


def test_the_page_needs_nothing_else(found: Findings) -> None:
    page = report_html(found).decode()
    skeleton = re.sub(r"<(pre|script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    assert not re.search(r"https?://|//\w|url\(|@import|@font-face", re.sub(r"<style>.*?</style>", "", skeleton))
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style and not re.search(r"https?:|url\(|@import|@font-face", style[1])
    assert re.findall(r'(?:src|href)="([^#"][^"]*)"', skeleton) == ["data:,"]


def test_only_its_own_script_and_style_may_run(found: Findings) -> None:
    page = report_html(found).decode()
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page and "unsafe" not in page
    others = re.findall(r"<script ([^>]*)>", page)
    assert others and all(re.fullmatch(r'type="application/json" id="sample-\d+-data"', one) for one in others)
    assert not re.search(r"<[^>]*\s(style|on\w+)=", page)


def test_nothing_of_a_document_is_markup(found: Findings) -> None:
    page = report_html(found).decode()
    assert not {"img", "b", "iframe"} & set(Tags(page).tags)
    assert "\x00" not in page and "\u202e" not in page and "\u2028" not in page


def test_parts_that_there_are_not(found: Findings) -> None:
    bare = replace(found, stability=(), frontier=(), excerpts=(), collisions=())
    page = report_html(bare).decode()
    Nesting(page)
    assert '<section id="stability">' not in page and '<section id="samples">' not in page
    assert '<a href="#stability">' not in page
    assert "nan" not in re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL).lower()
    assert '<section id="corpus">' in page


def test_without_neural(tmp_path: Path, dataset: Path, preprocess: Preprocess, found: Findings) -> None:
    names = ("--compressors", "tokenizer,gzip")
    other = hostile_dataset(tmp_path / "corpus", preprocess, *names)
    page = report_html(
        replace(
            found,
            manifest=read_manifest(other),
            theta_bits=None,
            compressor_details={},
            statistics=statistics_of(other),
            frontier=(),
            excerpts=excerpts_of(other, None, number=3),
        )
    ).decode()
    Nesting(page)
    assert "table-neural" not in page and "entropy 0" not in page
    assert page.count('class="sample"') == 3


def test_the_main_edit_is_ten_per_cent_deleted() -> None:
    rows = stability_rows()
    assert [row.compressor for row in main_rows(rows)] == ["raw", "tokenizer", "neural", "gzip"]
    assert {(row.kind, row.share) for row in main_rows(rows)} == {("delete", 0.10)}
    inserted = [row for row in rows if row.kind == "insert"]
    assert {(row.kind, row.share) for row in main_rows(inserted)} == {("insert", 0.05)}
    assert main_rows([]) == []


def test_tables_hold_every_row(found: Findings) -> None:
    files = table_files(found)
    assert sorted(files) == [
        *("about.json", "collisions.json", "compressors.csv", "frontier.csv", "histograms.csv", "languages.csv"),
        "stability.csv",
    ]
    stability = list(csv.DictReader(io.StringIO(files["stability.csv"].decode())))
    assert len(stability) == len(found.stability)
    assert float(stability[0]["distance"]) == pytest.approx(found.stability[0].distance)
    bins = list(csv.DictReader(io.StringIO(files["histograms.csv"].decode())))
    assert sum(int(row["count"]) for row in bins) == sum(h.total for h in found.statistics.histograms)
    languages = list(csv.DictReader(io.StringIO(files["languages.csv"].decode())))
    assert {row["language"] for row in languages} == {row.language for row in found.statistics.languages}
    assert json.loads(files["about.json"])["manifest_sha256"] == found.manifest_digest
    assert rows_csv([]) == b""
