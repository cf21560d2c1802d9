"""The command `python -m trainer train`: its options are the fields of TrainSettings."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace

from schemas.config import add_config_option, config_value, from_options
from schemas.options import add_options
from trainer.training.arms import arm_defaults
from trainer.training.settings import TrainSettings
from trainer.training.sizes import SizedSettings, size_named


def add(options: argparse.ArgumentParser) -> None:
    """Add the options of `train` to its parser."""
    add_config_option(options)
    # Large sizes recompute and GPUs compile, so the help shows how these are switched off.
    base = replace(TrainSettings.for_size("tiny"), recompute=True, compile=True)
    by_size = {field.name for field in fields(SizedSettings)}
    add_options(options, TrainSettings, base=base, omit=sorted(by_size))
    sized = options.add_argument_group("the course of training")
    others = {field.name for field in fields(TrainSettings)} - by_size
    add_options(sized, TrainSettings, base=base, omit=sorted(others))
    options.set_defaults(run=_run)


def read_settings(options: argparse.Namespace) -> TrainSettings:
    """The run that a command line asks for: its options, its --arm, its --config, then the defaults of its size.

    An arm that is typed decides more than a file does, so that a recipe serves baselines too.
    """
    size, arm = config_value(options, "size", "tiny", str), config_value(options, "arm", None, str | None)
    base = TrainSettings.for_size(size, arm=arm)
    if getattr(options, "arm", None):
        for name, value in arm_defaults(options.arm, size_named(size).run).items():
            if not hasattr(options, name):
                setattr(options, name, value)
    return from_options(TrainSettings, options, base=base)


def _run(options: argparse.Namespace) -> int:
    settings = read_settings(options)
    from trainer.training.held_out import summary
    from trainer.training.loop import train
    from trainer.training.parallel import init_distributed

    with init_distributed(settings.device) as dist:
        steps = train(settings, dist)
        if dist.is_first:
            held_out = summary(settings.run_dir)
            print(f"{settings.run_dir}: trained to step {steps}; metrics.jsonl and checkpoints are there{held_out}")
    return 0
