"""The options of `python -m trainer evaluate translation`, and what it does with them."""

from __future__ import annotations

import argparse
import dataclasses

from schemas.errors import SettingsError


def add(options: argparse.ArgumentParser, *, model_help: str) -> None:
    """All of them."""
    options.add_argument("model", nargs="?", default="runs/tiny", help=model_help)
    options.add_argument("--data", default="data/stdlib", metavar="DIR", help="finished dataset (default: data/stdlib)")
    options.add_argument("--compressor", default=None, help="whose encoding is translated (default: the run's)")
    options.add_argument("--documents", type=int, default=200, help="held-out documents (default: 200)")
    options.add_argument(
        "--positions", type=int, default=None, help="room for both encodings of a document (default: the run's row)"
    )
    options.add_argument("--held-out-share", type=float, default=None, help="of the documents (default: the run's)")
    options.add_argument("--out", default=None, metavar="FILE", help="write the figures as JSON too")
    options.add_argument("--device", default="", help="cpu or cuda (default: cuda where there is one)")
    options.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from schemas.files import canonical_json, replace_file
    from trainer.data.dataset import Dataset, HeldOut
    from trainer.evaluation.translation import first_pairs, translate
    from trainer.training.load_model import load_model
    from trainer.training.parallel import training_device

    if options.documents < 2 or (options.positions or 1) < 1:
        raise SettingsError(
            f"--documents is {options.documents} and --positions {options.positions}; give at least 2 documents "
            "(one is another's control) and 1 position"
        )
    model, settings = load_model(options.model, device=training_device(options.device))
    compressor = options.compressor or settings.get("compressor")
    if not compressor:
        raise SettingsError(f"{options.model} was trained on raw bytes alone; name the --compressor to translate from")
    share = settings.get("held_out_share", 0.05) if options.held_out_share is None else options.held_out_share
    positions = options.positions or settings.get("row_symbols", 1024)
    dataset = Dataset(options.data, compressor=compressor, held_out=HeldOut(share=share))
    dataset.check_vocabulary(model.config.vocabulary)
    pairs, left_out = first_pairs(dataset, documents=options.documents, positions=positions)
    found = translate(model, pairs)
    if options.out:
        replace_file(options.out, canonical_json({**dataclasses.asdict(found), "left_out": left_out}))
    print(
        f"{found.documents} held-out documents, {left_out} too long left out\n"
        f"{compressor} to raw: {found.raw_exact:.1%} exact, similarity {found.raw_similarity:.3f}\n"
        f"raw to {compressor}: {found.comp_exact:.1%} exact, similarity {found.comp_similarity:.3f}\n"
        f"bits per byte: {found.bits_per_byte:.3f} alone, {found.bits_per_byte_given_comp:.3f} after its own encoding, "
        f"{found.bits_per_byte_given_other_comp:.3f} after another document's"
    )
    return 0
