"""Fixtures of the whole-run tests: micro models made once, and a finished dataset to copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.compressors.tokenizer.training import train_tokenizer
from tests.pipeline.corpora import texts
from tests.pipeline.runs import Models, Preprocess, preprocess_with, write_micro_lm, write_mixed


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A random byte LM and a small tokenizer."""
    directory = tmp_path_factory.mktemp("models")
    train_tokenizer((text.encode() for text in texts(70)), 330, directory / "tokenizer.model")
    return Models(lm=write_micro_lm(directory / "lm"), tokenizer=str(directory / "tokenizer.model"))


@pytest.fixture(scope="session")
def preprocess(models: Models) -> Preprocess:
    """Run `preprocess` in this process."""
    return preprocess_with(models)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, preprocess: Preprocess) -> Path:
    """A directory with corpus/ and the finished dataset out/ of it, four shards, all compressors; not to be changed."""
    directory = tmp_path_factory.mktemp("finished")
    assert preprocess(write_mixed(directory / "corpus"), directory / "out", "--shards", "4") == 0
    return directory


@pytest.fixture
def dataset(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished dataset, to be damaged."""
    return Path(shutil.copytree(finished / "out", tmp_path / "dataset"))
