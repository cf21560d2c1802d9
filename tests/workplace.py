"""What the README's quick start leaves behind, small: a dataset of four shards, a run of the trainer, its export."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

from pipeline.__main__ import main
from tests.pipeline.runs import write_micro_lm
from tests.trainer.runs import train
from trainer.model.hf_export import export_model
from trainer.training.load_model import load_model


def make_workplace(directory: Path) -> Path:
    """Write data/stdlib, runs/demo and hf below `directory`, and return it."""
    corpus = directory / "corpus"
    corpus.mkdir()
    for path in sorted(Path(sysconfig.get_paths()["stdlib"], "json").glob("*.py")):
        shutil.copy(path, corpus)
    output = directory / "data/stdlib"
    arguments = [
        "--input",
        str(corpus),
        "--output",
        str(output),
        "--lm",
        write_micro_lm(directory / "lm"),
        "--shards",
        "4",
    ]
    assert main(["preprocess", *arguments, "--workers", "1", "--tokenizer-vocabulary", "400"]) == 0
    train(output, directory / "runs/demo", steps=1, lanes=4)
    export_model(load_model(str(directory / "runs/demo"))[0], str(directory / "hf"))
    return directory
