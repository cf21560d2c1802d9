"""Models of another dataset: the same symbols for the same text, and one line for whoever asks for both."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipeline.__main__ import main
from schemas.errors import DatasetError
from tests.pipeline.corpora import jsonl, texts
from tests.pipeline.runs import Preprocess, content, manifest, rows, times, told, tree
from trainer.data.blend import Blend
from trainer.data.dataset import Dataset

OPTIONS = ("--compressors", "neural,tokenizer,token_bytes", "--shards", "2", "--window-bits", "12")
OPTIONS += ("--boundary-score", "pair_surprisal", "--score-context-bytes", "2")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, preprocess: Preprocess) -> Path:
    """A finished dataset with settings that are not the defaults; not to be changed."""
    directory = tmp_path_factory.mktemp("taken")
    corpus = directory / "first.jsonl"
    corpus.write_bytes(jsonl(*({"text": text} for text in texts(30))))
    assert preprocess(corpus, directory / "first", *OPTIONS) == 0
    return directory / "first"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Another corpus, whose text is in another field, and which holds what the codebook of the first one lacks."""
    path = tmp_path / "second.jsonl"
    path.write_bytes(jsonl(*({"body": f"{text} and otherwise \u00b6{text[::-1]}"} for text in texts(20))))
    return path


def take(dataset: Path, corpus: Path, output: Path, *options: str) -> int:
    """Preprocess the other corpus with the models of a dataset; the exit status."""
    inputs = ["--input", str(corpus), "--text-field", "body", "--output", str(output)]
    if "--compressors" not in options:
        options = ("--compressors", "neural,tokenizer,token_bytes", *options)
    return main(["preprocess", *inputs, "--compressors-of", str(dataset), "--workers", "1", *options])


def test_both_can_be_mixed_and_their_settings_are_one(first: Path, corpus: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    assert take(first, corpus, second) == 0
    for name in ("neural", "tokenizer"):
        assert tree(second / "compressors" / name) == tree(first / "compressors" / name)
    assert sorted(path.name for path in (second / "compressors").iterdir()) == ["neural", "tokenizer"]
    assert manifest(second)["compressors"] == manifest(first)["compressors"]
    for name in ("neural", "tokenizer", "token_bytes"):
        both = [Dataset(str(path), compressor=name) for path in (first, second)]
        assert Blend(both, [1, 1]).compressor == name
    assert main(["verify", str(second), "--by-model"]) == 0


def test_without_it_they_cannot_be_mixed(first: Path, corpus: Path, tmp_path: Path, preprocess: Preprocess) -> None:
    """Equal byte LMs and settings are not enough: θ and the score table come from each corpus's own sample."""
    assert preprocess(corpus, tmp_path / "own", *OPTIONS, "--text-field", "body") == 0
    own, other = (Dataset(str(path), compressor="neural") for path in (tmp_path / "own", first))
    with pytest.raises(DatasetError, match=f"preprocess {first} anew with --compressors-of {tmp_path / 'own'}"):
        Blend([own, other], [1, 1])


def test_the_same_text_gets_the_same_symbols(first: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "again.jsonl"
    corpus.write_bytes(jsonl(*({"body": text} for text in texts(30))))
    assert take(first, corpus, tmp_path / "again", "--shards", "2") == 0
    for name in ("neural", "tokenizer", "token_bytes"):
        assert rows(tmp_path / "again")[name].to_pylist() == rows(first)[name].to_pylist()


def test_the_same_command_again_finds_everything_in_place(first: Path, corpus: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    assert take(first, corpus, second) == 0
    before = times(second)
    assert take(first, corpus, second) == 0
    assert main(["preprocess", "--config", str(second / "settings.json"), "--workers", "1"]) == 0
    assert times(second) == before


def test_a_killed_copy_is_made_again(first: Path, corpus: Path, tmp_path: Path) -> None:
    """The file by which an artifact exists is the last one."""
    assert take(first, corpus, tmp_path / "whole") == 0
    neural = tmp_path / "second/compressors/neural"
    shutil.copytree(first / "compressors/neural", neural)
    (neural / "compressor.json").unlink()
    next(path for path in sorted(neural.iterdir())).write_bytes(b"half")
    assert take(first, corpus, tmp_path / "second") == 0
    assert content(tmp_path / "second") == content(tmp_path / "whole")


def test_what_cannot_be_taken_is_refused(
    first: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], preprocess: Preprocess
) -> None:
    def refused(status: int, *words: str) -> None:
        assert status == 2
        line = told(capsys)
        for word in words:
            assert word in line

    out = tmp_path / "out"
    refused(take(tmp_path / "nothing", corpus, out), "--compressors-of", "nothing has no manifest.json")
    refused(take(first, corpus, out, "--theta", "5"), "leave out --theta")
    refused(take(first, corpus, out, "--window-bits", "16"), "leave out --window-bits")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"models": {"tokenizer_vocabulary": 999}}), "utf-8")
    refused(take(first, corpus, out, "--config", str(config)), "models.tokenizer_vocabulary is 999", "leave one")
    config.write_text(json.dumps({"models": {"neural": {"window_bits": 11}}}), "utf-8")
    refused(take(first, corpus, out, "--config", str(config)), "models.neural.window_bits is 11", "this is 12")
    assert not out.exists(), "nothing is begun"

    assert preprocess(corpus, tmp_path / "own", *OPTIONS, "--text-field", "body") == 0
    (tmp_path / "own/manifest.json").unlink()
    capsys.readouterr()
    refused(take(first, corpus, tmp_path / "own"), "own/compressors/", "is not that of --compressors-of")

    assert preprocess(corpus, tmp_path / "gzip", "--compressors", "gzip", "--text-field", "body") == 0
    capsys.readouterr()
    refused(take(tmp_path / "gzip", corpus, out), "gzip/compressors/tokenizer", "choose --compressors of those")
    (tmp_path / "gzip/settings.json").write_text('{"models": []}', "utf-8")
    refused(take(tmp_path / "gzip", corpus, out), "settings.json", "--compressors-of")
