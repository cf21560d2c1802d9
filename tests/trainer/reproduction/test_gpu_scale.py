"""The scale for a GPU takes its first steps on a CPU: every kind of arm, real sizes, real datasets cut in every way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.__main__ import main as pipeline_main
from tests.pipeline.runs import write_micro_lm
from trainer.reproduction.arms import SCALES, jobs
from trainer.reproduction.documents import check_datasets
from trainer.reproduction.run import run_job

BY_ENTROPY = ("--boundary-score", "document_entropy", "--theta", "quantile=0.9", "--max-segment-bytes", "255")
CUTS = {
    "": ("--tokenizer-vocabulary", "300"),
    "-level": ("--compressors", "neural", *BY_ENTROPY),
    "-jump": ("--compressors", "neural", *BY_ENTROPY, "--jump", "quantile=0.9"),
    "-long": ("--compressors", "neural", "--theta", "mean_bytes=10", "--max-segment-bytes", "255"),
    "-short": ("--compressors", "neural,tokenizer", "--split-bytes", "24", "--tokenizer-vocabulary", "300"),
}
"""The datasets of `make reproduce`, by their endings, and how each is made."""


@pytest.mark.slow
def test_an_arm_of_each_kind_takes_a_step(tmp_path: Path) -> None:
    corpus, data = tmp_path / "corpus", str(tmp_path / "pieces")
    corpus.mkdir()
    for number in range(60):
        lines = (f"def function_{number}_{k}(x):\n    return x * {k} + {number}\n" for k in range(8))
        (corpus / f"file{number:02}.py").write_text("".join(lines))
    lm = write_micro_lm(tmp_path / "lm")
    for ending, options in CUTS.items():
        words = ["--input", str(corpus), "--output", data + ending, "--lm", lm, "--window-bits", "12", "--workers", "1"]
        words += [] if "--split-bytes" in options else ["--split-bytes", "96"]
        assert pipeline_main(["preprocess", *words, *options]) == 0
    scale = replace(SCALES["gpu"], steps=1, batch_symbols=1024, row_symbols=512, rows_per_device=2, scored_bytes=200)
    every = jobs(replace(scale, translated_documents=2))
    check_datasets(every, data)
    chosen = {job.arm.name: job for job in every if job.density < 1 or job.arm.name == "neural-jump"}
    chosen |= {job.arm.name: job for job in every if job.arm.name in ("neural-literals", "neural-short")}
    for job in chosen.values():
        result = run_job(job, data, str(tmp_path / "runs"), bf16=False)
        assert result is not None
        assert result.body_parameters > 25_000_000
        assert (result.translation_curve is None) == (job.arm.name != "neural-short")
