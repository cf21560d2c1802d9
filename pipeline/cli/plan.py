"""The options of `python -m pipeline plan`, and what it prints."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from pipeline.cli.preprocess import DEFAULT_OUTPUT
from schemas.errors import SettingsError


def add_plan_options(options: argparse.ArgumentParser) -> None:
    """The command's options."""
    options.add_argument(
        "--bytes", required=True, metavar="BYTES", help="text of the corpus in UTF-8 bytes, such as 3.3e12"
    )
    options.add_argument(
        "--dataset", default=DEFAULT_OUTPUT, metavar="DIR", help="finished dataset that rates and ratios come from"
    )
    options.add_argument(
        "--workers",
        type=int,
        default=None,
        metavar="N",
        help="threads on all machines (default: the dataset's, 8 a GPU)",
    )
    options.add_argument(
        "--gpus", type=int, default=0, metavar="N", help="GPUs for the byte LM; 0: it runs on the workers"
    )
    options.add_argument(
        "--processes",
        type=int,
        default=None,
        metavar="N",
        help="processes that the workers are in, each with its own model and cache (default: one per GPU or 8 workers)",
    )
    options.add_argument(
        "--unit-bytes",
        type=int,
        default=None,
        metavar="BYTES",
        help="input per shard (default: 8 MiB, doubled until there are at most 50,000 shards)",
    )
    options.add_argument(
        "--lm", default=None, metavar="SIZE", help="byte LM of the run, `tiny` or `40m` (default: the dataset's)"
    )
    options.add_argument(
        "--rate",
        nargs="+",
        default=[],
        metavar="STAGE=MB/S",
        help="instead of measured rates: a stage or the byte LM (`model`) on one worker, or the LM on one GPU (`gpu`)",
    )


def run_plan(options: argparse.Namespace, extra: Sequence[str] = ()) -> int:
    """Print the plan; the exit status."""
    from pipeline.planning.plan import PlanSettings, make_plan
    from pipeline.planning.rates import measured, parse_rates
    from pipeline.planning.text import describe

    try:
        corpus_bytes = float(options.bytes)
    except ValueError:
        raise SettingsError(f"--bytes is {options.bytes!r}; give a number of bytes, such as 3.3e12") from None
    settings = PlanSettings(
        corpus_bytes=corpus_bytes,
        workers=options.workers,
        gpus=options.gpus,
        processes=options.processes,
        unit_bytes=options.unit_bytes,
        lm=options.lm,
    )
    base = measured(options.dataset)
    rates = parse_rates(options.rate, base.stage_seconds)
    settings = replace(settings, rates=rates)
    print("\n".join(describe(make_plan(base, settings), base, settings)))
    return 0
