"""The command from the outside: files, determinism, and one line for every mistake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.analysis.analyze import AnalyzeSettings
from schemas.errors import SettingsError
from tests.pipeline.runs import times, tree

FILES = [
    *("about.json", "collisions.json", "compressors.csv", "frontier.csv", "histograms.csv", "languages.csv"),
    *("report.html", "stability.csv"),
]


@pytest.fixture(scope="module", autouse=True)
def _few_variants() -> Iterator[None]:
    """Two entropy contexts and thresholds are enough to see that all parts come together."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.analysis.frontier.CONTEXTS", ("1", "document"))
        patch.setattr("pipeline.analysis.frontier.QUANTILES", (0.7, 0.9))
        yield


@pytest.fixture(scope="module")
def analyzed(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results about the finished dataset."""
    out = tmp_path_factory.mktemp("analyzed") / "deep" / "out"
    before = times(finished / "out")
    assert main(["analyze", str(finished / "out"), "--out", str(out), "--documents", "12"]) == 0
    assert times(finished / "out") == before, "the dataset is only read"
    return out


def test_it_writes_tables_and_a_page(analyzed: Path) -> None:
    assert sorted(tree(analyzed)) == FILES
    page = (analyzed / "report.html").read_text("utf-8")
    for section in ("stability", "collisions", "corpus", "compressors", "distributions", "samples"):
        assert f'<section id="{section}">' in page
    assert "python -m pipeline analyze out --documents 12 --seed 0" in page


def test_the_same_dataset_gives_the_same_bytes(
    analyzed: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the dataset is a copy in another place, and the results go into it."""
    copy = dataset.rename(dataset.parent / "out")
    assert main(["analyze", f"{copy}/", "--documents", "12"]) == 0
    assert tree(copy / "analysis") == tree(analyzed)
    assert capsys.readouterr().out.splitlines()[-1] == str(copy / "analysis" / "report.html")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--documents", "0"], ["--documents is 0", "at least 1"]),
        (["--documents", "many"], ["invalid int value: 'many'"]),
        (["--texts", "/nowhere"], ["--texts /nowhere is not a directory"]),
        (["--frobnicate"], ["--frobnicate"]),
    ],
)
def test_wrong_arguments(
    options: list[str], words: list[str], finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(["analyze", str(finished / "out"), *options])
    except SystemExit as stopped:
        status = stopped.code
    error = capsys.readouterr().err
    assert status == 2 and len(error.splitlines()) == 1
    assert all(word in error for word in words)


def test_what_is_no_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", str(tmp_path)]) == 2
    assert "python -m pipeline preprocess" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_out_that_is_a_file(tmp_path: Path, finished: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(SettingsError, match="--out .* is a file; give a directory"):
        AnalyzeSettings(dataset=str(finished / "out"), out=str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "mine"


def test_the_command_names_no_place_of_this_machine(tmp_path: Path) -> None:
    settings = AnalyzeSettings(dataset=str(tmp_path / "data"), texts=str(tmp_path), seed=3)
    assert settings.command == f"python -m pipeline analyze data --documents 200 --texts {tmp_path.name} --seed 3"
