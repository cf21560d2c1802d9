"""docs/paper-recipe.md: its table holds what the presets hold, and these are read and make a dataset."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.__main__ import main as pipeline_main
from pipeline.cli.preprocess import add_preprocess_options
from pipeline.cli.preprocess import read_settings as read_preprocess
from pipeline.job.settings import PreprocessSettings
from schemas.config import to_json
from schemas.manifest import read_manifest
from tests.pipeline.runs import write_micro_lm
from trainer.byte_lm.settings import ByteLMTraining
from trainer.cli.lm import add as add_lm
from trainer.cli.lm import read_settings as read_lm
from trainer.cli.train import add as add_train
from trainer.cli.train import read_settings as read_train
from trainer.training.settings import TrainSettings
from trainer.training.sizes import PAPER, SIZES

ROOT = Path(__file__).parent.parent.parent
PRESETS = ROOT / "docs/examples/paper"
PAGE = (ROOT / "docs/paper-recipe.md").read_text("utf-8")


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted names to values in words."""
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = ",".join(value) if isinstance(value, list) else str(value)
    return found


def preset(name: str) -> dict[str, str]:
    """A preset's settings."""
    return flat(json.loads((PRESETS / name).read_text("utf-8")))


def preprocess_settings(*words: str) -> PreprocessSettings:
    """What `preprocess` with the preset asks for."""
    parser = argparse.ArgumentParser()
    add_preprocess_options(parser)
    return read_preprocess(parser.parse_args(["--config", str(PRESETS / "preprocess.json"), *words]), [])


def train_settings(*words: str) -> TrainSettings:
    """What `train` with the preset asks for."""
    parser = argparse.ArgumentParser()
    add_train(parser)
    return read_train(parser.parse_args(["--config", str(PRESETS / "train.json"), *words]))


def test_the_page_names_every_setting_of_every_preset() -> None:
    rows = re.findall(r"^\| (\w+\.json) +\| ([\w.]+) +\| (\S+) +\|$", PAGE, re.MULTILINE)
    stated: dict[str, dict[str, str]] = {}
    for file, name, value in rows:
        stated.setdefault(file, {})[name] = value
    assert stated == {path.name: preset(path.name) for path in sorted(PRESETS.glob("*.json"))}


def test_settings_of_a_run_hold_what_the_presets_say() -> None:
    parser = argparse.ArgumentParser()
    add_lm(parser)
    config = str(PRESETS / "lm.json")
    lm = read_lm(parser.parse_args(["--sample", "s", "--out", "o", "--config", config]))
    for name, settings in (
        ("preprocess.json", to_json(preprocess_settings())),
        ("lm.json", to_json(lm)),
        ("train.json", to_json(train_settings())),
    ):
        assert preset(name).items() <= flat(settings).items()
    assert lm.training == ByteLMTraining.for_size("40m", steps=200_000, rows=8, window_bytes=2048)


@pytest.mark.parametrize("size", [name for name, size in SIZES.items() if size.run.steps == PAPER.steps])
def test_the_large_sizes_are_the_papers_run_without_the_preset_too(size: str) -> None:
    run_dir = f"runs/{size}"
    assert train_settings("--size", size, "--out", run_dir) == TrainSettings.for_size(size)


def test_the_preset_is_not_our_default() -> None:
    ours, paper = PreprocessSettings().models.neural, preprocess_settings().models.neural
    changed = {name for name, value in asdict(paper).items() if asdict(ours)[name] != value}
    assert changed == {"boundary_score", "theta", "jump", "max_segment_bytes"}


def test_what_is_typed_wins() -> None:
    assert preprocess_settings("--theta", "quantile=0.87").models.neural.theta.value == 0.87
    assert replace(preprocess_settings("--lm", "x").models, lm="40m") == preprocess_settings().models


def test_a_dataset_is_made_by_the_preset(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number in range(4):
        lines = (f"def function_{number}_{k}(value):\n    return value * {k} + {number}\n" for k in range(12))
        (corpus / f"file{number}.py").write_text("".join(lines))
    words = ["--config", str(PRESETS / "preprocess.json"), "--lm", write_micro_lm(tmp_path / "lm"), "--workers", "1"]
    output = tmp_path / "data"
    assert pipeline_main(["preprocess", *words, "--input", str(corpus), "--output", str(output), "--shards", "1"]) == 0
    assert read_manifest(str(output)).totals.written == 4
    described = json.loads((output / "compressors/neural/compressor.json").read_text("utf-8"))
    assert described["settings"] == to_json(preprocess_settings().models.neural)
    assert pipeline_main(["verify", str(output)]) == 0
