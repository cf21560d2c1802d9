"""The options of `python -m pipeline preprocess`, with unit and default; other commands share those of the input."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.corpus.settings import SAMPLE_BYTES, CorpusSettings
from schemas.errors import SettingsError
from schemas.options import add_options, from_options

if TYPE_CHECKING:
    from pipeline.job.settings import ModelSettings

DEFAULT_OUTPUT = "data/stdlib"


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
        "--sample-bytes",
        type=int,
        default=SAMPLE_BYTES,
        metavar="BYTES",
        help="text to make models from, at most",
    )
    options.add_argument(
        "--theta", default="quantile=0.73", metavar="TARGET",
        help="threshold of boundaries in bits, or quantile=Q, mean_bytes=B, bytes_per_symbol=R, calibrated once",
    )  # fmt: skip
    options.add_argument(
        "--boundary-score",
        choices=("pair_surprisal", "context_entropy", "document_entropy"),
        default="pair_surprisal",
        help="score that boundaries are cut at: surprisal of byte pairs, or the byte LM's entropy given a few bytes "
        "or all of the document before",
    )
    options.add_argument(
        "--score-context-bytes",
        type=int,
        default=2,
        metavar="BYTES",
        help="bytes before a byte that its context_entropy is given, 1 to 8",
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


def add_preprocess_options(options: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_options(options, CorpusSettings)
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


def run_preprocess(options: argparse.Namespace, extra: Sequence[str]) -> int:
    """Turn a corpus into a dataset; the exit status."""
    from pipeline.job.preprocess import preprocess
    from pipeline.job.settings import PreprocessSettings
    from pipeline.job.summary import summary

    settings = PreprocessSettings(
        corpus=from_options(CorpusSettings, options),
        output=options.output.rstrip("/"),
        compressors=tuple(options.compressors.split(",")),
        models=_models(options),
        shards=options.shards,
        unit_bytes=options.unit_bytes,
        compression=options.compression,
        write_entropy=options.write_entropy,
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


def _models(options: argparse.Namespace) -> ModelSettings:
    from pipeline.compressors.neural.settings import NeuralSettings, ThetaTarget
    from pipeline.compressors.token_bytes.settings import TokenBytesSettings
    from pipeline.job.settings import ModelSettings

    def values(cls: type, *omit: str) -> dict[str, Any]:
        return {field.name: getattr(options, field.name) for field in dataclasses.fields(cls) if field.name not in omit}

    neural = NeuralSettings(theta=ThetaTarget.parse(options.theta), **values(NeuralSettings, "theta"))
    token_bytes = TokenBytesSettings(width_bytes=options.token_width_bytes, code=options.token_code)
    return ModelSettings(neural=neural, token_bytes=token_bytes, **values(ModelSettings, "neural", "token_bytes"))
