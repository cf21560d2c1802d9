"""The options of `python -m pipeline sample` and `tokenizer`, which make models' material and models alone."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from pipeline.cli.preprocess import add_input_options, inputs, read_settings
from schemas.errors import SettingsError


def add_sample_options(options: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_input_options(options)
    options.add_argument("--sample-bytes", type=int, default=64 << 20, metavar="BYTES", help="text to draw, at most")
    options.add_argument("--out", required=True, metavar="FILE", help="Arrow file to write")
    options.set_defaults(run=_run_sample)


def make_room(path: str) -> None:
    """The directory of a file that is about to be written; SettingsError where it cannot be."""
    directory = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot write to {directory} ({error.strerror}); choose another --out") from error
    if os.path.isdir(path):
        raise SettingsError(f"--out {path} is a directory; give a file")


def _run_sample(options: argparse.Namespace, extra: Sequence[str]) -> int:
    from pipeline.corpus.sample import draw_sample
    from schemas.sample import write_sample

    rows = draw_sample(inputs(options), read_settings(options), options.sample_bytes)
    make_room(options.out)
    write_sample(options.out, rows)
    held_out = sum(held for *_, held in rows)
    print(
        f"{options.out}: {len(rows):,} documents, {sum(len(text) for _, text, _ in rows) / 1e6:.1f} MB, "
        f"{held_out} held out"
    )
    return 0


def add_tokenizer_options(options: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_input_options(options)
    options.add_argument(
        "--sample-bytes", type=int, default=64 << 20, metavar="BYTES", help="text to train on, at most"
    )
    options.add_argument(
        "--vocabulary", type=int, default=8192, metavar="PIECES", help="pieces, the 256 bytes included"
    )
    options.add_argument("--out", default="models/tokenizer.model", metavar="FILE", help="SentencePiece model to write")
    options.set_defaults(run=_run_tokenizer)


def _run_tokenizer(options: argparse.Namespace, extra: Sequence[str]) -> int:
    from pipeline.compressors.tokenizer.compressor import TokenizerCompressor
    from pipeline.compressors.tokenizer.training import train_tokenizer
    from pipeline.corpus.sample import draw_sample

    rows = draw_sample(inputs(options), read_settings(options), options.sample_bytes)
    make_room(options.out)
    train_tokenizer((text for _, text, held in rows if not held), options.vocabulary, options.out)
    print(
        f"{options.out}: {TokenizerCompressor.load(options.out).alphabet_size:,} pieces; "
        f"use it with TOKENIZER={options.out}"
    )
    return 0
