"""Jobs without a launcher: gzip needs no artifacts, so a job is its settings and an identity."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.corpus.settings import CorpusSettings, ReadSettings
from pipeline.job.job import Job, plan_job
from pipeline.job.settings import PreprocessSettings


def gzip_job(output: Path | str, *, read: ReadSettings | None = None, identity: str = "one", **settings: Any) -> Job:
    """The job of a run with gzip alone; its work directories are there."""
    corpus = CorpusSettings(inputs=("corpus.jsonl",), read=read or ReadSettings())
    given = {"compressors": ("gzip",), **settings}
    job = replace(plan_job(PreprocessSettings(corpus=corpus, output=str(output), **given), ()), identity=identity)
    job.make_work_directories()
    return job
