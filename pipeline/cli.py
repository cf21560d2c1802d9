"""The options of `python -m pipeline`, with unit and default, and what each command does with them."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import sysconfig
from collections.abc import Sequence
from typing import NoReturn

from pipeline.cli_plan import add_plan_options
from pipeline.cli_reformat import add_reformat_options
from schemas.errors import SettingsError

DEFAULT_OUTPUT = "data/stdlib"


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = _Parser(
        prog="python -m pipeline", description="Turn a corpus into Arrow shards with raw and compressed spellings."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _preprocess(commands.add_parser("preprocess", help="a corpus becomes verified Arrow shards", formatter_class=_Help))
    _sample(commands.add_parser("sample", help="draw the sample that models are made from", formatter_class=_Help))
    _tokenizer(commands.add_parser("tokenizer", help="train a SentencePiece tokenizer", formatter_class=_Help))
    _verify(commands.add_parser("verify", help="decode every document and compare it with raw", formatter_class=_Help))
    _decode(commands.add_parser("decode", help="the corpus back, byte for byte", formatter_class=_Help))
    _show(commands.add_parser("show", help="print a view of a shard", formatter_class=_Help))
    _analyze(commands.add_parser("analyze", help="tables and a page: does it deserve trust?", formatter_class=_Help))
    plan = commands.add_parser("plan", help="hours, storage and requests of a larger run", formatter_class=_Help)
    add_plan_options(plan, DEFAULT_OUTPUT)
    again = commands.add_parser("reformat", help="held-out texts in other formatting", formatter_class=_Help)
    add_reformat_options(again)
    return top


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see `{self.prog} --help`\n")


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Defaults in every help line."""


def _input_options(options: argparse.ArgumentParser) -> None:
    options.add_argument(
        "--input", nargs="+", metavar="PATH", default=None,
        help="files, globs, directories or URLs: .jsonl[.gz|.zst], .parquet, .arrow, or a tree of source files "
        "(default: this Python's standard library)",
    )  # fmt: skip
    options.add_argument(
        "--text-field", nargs="+", metavar="FIELD", default=["text", "content"], help="first of these that a record has"
    )
    options.add_argument(
        "--id-field",
        metavar="FIELD",
        default=None,
        help="take document ids from this field (default: a hash of source and position)",
    )
    options.add_argument(
        "--max-document-bytes", type=int, default=64 << 20, metavar="BYTES", help="longer documents are set aside"
    )
    options.add_argument(
        "--split-bytes",
        type=int,
        default=0,
        metavar="BYTES",
        help="cut longer documents at line ends, for short contexts; 0: never",
    )


def _model_options(options: argparse.ArgumentParser) -> None:
    options.add_argument(
        "--lm", default="tiny", metavar="SIZE|DIR", help="byte LM: `tiny` or `40m` to train on a sample, or a directory"
    )
    options.add_argument(
        "--tokenizer", default="", metavar="FILE", help="SentencePiece .model (default: train one on a sample)"
    )
    options.add_argument(
        "--tokenizer-vocabulary", type=int, default=8192, metavar="PIECES", help="size of a tokenizer trained here"
    )
    options.add_argument(
        "--sample-bytes", type=int, default=64 << 20, metavar="BYTES", help="text that models are made from, at most"
    )
    options.add_argument(
        "--theta", default="quantile=0.73", metavar="TARGET",
        help="threshold of boundaries in bits, or quantile=Q, mean_bytes=B, bytes_per_symbol=R, calibrated once",
    )  # fmt: skip
    options.add_argument(
        "--entropy-context",
        default="none",
        metavar="BYTES",
        help="cut by the LM's entropy given 1 to 8 bytes, or the `document`; `none`: by the surprisal of byte pairs",
    )
    options.add_argument(
        "--context", choices=("segment", "document"), default="segment", help="what the LM sees when it codes"
    )
    options.add_argument("--max-segment-bytes", type=int, default=32, metavar="BYTES", help="longest segment")
    options.add_argument(
        "--window-bits",
        type=int,
        default=16,
        metavar="BITS",
        help="bits of a neural symbol, 10 to 16: fewer for models too small for 65,536 symbols",
    )
    options.add_argument(
        "--token-width-bytes",
        type=int,
        default=0,
        metavar="BYTES",
        help="token_bytes: 2 or 3; 0: the smallest that fits",
    )
    options.add_argument(
        "--token-code", choices=("plain", "gray"), default="plain", help="token_bytes: how an id is spelled"
    )


def _preprocess(options: argparse.ArgumentParser) -> None:
    _input_options(options)
    options.add_argument(
        "--output", default=DEFAULT_OUTPUT, metavar="DIR", help="directory of the dataset, local or remote"
    )
    options.add_argument(
        "--compressors",
        default="neural,tokenizer,gzip",
        metavar="NAMES",
        help="of neural, tokenizer, gzip, token_bytes",
    )
    _model_options(options)
    options.add_argument(
        "--shards",
        type=int,
        default=None,
        metavar="N",
        help="number of shards (default: one per --unit-bytes of input)",
    )
    options.add_argument(
        "--unit-bytes", type=int, default=8 << 20, metavar="BYTES", help="input per shard where --shards is not given"
    )
    options.add_argument(
        "--compression", choices=("zstd", "none"), default="zstd", help="of the shards' record batches"
    )
    options.add_argument("--write-entropy", action="store_true", help="also write the score of every byte, in bits")
    options.add_argument(
        "--max-reject-fraction", type=float, default=0.05, metavar="SHARE", help="more rejects stop the run, exit 1"
    )
    options.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="threads of the local runner"
    )
    options.add_argument("--device", default="cpu", help="where the byte LM runs: cpu or cuda")
    options.add_argument(
        "--allow-other-device", action="store_true", help="use a codebook of a device that computes other codes"
    )
    options.add_argument("--runner", default="FnApiRunner", help="any Beam runner; its own options follow as they are")
    options.set_defaults(run=_run_preprocess)


def _run_preprocess(options: argparse.Namespace, extra: Sequence[str]) -> int:
    from pipeline.preprocess import preprocess
    from pipeline.settings import PreprocessSettings
    from pipeline.summary import summary

    settings = PreprocessSettings(
        inputs=_inputs(options),
        output=options.output.rstrip("/"),
        compressors=tuple(options.compressors.split(",")),
        models=_models(options),
        read=_read(options),
        shards=options.shards,
        unit_bytes=options.unit_bytes,
        compression=options.compression,
        entropy=options.write_entropy,
        max_reject_fraction=options.max_reject_fraction,
        workers=options.workers,
        device=options.device,
        allow_other_device=options.allow_other_device,
        runner=options.runner,
        beam_options=tuple(extra),
    )
    if settings.runner == "FnApiRunner" and extra:
        raise SettingsError(f"unknown option {extra[0]!r}; see `python -m pipeline preprocess --help`")
    fresh = preprocess(settings)
    if not fresh:
        print("everything is in place, nothing to do\n")
    print(summary(settings.output))
    return 0


def _inputs(options: argparse.Namespace) -> tuple[str, ...]:
    return tuple(options.input) if options.input else (sysconfig.get_paths()["stdlib"],)


def _read(options: argparse.Namespace):
    from pipeline.read import ReadSettings

    return ReadSettings(
        text_fields=tuple(options.text_field),
        id_field=options.id_field,
        max_document_bytes=options.max_document_bytes,
        split_bytes=options.split_bytes,
    )


def _models(options: argparse.Namespace):
    from pipeline.neural_build import ThetaTarget
    from pipeline.settings import ModelSettings

    context = options.entropy_context
    sizes = {"none": None, "document": 0}
    if context not in sizes and not (context.isdigit() and int(context)):
        raise SettingsError(f"--entropy-context is {context!r}; give 1 to 8 (bytes), `document`, or `none`")
    names = {field.name for field in dataclasses.fields(ModelSettings)} - {"theta", "entropy_context_bytes"}
    return ModelSettings(
        theta=ThetaTarget.parse(options.theta),
        entropy_context_bytes=sizes[context] if context in sizes else int(context),
        **{name: getattr(options, name) for name in sorted(names)},
    )


def _sample(options: argparse.ArgumentParser) -> None:
    _input_options(options)
    options.add_argument("--sample-bytes", type=int, default=64 << 20, metavar="BYTES", help="text to draw, at most")
    options.add_argument("--out", required=True, metavar="FILE", help="Arrow file to write")
    options.set_defaults(run=_run_sample)


def _make_room(path: str) -> None:
    """The directory of a file that is about to be written; SettingsError where it cannot be."""
    directory = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot write to {directory} ({error.strerror}); choose another --out") from error
    if os.path.isdir(path):
        raise SettingsError(f"--out {path} is a directory; give a file")


def _run_sample(options: argparse.Namespace, extra: Sequence[str]) -> int:
    from pipeline.sample import draw_sample
    from schemas.sample import write_sample

    rows = draw_sample(_inputs(options), _read(options), options.sample_bytes)
    _make_room(options.out)
    write_sample(options.out, rows)
    held_out = sum(held for *_, held in rows)
    print(
        f"{options.out}: {len(rows):,} documents, {sum(len(text) for _, text, _ in rows) / 1e6:.1f} MB, "
        f"{held_out} held out"
    )
    return 0


def _tokenizer(options: argparse.ArgumentParser) -> None:
    _input_options(options)
    options.add_argument(
        "--sample-bytes", type=int, default=64 << 20, metavar="BYTES", help="text to train on, at most"
    )
    options.add_argument(
        "--vocabulary", type=int, default=8192, metavar="PIECES", help="pieces, the 256 bytes included"
    )
    options.add_argument("--out", default="models/tokenizer.model", metavar="FILE", help="SentencePiece model to write")
    options.set_defaults(run=_run_tokenizer)


def _run_tokenizer(options: argparse.Namespace, extra: Sequence[str]) -> int:
    from pipeline.compressors.tokenizer import TokenizerCompressor
    from pipeline.sample import draw_sample
    from pipeline.tokenizer_training import train_tokenizer

    rows = draw_sample(_inputs(options), _read(options), options.sample_bytes)
    _make_room(options.out)
    train_tokenizer((text for _, text, held in rows if not held), options.vocabulary, options.out)
    print(
        f"{options.out}: {TokenizerCompressor.load(options.out).alphabet_size:,} pieces; "
        f"use it with TOKENIZER={options.out}"
    )
    return 0


def _verify(options: argparse.ArgumentParser) -> None:
    options.add_argument("dataset", metavar="DIR", help="directory of a finished dataset")
    options.add_argument(
        "--by-model", action="store_true", help="decode neural codes by the byte LM alone, without the codebook (slow)"
    )
    options.add_argument("--device", default="cpu", help="where the byte LM runs: cpu or cuda")
    options.set_defaults(run=_run_verify)


def _run_verify(options: argparse.Namespace, extra: Sequence[str]) -> int:
    from pipeline.verify import verify

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


def _decode(options: argparse.ArgumentParser) -> None:
    options.add_argument("dataset", metavar="DIR", help="directory of a finished dataset")
    options.add_argument("--out", required=True, metavar="DIR", help="where the documents go, by their source names")
    options.add_argument("--compressor", default=None, help="decode this spelling (default: neural, or else the first)")
    options.set_defaults(run=_run_decode)


def _run_decode(options: argparse.Namespace, extra: Sequence[str]) -> int:
    from pipeline.verify import decode_to

    print(f"{decode_to(options.dataset, options.out, options.compressor):,} documents decoded to {options.out}")
    return 0


def _show(options: argparse.ArgumentParser) -> None:
    options.add_argument("shard", metavar="DIR|SHARD", help="a dataset (its first shard) or a shard")
    options.add_argument("--view", choices=("raw", "comp", "paired", "windows"), default="paired", help="which view")
    options.add_argument("--head", type=int, default=20, metavar="ROWS", help="rows to print")
    options.add_argument("--compressor", default=None, help="whose spelling (default: the shard's first)")
    options.add_argument("--width", type=int, default=120, metavar="COLUMNS", help="of the terminal")
    options.set_defaults(run=_run_show)


def _run_show(options: argparse.Namespace, extra: Sequence[str]) -> int:
    from pipeline.show import show

    for line in show(options.shard, options.view, options.head, options.compressor, options.width):
        print(line)
    return 0


def _analyze(options: argparse.ArgumentParser) -> None:
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
