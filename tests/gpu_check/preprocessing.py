"""A whole `python -m pipeline preprocess` with the byte LM on the device."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import apache_beam  # noqa: F401 - the pipeline imports it late

from pipeline.__main__ import main
from schemas.manifest import read_manifest
from tests.gpu_check.byte_lm_training import LM_DIRECTORY
from tests.gpu_check.run import CheckError, Figure
from tests.gpu_check.scale import Scale
from tests.gpu_check.texts import stdlib_files
from tests.kernels.exact_golden import LM


def preprocess(scale: Scale, scratch: Path) -> Iterator[Figure]:
    """The standard library by the LM of the row `train-byte-lm`, or by the committed one."""
    trained = scratch / LM_DIRECTORY
    lm = trained if (trained / "lm.json").exists() else LM
    corpus, output = scratch / "corpus", scratch / "preprocessed"
    corpus.mkdir()
    for number, path in enumerate(stdlib_files(scale.corpus)):
        shutil.copy(path, corpus / f"{number:05d}.py")
    words = ["--input", str(corpus), "--output", str(output), "--lm", str(lm), "--device", scale.device]
    with open(scratch / "preprocess.out", "w") as printed, contextlib.redirect_stderr(printed):
        status = main(["preprocess", *words, "--compressors", "neural", "--shards", "4"])
    if status:
        last = (scratch / "preprocess.out").read_text(errors="replace").strip().splitlines()[-1:]
        raise CheckError(f"exit status {status}: {' '.join(last)}")
    report = json.loads((output / "report.json").read_text("utf-8"))
    raw_bytes = read_manifest(str(output)).totals.raw_bytes
    yield "byte LM", f"{scale.byte_lm} of the row train-byte-lm" if lm == trained else "the committed one, of 65 KB"
    yield "MB of text", raw_bytes / 1e6
    yield "MB/s, shards alone", raw_bytes / 1e6 / report["shards_wall_seconds"]
    for stage, seconds in report["stage_seconds"].items():
        yield f"seconds of the workers, {stage}", float(seconds)
