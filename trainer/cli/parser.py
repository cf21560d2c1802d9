"""The command line of `python -m trainer`: its commands, and `lm`; the others have a file each."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys

from schemas.errors import SettingsError
from schemas.options import OneLineParser
from trainer.cli import evaluate as cli_evaluate
from trainer.cli import export as cli_export
from trainer.cli import generate as cli_generate
from trainer.cli import reproduce as cli_reproduce
from trainer.cli import train as cli_train


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = OneLineParser(prog="python -m trainer", description="Train models on samples and shards, and use them.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _lm(commands.add_parser("lm", help="train the byte LM of the neural compressor"))
    cli_train.add(commands.add_parser("train", help="train EvaByte on a dataset"))
    cli_generate.add(commands.add_parser("generate", help="continue a prompt, raw bytes in and out"))
    cli_evaluate.add(commands.add_parser("evaluate", help="bits per byte, and problems to be solved by code"))
    cli_reproduce.add(commands.add_parser("reproduce", help="the paper's ablations, at a scale that fits here"))
    cli_export.add(commands.add_parser("export", help="write the EvaByte Hugging Face layout"))
    return top


def _lm(options: argparse.ArgumentParser) -> None:
    options.add_argument("--sample", required=True, metavar="FILE", help="Arrow file from `python -m pipeline sample`")
    options.add_argument("--size", choices=("tiny", "40m"), default="tiny", help="preset of the model (default: tiny)")
    options.add_argument(
        "--out", required=True, metavar="DIR", help="directory of the byte LM; training continues there"
    )
    options.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    options.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="CPU threads (default: all cores); weights depend on it"
    )
    for name, kind, text in (
        ("steps", int, "optimiser steps"),
        ("rows", int, "windows per step"),
        ("window-bytes", int, "bytes per training window"),
        ("matrix-lr", float, "peak learning rate of Muon, for the blocks' matrices"),
        ("other-lr", float, "peak learning rate of AdamW, for embedding, head and gains"),
        ("seed", int, "of the weights and the windows"),
    ):
        options.add_argument(f"--{name}", type=kind, default=None, help=f"{text} (default: the preset's)")
    options.set_defaults(run=_run_lm)


def _run_lm(options: argparse.Namespace) -> int:
    import torch
    from tqdm import tqdm

    from schemas.byte_lm_files import read_byte_lm
    from schemas.sample import read_sample
    from trainer.training.byte_lm import DEFAULTS, train_byte_lm

    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise SettingsError(f"--device is {options.device}, but torch sees no GPU; use --device cpu")
    torch.set_num_threads(options.threads)
    given = {field.name: getattr(options, field.name, None) for field in dataclasses.fields(DEFAULTS[options.size])}
    training = dataclasses.replace(
        DEFAULTS[options.size], **{name: value for name, value in given.items() if value is not None}
    )
    progress = train_byte_lm(
        read_sample(options.sample), size=options.size, training=training, out=options.out, device=options.device
    )
    with tqdm(total=training.steps, desc="byte LM", disable=not sys.stderr.isatty()) as bar:
        for step, bits in progress:
            bar.n = step
            bar.set_postfix_str(f"{bits:.3f} bits per byte")
            if bar.disable and step % max(1, training.steps // 5) == 0:
                print(f"step {step} of {training.steps}: {bits:.3f} bits per byte", file=sys.stderr)
    found = read_byte_lm(options.out).training["held_out_bits_per_byte"]
    quality = f"{found:.3f} bits per byte on held-out text" if found else "no held-out text in the sample"
    print(f"{options.out}: {quality}", file=sys.stderr)
    return 0
