"""The options of `python -m trainer`, with unit and default, and what each command does with them."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from typing import NoReturn

from schemas.errors import SettingsError
from trainer.cli import evaluate as cli_evaluate
from trainer.cli import reproduce as cli_reproduce


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = _Parser(prog="python -m trainer", description="Train models on samples and shards, and use them.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _lm(commands.add_parser("lm", help="train the byte LM of the neural compressor"))
    _train(commands.add_parser("train", help="train EvaByte on a dataset"))
    _generate(commands.add_parser("generate", help="continue a prompt, raw bytes in and out"))
    cli_evaluate.add(commands.add_parser("evaluate", help="bits per byte, and problems to be solved by code"))
    cli_reproduce.add(commands.add_parser("reproduce", help="the paper's ablations, at a scale that fits here"))
    _export(commands.add_parser("export", help="write the EvaByte Hugging Face layout"))
    return top


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see `{self.prog} --help`\n")


def _train(options: argparse.ArgumentParser) -> None:
    options.add_argument("--data", default="data/stdlib", metavar="DIR", help="finished dataset (default: data/stdlib)")
    options.add_argument("--out", default=None, metavar="DIR", help="the run (default: runs/SIZE)")
    options.add_argument(
        "--size", default="tiny", help="tiny, pico, nano, micro, 0.5b, 1.5b, 4b, 7b or 14b (default: tiny)"
    )
    options.add_argument(
        "--compressor", default="neural", help="whose encoding is mixed with raw bytes (default: neural)"
    )
    options.add_argument(
        "--mode",
        default="pair-warmup",
        help="none, sentinel, pair-warmup, pair-always, raw-only or comp-only (default: pair-warmup)",
    )
    for name, kind, text in TRAIN_OPTIONS:
        options.add_argument(f"--{name}", type=kind, default=None, help=f"{text} (default: the size's)")
    options.add_argument("--device", default="", help="cpu or cuda (default: cuda where there is one)")
    options.add_argument("--cache", default="", metavar="DIR", help="local directory for shards of a remote dataset")
    options.add_argument("--compile", action="store_true", help="torch.compile for each block")
    options.set_defaults(run=_run_train)


TRAIN_OPTIONS = (
    ("steps", int, "optimiser steps"),
    ("batch-symbols", int, "symbols per step, all ranks together"),
    ("sequence-length", int, "symbols per row, the context"),
    ("micro-batch-size", int, "rows of a micro-batch; accumulation follows"),
    ("peak-lr", float, "learning rate after the warm-up"),
    ("warmup-steps", int, "steps of the learning rate's warm-up"),
    ("mixing-warmup-steps", int, "steps of the mixing's warm-up, in which r rises and documents are paired"),
    ("compressed-fraction", float, "r after the warm-up: share of comp among the encodings shown"),
    ("symbol-heads", int, "heads over the whole vocabulary"),
    ("raw-heads", int, "further heads over raw bytes"),
    ("lanes", int, "virtual lanes of the loader; the number of ranks divides it"),
    ("held-out-share", float, "share of documents, by hash, never trained on"),
    ("checkpoint-steps", int, "steps between checkpoints"),
    ("keep-checkpoints", int, "how many of the last checkpoints stay"),
    ("log-steps", int, "steps between lines of metrics"),
    ("sharding", str, "ddp or fsdp"),
    ("seed", int, "of weights, order and mixing"),
)


def _run_train(options: argparse.Namespace) -> int:
    from trainer.data.mixing import Mixing
    from trainer.training.loop import train
    from trainer.training.parallel import init_distributed
    from trainer.training.settings import TrainSettings

    own = {name.replace("-", "_") for name, _, _ in TRAIN_OPTIONS} - {"mixing_warmup_steps", "compressed_fraction"}
    given = {name: getattr(options, name) for name in sorted(own) if getattr(options, name) is not None}
    base = TrainSettings.for_size(options.size, data="", run="").mixing
    mixing = {"warmup_steps": options.mixing_warmup_steps, "compressed_fraction": options.compressed_fraction}
    chosen = {name: value for name, value in mixing.items() if value is not None}
    settings = TrainSettings.for_size(
        options.size,
        data=options.data,
        run=options.out or f"runs/{options.size}",
        compressor=options.compressor,
        mixing=Mixing(**{**dataclasses.asdict(base), **chosen, "mode": options.mode}),
        device=options.device,
        cache=options.cache,
        compile=options.compile,
        **given,
    )
    with init_distributed(settings.device) as dist:
        train(settings, dist)
        if dist.is_first:
            print(f"{settings.run}: trained to step {settings.steps}; metrics.jsonl and checkpoints stand there")
    return 0


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


def _generate(options: argparse.ArgumentParser) -> None:
    options.add_argument("model", nargs="?", default="runs/tiny", help="run, checkpoint or export (default: runs/tiny)")
    options.add_argument("--prompt", default="def ", help="text to continue (default: 'def ')")
    options.add_argument("--max-bytes", type=int, default=256, help="longest continuation (default: 256)")
    options.add_argument("--temperature", type=float, default=0.0, help="0 is greedy (default: 0)")
    options.add_argument("--top-p", type=float, default=1.0, help="share of probability kept (default: 1)")
    options.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    options.add_argument("--plain", action="store_true", help="one byte per forward, without speculation")
    options.add_argument("--device", default="", help="cpu or cuda (default: cuda where there is one)")
    options.set_defaults(run=_run_generate)


def _run_generate(options: argparse.Namespace) -> int:
    from trainer.generation.generate import generate
    from trainer.generation.sampling import Sampling
    from trainer.training.load_model import load_model
    from trainer.training.parallel import training_device

    model, _ = load_model(options.model, device=training_device(options.device))
    prompt = options.prompt.encode()
    result = generate(
        model,
        [prompt],
        max_bytes=options.max_bytes,
        sampling=Sampling(temperature=options.temperature, top_p=options.top_p),
        seeds=[options.seed],
        speculate=not options.plain,
    )[0]
    sys.stdout.buffer.write(prompt + result.text + b"\n")
    sys.stdout.flush()
    print(
        f"{len(result.text)} bytes in {result.forwards} forwards, {result.symbols_per_forward:.2f} bytes per forward",
        file=sys.stderr,
    )
    return 0


def _export(options: argparse.ArgumentParser) -> None:
    options.add_argument("model", nargs="?", default="runs/tiny", help="run or checkpoint (default: runs/tiny)")
    options.add_argument("--out", required=True, metavar="DIR", help="directory to write")
    options.add_argument(
        "--mode",
        choices=("plain", "merged"),
        default="plain",
        help="keep the vocabulary, or cut to raw bytes with all heads (default: plain)",
    )
    options.set_defaults(run=_run_export)


def _run_export(options: argparse.Namespace) -> int:
    from trainer.model.hf_export import export_model
    from trainer.training.load_model import load_model

    model, settings = load_model(options.model)
    export_model(model, options.out, mode=options.mode, positions=settings.get("sequence_length", 16_384))
    print(f"{options.out}: safetensors and config.json in the EvaByte layout ({options.mode})")
    return 0
