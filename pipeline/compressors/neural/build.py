"""Make a neural compressor from a byte LM and a sample: score table, θ, codebook.

    sample ──┬─ score_of_sample ──► score table                                        entropy.arrow
             ├─ scores of its first bytes ─ calibration.py ──► δ, θ                    compressor.json, written last
             └─ segments ─ distinct ─ most frequent first ─ the byte LM ──► codes      codebook.arrow

δ and θ are calibrated once, here, and written down; no worker estimates anything.
"""

from __future__ import annotations

import logging
import os
import shutil
from typing import Any

import numpy as np

from kernels.byte_spans import ByteSpans
from kernels.codebook import Codebook
from kernels.prefix_trie import sort_strings
from kernels.string_table import distinct
from pipeline.compressors.neural.artifact import write_codebook, write_described, write_score_table
from pipeline.compressors.neural.calibration import ScoredBeginnings, jump_of, theta_of
from pipeline.compressors.neural.compressor import NeuralCompressor
from pipeline.compressors.neural.description import CodebookStatistics, NeuralDescription
from pipeline.compressors.neural.model import device_probe, load_model
from pipeline.compressors.neural.score import score_of_sample
from pipeline.compressors.neural.settings import NeuralSettings
from schemas.batches import Documents
from schemas.byte_lm_files import CONFIG_NAME, WEIGHTS_NAME, read_byte_lm

logger = logging.getLogger(__name__)

MAX_CODEBOOK_ENTRIES = 1 << 22


def build_neural(
    directory: str,
    *,
    lm_directory: str,
    documents: Documents,
    settings: NeuralSettings,
    device: str,
    threads: int,
    request: dict[str, Any],
) -> None:
    """Make the artifact in a directory, with θ as the settings ask for it, calibrated on the documents.

    lm_directory: of the byte LM, which is copied. threads: that read with the model at a time. request: what else the
    result was made from, for `NeuralDescription.request`. SettingsError where θ cannot reach its target.
    """
    os.makedirs(directory, exist_ok=True)
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        source, copy = os.path.join(lm_directory, name), os.path.join(directory, name)
        if os.path.abspath(source) != os.path.abspath(copy):
            shutil.copyfile(source, copy)
    files = read_byte_lm(directory)
    model = load_model(files, device)
    score = score_of_sample(settings, model, documents, threads=threads)
    score_digest = write_score_table(directory, *score.table())
    beginnings = ScoredBeginnings(score, documents)
    jump_bits = None if settings.jump is None else jump_of(settings.jump, beginnings)
    uncut = NeuralCompressor(model, score, settings, 0.0, jump_bits=jump_bits, threads=threads)
    theta_bits = theta_of(uncut, beginnings)
    logger.info("theta is %.4f bits (%s)", theta_bits, settings.theta)
    compressor = NeuralCompressor(model, score, settings, theta_bits, jump_bits=jump_bits, threads=threads)
    book, counts = Codebook(), np.empty(0)
    if settings.context == "segment":
        book, counts = _codebook(compressor, documents)
    write_codebook(directory, book, counts)
    description = NeuralDescription(
        digest="",
        alphabet_size=compressor.alphabet_size,
        symbol_dtype=compressor.layout.symbols,
        settings=settings,
        theta_bits=theta_bits,
        jump_bits=jump_bits,
        boundaries=settings.boundary_rule,
        request=request,
        lm_digest=files.digest,
        lm_training=files.training,
        device_probe=device_probe(model),
        codebook=CodebookStatistics(
            entries=len(book),
            segment_bytes=book.segments.strings().data.size,
            prefixes_read=compressor.coder.prefixes_read,
            sample_bytes=int(documents.raw.size),
        ),
    )
    write_described(directory, description, score_digest)


def _codebook(compressor: NeuralCompressor, documents: Documents) -> tuple[Codebook, np.ndarray]:
    """Distinct segments of the documents with their codes and counts: frequent first, equals by their bytes' order."""
    segments = ByteSpans.from_ends(documents.raw, compressor.segments(documents)[0])
    firsts, group = distinct(segments)
    counts = np.bincount(group, minlength=firsts.size)
    by_bytes = sort_strings(segments.take(firsts))
    order = by_bytes[np.argsort(-counts[by_bytes], kind="stable")][:MAX_CODEBOOK_ENTRIES]
    book = Codebook()
    if order.size:
        chosen = segments.take(firsts[order])
        book.insert(chosen, compressor.coder.codes(chosen))
    return book, counts[order]
