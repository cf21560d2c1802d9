"""The options of `python -m trainer reproduce`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.reproduction.arms import Job
    from trainer.reproduction.run import Result


def add(options: argparse.ArgumentParser) -> None:
    """All of them."""
    options.add_argument(
        "--data", required=True, metavar="DIR", help="dataset of short documents, made with --split-bytes 96"
    )
    options.add_argument(
        "--corpus", default=None, metavar="DIR",
        help="dataset of whole documents: its rates and analysis decide claims (a) to (c) (default: --data)",
    )  # fmt: skip
    options.add_argument("--scale", default="cpu", help="cpu, or smoke for a try of a minute (default: cpu)")
    options.add_argument("--out", default=None, metavar="DIR", help="runs and results (default: runs/reproduce-SCALE)")
    options.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="runs at a time (default: one per core)"
    )
    options.add_argument("--arms", nargs="*", default=[], metavar="ARM", help="only these (default: all)")
    options.add_argument("--report", default=None, metavar="FILE", help="the page (default: OUT/reproduction.md)")
    options.add_argument(
        "--formats", default=None, metavar="DIR",
        help="dataset of reformatted texts, from `python -m pipeline reformat`, for claim (h) (default: not measured)",
    )  # fmt: skip
    options.add_argument("--gather", action="store_true", help="train nothing: the page of the runs that are done")
    options.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from schemas.errors import SettingsError
    from schemas.files import replace_file
    from trainer.reproduction.arms import SCALES, check_arms, jobs
    from trainer.reproduction.findings import read_findings
    from trainer.reproduction.report import markdown
    from trainer.reproduction.run import is_done, raw_per_comp, reproduce

    if options.scale not in SCALES:
        raise SettingsError(f"scale {options.scale!r} is unknown; choose one of {', '.join(SCALES)}")
    if options.processes < 1:
        raise SettingsError(f"--processes is {options.processes}; give at least 1")
    scale = SCALES[options.scale]
    check_arms(scale, options.arms)
    ratio = raw_per_comp(options.data, scale)
    every, chosen = jobs(scale, ratio), jobs(scale, ratio, only=options.arms)
    out = options.out or f"runs/reproduce-{options.scale}"
    if options.gather:
        chosen = [job for job in chosen if is_done(job, out)]
    findings = read_findings(options.corpus or options.data)
    report = options.report or os.path.join(out, "reproduction.md")
    os.makedirs(out, exist_ok=True)
    results = []
    with tqdm(total=len(chosen), desc="runs", disable=not sys.stderr.isatty()) as bar:
        for result in reproduce(chosen, data=options.data, out=out, processes=options.processes):
            results.append(result)
            bar.update()
            if bar.disable:
                print(
                    f"{len(results)} of {len(chosen)}: {result.arm} {result.size} seed {result.seed}", file=sys.stderr
                )
    if options.formats:
        by_name = {job.name: job for job in chosen}
        results = [_with_formats(result, by_name, options, out) for result in results]
    page = markdown(results, findings, scale, ratio, name=options.scale, all_jobs=len(every))
    replace_file(report, page.encode())
    print(f"{report}: {len(results)} of {len(every)} runs of scale {options.scale}")
    return 0


def _with_formats(result: Result, jobs: Mapping[str, Job], options: argparse.Namespace, out: str) -> Result:
    import torch

    from trainer.reproduction.formats import job_format_bits

    device = "cuda" if torch.cuda.is_available() else "cpu"
    bits = job_format_bits(jobs[result.name], data=options.data, formats=options.formats, out=out, device=device)
    return replace(result, format_bits=bits)
