"""The command `python -m trainer lm`: its options are the fields of ByteLMSettings."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields

from schemas.config import add_config_option, config_value, from_options
from schemas.options import add_options
from trainer.byte_lm.settings import ByteLMSettings, ByteLMTraining, SizedTraining


def add(options: argparse.ArgumentParser) -> None:
    """Add the options of `lm` to its parser."""
    add_config_option(options)
    add_options(options, ByteLMSettings, omit=["training"])
    by_size = [field.name for field in fields(SizedTraining)]
    others = [field.name for field in fields(ByteLMTraining) if field.name not in by_size]
    base = ByteLMTraining.for_size("tiny")
    add_options(options, ByteLMTraining, base=base, omit=by_size)
    sized = options.add_argument_group("the course of training")
    add_options(sized, ByteLMTraining, base=base, omit=others)
    options.set_defaults(run=_run)


def read_settings(options: argparse.Namespace) -> ByteLMSettings:
    """The training that a command line asks for: its options, then its --config, then the defaults of its size."""
    size = getattr(options, "size", config_value(options, "training", {}, dict).get("size", "tiny"))
    # A size of another type is refused with the rest of the file.
    training = ByteLMTraining.for_size(size if isinstance(size, str) else "tiny")
    base = ByteLMSettings(sample="", out="", training=training)
    return from_options(ByteLMSettings, options, base=base)


def _run(options: argparse.Namespace) -> int:
    settings = read_settings(options)
    import torch

    from schemas.byte_lm_files import read_byte_lm
    from schemas.progress import Progress
    from schemas.sample import read_sample
    from trainer.byte_lm.training import train_byte_lm
    from trainer.training.parallel import init_distributed

    torch.set_num_threads(settings.threads)
    training = settings.training
    with init_distributed(settings.device) as dist:
        sample = read_sample(settings.sample)
        with Progress("byte LM", total=training.steps, unit="steps", show=dist.is_first) as progress:
            for _ in train_byte_lm(sample, training, out=settings.out, dist=dist, progress=progress):
                pass
        if not dist.is_first:
            return 0
    found = read_byte_lm(settings.out).training["held_out_bits_per_byte"]
    quality = f"{found:.3f} bits per byte on held-out text" if found else "no held-out text in the sample"
    print(f"{settings.out}: {quality}", file=sys.stderr)
    return 0
