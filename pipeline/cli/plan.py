"""The command `python -m pipeline plan`: its options are the fields of PlanOptions."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pipeline.job.settings import DEFAULT_OUTPUT
from pipeline.planning.settings import PlanSettings
from schemas.config import from_options
from schemas.options import option


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanOptions:
    """What `plan` is asked for."""

    planned: PlanSettings
    dataset: str = field(default=DEFAULT_OUTPUT, metadata=option(metavar="DIR", path=True))
    """Finished dataset that rates and ratios come from."""
    rate: tuple[str, ...] = field(default=(), metadata=option(metavar="STAGE=MB/S"))
    """Instead of measured rates: that of a stage or of the byte LM (`model`) on one worker, or of the LM on one GPU
    (`gpu`)."""


def run_plan(options: argparse.Namespace, extra: Sequence[str] = ()) -> int:
    """Print the plan; the exit status."""
    asked = from_options(PlanOptions, options)
    from pipeline.planning.plan import estimate
    from pipeline.planning.rates import measured, parse_rates
    from pipeline.planning.text import describe

    base = measured(asked.dataset)
    settings = replace(asked.planned, rates=parse_rates(asked.rate, base.stage_seconds))
    print("\n".join(describe(estimate(base, settings), base, settings)))
    return 0
