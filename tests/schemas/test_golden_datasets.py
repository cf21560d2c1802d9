"""A dataset that was finished once is read by every later release of its format; one of another format is refused.

tests/golden/dataset_v2 was written on 2026-11-30 by `preprocess` with the byte LM of tests/golden/byte_lm, four
documents and all compressors; dataset_v1 the same day by the last commit of format 1, before lengths took the place of
ends. Neither is ever written again.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.__main__ import main
from pipeline.dataset.verify import verify
from schemas import open_dataset, paired_view, raw_view
from schemas.errors import UserError
from trainer import Dataset, Loader, LoaderSettings, Mixing
from trainer.__main__ import main as trainer_main

GOLDEN = Path(__file__).parents[1] / "golden"
TEXTS = [
    b"def f(x):\n    return x + 1\n",
    "naïve\ttext\r\n".encode(),
    b"b",
    b"for i in range(10):\n    print(f(i))\n" * 3,
]
NAMES = ("gzip", "neural", "token_bytes", "tokenizer")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A copy of the golden dataset."""
    return Path(shutil.copytree(GOLDEN / "dataset_v2", tmp_path / "dataset"))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the dataset of format 1."""
    return Path(shutil.copytree(GOLDEN / "dataset_v1", tmp_path / "dataset"))


def test_it_opens(dataset: Path) -> None:
    found = open_dataset(dataset)
    assert (len(found), found.compressors) == (len(TEXTS), NAMES)
    assert raw_view(found.table())["raw"].to_pylist() == TEXTS
    for name in NAMES:
        rows = paired_view(found.table(), name).to_pylist()
        assert b"".join(row["raw"] for row in rows) == b"".join(TEXTS)


def test_every_encoding_decodes_by_codebook_and_by_model(dataset: Path) -> None:
    for by_model in (False, True):
        *_, result = verify(str(dataset), by_model=by_model)
        assert (result.documents, result.raw_bytes, sorted(result.compressors)) == (4, 149, list(NAMES))


@pytest.mark.parametrize("view", ["raw", "comp", "paired", "windows"])
def test_it_is_shown(view: str, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(dataset), "--view", view, "--compressor", "neural"]) == 0
    assert len(capsys.readouterr().out.splitlines()) > len(TEXTS)


def test_it_is_decoded(dataset: Path, tmp_path: Path) -> None:
    assert main(["decode", str(dataset), "--out", str(tmp_path / "back")]) == 0
    lines = "".join(path.read_text("utf-8") for path in sorted((tmp_path / "back").rglob("*")) if path.is_file())
    assert lines and len(json.loads((dataset / "manifest.json").read_text())["shards"]) == 1


@pytest.mark.parametrize("compressor", NAMES)
def test_it_is_trained_on(compressor: str, dataset: Path) -> None:
    settings = LoaderSettings(
        sequence_length=64, global_batch_size=2, mixing=Mixing(mode="pair-always"), lanes=1, interleave=1
    )
    batch = next(iter(Loader(Dataset(str(dataset), compressor=compressor), settings)))
    assert batch.ids.shape == (2, 64)
    assert np.unique(np.asarray(batch.ids)).size > 10


@pytest.mark.parametrize(
    "words",
    [
        ["verify", "{old}"],
        ["decode", "{old}", "--out", "{old}/back"],
        ["show", "{old}"],
        ["analyze", "{old}"],
        ["plan", "--bytes", "1e9", "--dataset", "{old}"],
        ["reformat", "{old}", "--out", "{old}/x.jsonl"],
        ["preprocess", "--output", "{old}", "--input", __file__, "--compressors", "gzip"],
        ["train", "--data", "{old}", "--out", "{old}/run"],
    ],
    ids=lambda words: words[0],
)
def test_one_of_format_1_is_refused_in_one_line(
    words: list[str], old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trainer_main if words[0] == "train" else main
    assert run([word.format(old=old) for word in words]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "format version 1" in line and "reads 2" in line


def test_one_of_format_1_does_not_open(old: Path) -> None:
    with pytest.raises(UserError, match="format version 1, this program reads 2"):
        open_dataset(old)
