"""The command `python -m trainer reproduce`: its options are the fields of ReproduceSettings."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from schemas.config import from_options
from schemas.options import add_options
from trainer.reproduction.settings import ReproduceSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.reproduction.arms import Job
    from trainer.reproduction.results import Result


def add(options: argparse.ArgumentParser) -> None:
    """Add the options of `reproduce` to its parser."""
    add_options(options, ReproduceSettings)
    options.set_defaults(run=_run, stopped="the same command continues with the runs that are not done")


def _run(options: argparse.Namespace) -> int:
    from schemas.errors import SettingsError
    from schemas.files import make_room
    from trainer.curves.draw import matplotlib_or_refuse
    from trainer.reproduction.arms import SCALES, check_arms, jobs
    from trainer.reproduction.local_copies import with_local_datasets

    settings = from_options(ReproduceSettings, options)
    if settings.scale not in SCALES:
        raise SettingsError(f"--scale is {settings.scale!r}; choose one of {', '.join(SCALES)}")
    scale = SCALES[settings.scale]
    check_arms(scale, settings.arms)
    matplotlib_or_refuse()
    out = settings.out or f"runs/reproduce-{settings.scale}"
    os.makedirs(out, exist_ok=True)
    table = settings.results or os.path.join(out, "results.jsonl")
    report = settings.report or os.path.join(out, "reproduction.md")
    make_room(table, "--results")
    make_room(report, "--report")
    every, wanted = jobs(scale), jobs(scale, only=settings.arms)
    settings = with_local_datasets(settings, wanted, every, out)
    results = _results(settings, wanted, every, out, table)
    _write_report(settings, results, report, all_jobs=len(every))
    print(f"{report}: {len(results)} of {len(every)} runs of scale {settings.scale}")
    return 0


def _results(
    settings: ReproduceSettings, wanted: Sequence[Job], every: Sequence[Job], out: str, table: str
) -> list[Result]:
    """What the table holds of all jobs, and what is trained now of the wanted ones and added to it."""
    from schemas.progress import Progress
    from trainer.reproduction.documents import check_datasets
    from trainer.reproduction.results import read_results, write_results
    from trainer.reproduction.run import default_processes, known_results, of_jobs, reproduce

    # Gathering takes the table as it is where a dataset is not here.
    trained = () if settings.gather else wanted
    check_datasets(trained, settings.data)
    kept = of_jobs(read_results(table), every, settings.data, table, wanted=trained)
    finished = known_results(
        [job for job in wanted if job.name not in kept], settings.data, out, wanted=not settings.gather
    )
    kept |= finished
    if settings.gather:
        return list(kept.values())
    if finished:
        write_results(table, kept.values())
    missing = [job for job in wanted if job.name not in kept]
    processes = settings.processes or default_processes()
    with Progress("reproduce", total=len(kept) + len(missing), unit="runs") as progress:
        progress.to(len(kept))
        for result in reproduce(
            missing,
            data=settings.data,
            out=out,
            processes=processes,
            formats=settings.formats,
            minutes=settings.minutes,
            bf16=settings.bf16,
        ):
            kept[result.name] = result
            write_results(table, kept.values())
            progress.to(len(kept), f"last {result.name}")
    return list(kept.values())


def _write_report(settings: ReproduceSettings, results: list[Result], report: str, *, all_jobs: int) -> None:
    """Write the page and, beside it, its picture."""
    from schemas.files import replace_file
    from trainer.reproduction.arms import SCALES
    from trainer.reproduction.evidence import Evidence
    from trainer.reproduction.figures import draw
    from trainer.reproduction.findings import read_findings
    from trainer.reproduction.report import markdown
    from trainer.reproduction.result_table import ResultTable

    picture = os.path.splitext(report)[0] + ".svg"
    findings = read_findings(settings.corpus or settings.data)
    if results:
        draw(Evidence(table=ResultTable(results), findings=findings), picture)
    page = markdown(
        results,
        findings,
        SCALES[settings.scale],
        name=settings.scale,
        all_jobs=all_jobs,
        figure=os.path.basename(picture) if results else "",
    )
    replace_file(report, page.encode())
