"""docs/reproduction.md says what its table of results says: no figure on it was typed."""

from __future__ import annotations

from pathlib import Path

from tests.rooms import ROOT
from trainer.reproduction.arms import SCALES, jobs
from trainer.reproduction.findings import CompressorFindings
from trainer.reproduction.report import markdown
from trainer.reproduction.results import read_results, write_results

PAGE, TABLE = ROOT / "docs" / "reproduction.md", ROOT / "docs" / "reproduction.jsonl"
FIRST_TABLE = "## Bits per raw byte"


def test_the_page_s_tables_are_those_of_the_results() -> None:
    """What the datasets themselves say, claims (a) to (c), is not in the table."""
    results, all_jobs = read_results(str(TABLE)), len(jobs(SCALES["cpu"]))
    again = markdown(
        results, CompressorFindings(), SCALES["cpu"], name="cpu", all_jobs=all_jobs, figure="reproduction.svg"
    )
    page = PAGE.read_text("utf-8")
    assert page.split(FIRST_TABLE)[1].split() == again.split(FIRST_TABLE)[1].split()
    modelled = [
        line for line in again.splitlines() if line.startswith(("| (d)", "| (e)", "| (f)", "| (g)", "| (i)", "| (j)"))
    ]
    assert len(modelled) == 12
    assert all(line in page for line in modelled)
    assert f"{len(results)} of {all_jobs} runs" in page


def test_every_result_is_of_a_job_of_the_study() -> None:
    names = {job.name for job in jobs(SCALES["cpu"])}
    results = read_results(str(TABLE))
    assert {result.name for result in results} <= names
    assert len({result.name for result in results}) == len(results)


def test_the_committed_results_are_written_again_as_they_are(tmp_path: Path) -> None:
    """A release that writes another form would make a study's slices unreadable for one another."""
    write_results(str(tmp_path / "again.jsonl"), read_results(str(TABLE)))
    assert (tmp_path / "again.jsonl").read_bytes() == TABLE.read_bytes()
