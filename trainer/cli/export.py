"""The command `python -m trainer export`: its options are the fields of ExportSettings."""

from __future__ import annotations

import argparse

from schemas.config import from_options
from schemas.options import add_options
from trainer.model.settings import ExportSettings


def add(options: argparse.ArgumentParser) -> None:
    """Add the options of `export` to its parser."""
    add_options(options, ExportSettings)
    options.set_defaults(run=_run, stopped="the same command writes the export again")


def _run(options: argparse.Namespace) -> int:
    from trainer.generation.opening import mixing_mode, opening
    from trainer.model.hf_export import export_model
    from trainer.training.load_model import load_model

    settings = from_options(ExportSettings, options)
    model, run = load_model(settings.model)
    opening(mixing_mode(run))  # refuses a model that never saw raw bytes, which an exported folder reads
    export_model(
        model,
        settings.out,
        mode=settings.mode,
        dtype=settings.dtype,
        shard_bytes=settings.shard_bytes,
        positions=run.get("sequence_length", 16_384),
    )
    print(
        f"{settings.out}: weights ({settings.mode}, {settings.dtype}), code, tokenizer; its README says how to load it"
    )
    return 0
