"""What the README's quick start leaves behind, small: a dataset of four shards and a run of the trainer."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

from pipeline.__main__ import main
from tests.pipeline.runs import write_micro_lm
from tests.trainer.runs import train


def make_workplace(directory: Path) -> Path:
    """Write data/stdlib and runs/tiny below `directory`, and return it."""
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
    train(output, directory / "runs/tiny", steps=1, lanes=4)
    return directory
