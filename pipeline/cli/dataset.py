"""The options of the commands that look at a finished dataset: verify, decode, show, analyze."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from schemas.errors import SettingsError


def add_verify_options(options: argparse.ArgumentParser) -> None:
    """The command's options."""
    options.add_argument("dataset", metavar="DIR", help="directory of a finished dataset")
    options.add_argument(
        "--by-model", action="store_true", help="decode neural codes by the byte LM alone, without the codebook (slow)"
    )
    options.add_argument("--device", default="cpu", help="where the byte LM runs: cpu or cuda")
    options.set_defaults(run=_run_verify)


def _run_verify(options: argparse.Namespace, extra: Sequence[str]) -> int:
    from pipeline.dataset.verify import verify

    result = None
    for result in verify(options.dataset, device=options.device, by_model=options.by_model):
        if sys.stderr.isatty():
            print(f"\r{result.shards} shards, {result.raw_bytes / 1e6:.1f} MB", end="", file=sys.stderr, flush=True)
    if result is None:
        raise SettingsError(f"{options.dataset} has no shards; there is nothing to verify")
    print(
        f"verified: {result.documents:,} documents, {result.raw_bytes:,} bytes in {result.shards} shards "
        f"decode from {', '.join(result.compressors)} to exactly their raw bytes"
    )
    return 0


def add_decode_options(options: argparse.ArgumentParser) -> None:
    """The command's options."""
    options.add_argument("dataset", metavar="DIR", help="directory of a finished dataset")
    options.add_argument("--out", required=True, metavar="DIR", help="where the documents go, by their source names")
    options.add_argument("--compressor", default=None, help="decode this encoding (default: neural, or else the first)")
    options.set_defaults(run=_run_decode)


def _run_decode(options: argparse.Namespace, extra: Sequence[str]) -> int:
    from pipeline.dataset.decode import decode_to

    print(f"{decode_to(options.dataset, options.out, options.compressor):,} documents decoded to {options.out}")
    return 0


def add_show_options(options: argparse.ArgumentParser) -> None:
    """The command's options."""
    options.add_argument("shard", metavar="DIR|SHARD", help="a dataset (its first shard) or a shard")
    options.add_argument("--view", choices=("raw", "comp", "paired", "windows"), default="paired", help="which view")
    options.add_argument("--head", type=int, default=20, metavar="ROWS", help="rows to print")
    options.add_argument("--compressor", default=None, help="whose encoding (default: the shard's first)")
    options.add_argument("--width", type=int, default=120, metavar="COLUMNS", help="of the terminal")
    options.set_defaults(run=_run_show)


def _run_show(options: argparse.Namespace, extra: Sequence[str]) -> int:
    from pipeline.dataset.show import show

    for line in show(options.shard, options.view, options.head, options.compressor, options.width):
        print(line)
    return 0


def add_analyze_options(options: argparse.ArgumentParser) -> None:
    """The command's options."""
    options.add_argument("dataset", metavar="DATA", help="directory of a finished dataset")
    options.add_argument(
        "--out", default=None, metavar="DIR", help="where tables and report.html go (default: DATA/analysis)"
    )
    options.add_argument(
        "--documents", type=int, default=200, metavar="N", help="texts that are edited to measure distances, at most"
    )
    options.add_argument(
        "--texts",
        default=None,
        metavar="DIR",
        help="more texts to edit, where the dataset holds out fewer (default: only those of the dataset)",
    )
    options.add_argument("--seed", type=int, default=0, metavar="S", help="of edits, intervals and samples")
    options.set_defaults(run=_run_analyze)


def _run_analyze(options: argparse.Namespace, extra: Sequence[str]) -> int:
    from pipeline.analysis.analyze import AnalyzeSettings, analyze

    settings = AnalyzeSettings(
        dataset=options.dataset.rstrip("/") or "/",
        out=options.out,
        documents=options.documents,
        texts=options.texts,
        seed=options.seed,
    )
    for path in analyze(settings):
        print(path)
    return 0
