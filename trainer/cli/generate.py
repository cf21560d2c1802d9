"""The command `python -m trainer generate`: its options are the fields of GenerateSettings."""

from __future__ import annotations

import argparse
import os
import sys

from schemas.config import from_options
from schemas.options import add_options
from trainer.generation.settings import GenerateSettings


def add(options: argparse.ArgumentParser) -> None:
    """Add the options of `generate` to its parser."""
    add_options(options, GenerateSettings)
    options.set_defaults(run=_run, stopped="nothing was written")


def _run(options: argparse.Namespace) -> int:
    from trainer.generation.generate import generate
    from trainer.generation.opening import mixing_mode, opening
    from trainer.training.device import training_device
    from trainer.training.load_model import load_model

    settings = from_options(GenerateSettings, options)
    model, run = load_model(settings.model, device=training_device(settings.device))
    # What was typed may hold any bytes; Python keeps those that are not text as surrogates.
    prompt = os.fsencode(settings.prompt)
    (result,) = generate(
        model,
        [prompt],
        max_bytes=settings.max_bytes,
        sampling=settings.sampling,
        seeds=[settings.seed],
        speculate=settings.speculate,
        opening=opening(mixing_mode(run)),
    )
    sys.stdout.buffer.write(prompt + result.text + b"\n")
    sys.stdout.flush()
    print(
        f"{len(result.text)} bytes in {result.forwards} forwards, {result.symbols_per_forward:.2f} bytes per forward",
        file=sys.stderr,
    )
    return 0
