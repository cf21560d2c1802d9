"""The command `python -m trainer reproduce`: its options are the fields of ReproduceSettings."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from schemas.options import add_options, from_options
from trainer.reproduction.settings import ReproduceSettings

if TYPE_CHECKING:
    from trainer.reproduction.arms import Job
    from trainer.reproduction.run import Result


def add(options: argparse.ArgumentParser) -> None:
    """Add the options of `reproduce` to its parser."""
    add_options(options, ReproduceSettings)
    options.set_defaults(run=_run, stopped="the same command continues with the runs that are not done")


def _run(options: argparse.Namespace) -> int:
    from schemas.errors import SettingsError
    from schemas.files import replace_file
    from schemas.progress import Progress
    from trainer.reproduction.arms import SCALES, check_arms, jobs
    from trainer.reproduction.findings import read_findings
    from trainer.reproduction.report import markdown
    from trainer.reproduction.run import is_done, raw_per_comp, reproduce

    settings = from_options(ReproduceSettings, options)
    if settings.scale not in SCALES:
        raise SettingsError(f"scale {settings.scale!r} is unknown; choose one of {', '.join(SCALES)}")
    scale = SCALES[settings.scale]
    check_arms(scale, settings.arms)
    ratio = raw_per_comp(settings.data, scale)
    every, chosen = jobs(scale, ratio), jobs(scale, ratio, only=settings.arms)
    out = settings.out or f"runs/reproduce-{settings.scale}"
    if settings.gather:
        chosen = [job for job in chosen if is_done(job, out)]
    findings = read_findings(settings.corpus or settings.data)
    report = settings.report or os.path.join(out, "reproduction.md")
    os.makedirs(out, exist_ok=True)
    processes = settings.processes or os.cpu_count() or 1
    results = []
    with Progress("reproduce", total=len(chosen), unit="runs") as progress:
        progress.to(0)
        for result in reproduce(chosen, data=settings.data, out=out, processes=processes):
            results.append(result)
            progress.to(len(results), f"last {result.arm} {result.size} seed {result.seed}")
    if settings.formats:
        by_name = {job.name: job for job in chosen}
        results = [_with_formats(result, by_name, settings, out) for result in results]
    page = markdown(results, findings, scale, ratio, name=settings.scale, all_jobs=len(every))
    replace_file(report, page.encode())
    print(f"{report}: {len(results)} of {len(every)} runs of scale {settings.scale}")
    return 0


def _with_formats(result: Result, jobs: Mapping[str, Job], settings: ReproduceSettings, out: str) -> Result:
    """A result with what other formatting costs its arm."""
    import torch

    from trainer.reproduction.formats import job_format_bits

    device = "cuda" if torch.cuda.is_available() else "cpu"
    bits = job_format_bits(jobs[result.name], data=settings.data, formats=settings.formats, out=out, device=device)
    return replace(result, format_bits=bits)
