"""Make a neural compressor from a byte LM and a sample: score table, θ, codebook.

    sample ──┬─ score_of_sample ──► score table                                        entropy.arrow
             ├─ scores of its first bytes ─ calibrate ──► θ                            compressor.json, written last
             └─ segments ─ distinct ─ most frequent first ─ the byte LM ──► codes      codebook.arrow

θ is calibrated once, here, and written down; no worker estimates anything.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np

from kernels.boundary_score import BoundaryScore, CachedScores
from kernels.byte_spans import ByteSpans
from kernels.codebook import Codebook
from kernels.prefix_trie import sort_strings
from kernels.string_table import distinct
from pipeline.compressors.neural.artifact import write_codebook, write_described, write_score_table
from pipeline.compressors.neural.compressor import NeuralCompressor
from pipeline.compressors.neural.description import CodebookStatistics, NeuralDescription
from pipeline.compressors.neural.model import describe_device, device_probe, load_model
from pipeline.compressors.neural.score import score_of_sample
from pipeline.compressors.neural.settings import NeuralSettings
from schemas.batches import Documents
from schemas.byte_lm_files import CONFIG_NAME, WEIGHTS_NAME, read_byte_lm
from schemas.errors import SettingsError

logger = logging.getLogger(__name__)

CALIBRATION_BYTES = 4 << 20
"""Text that θ is calibrated on, at most."""
CODING_CALIBRATION_BYTES = 1 << 19
"""Text that θ is calibrated on where every try codes it anew, for bytes_per_symbol."""
BISECTIONS = 12
"""Halvings of the range in which θ is searched."""
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
    write_score_table(directory, *score.table())
    jump_bits = calibrate_jump(score, settings, documents)
    uncut = NeuralCompressor(model, score, settings, 0.0, jump_bits=jump_bits, threads=threads)
    theta_bits = calibrate(uncut, documents)
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
        device=describe_device(device),
        device_probe=device_probe(model),
        codebook=CodebookStatistics(
            entries=len(book),
            segment_bytes=book.segments.strings().data.size,
            prefixes_read=compressor.coder.prefixes_read,
            sample_bytes=int(documents.raw.size),
        ),
    )
    write_described(directory, description)


def calibrate(compressor: NeuralCompressor, documents: Documents) -> float:
    """θ in bits that meets the compressor's `settings.theta` on the first of these documents.

    A function of the documents, the score and the settings alone. SettingsError where no θ meets the target.
    """
    target = compressor.settings.theta
    if target.kind == "bits":
        return target.value
    documents = _head(documents, CODING_CALIBRATION_BYTES if target.kind == "bytes_per_symbol" else CALIBRATION_BYTES)
    score = CachedScores(compressor.score, documents.raw, documents.offsets)
    if target.kind == "quantile":
        return float(np.quantile(score.bits, target.value, method="lower"))

    def mean_segment_bytes(theta_bits: float) -> float:
        ends, _ = compressor.variant(score=score, theta_bits=theta_bits).segments(documents)
        return documents.raw.size / max(1, ends.size)

    def bytes_per_symbol(theta_bits: float) -> float:
        encoding = compressor.variant(score=score, theta_bits=theta_bits).compress(documents)
        return documents.raw.size / max(1, encoding.symbols.size)

    measure = mean_segment_bytes if target.kind == "mean_bytes" else bytes_per_symbol
    return _bisect(measure, target.value, float(score.bits.max(initial=8.0)))


def calibrate_jump(score: BoundaryScore, settings: NeuralSettings, documents: Documents) -> float | None:
    """δ in bits as `settings.jump` asks, from the rises S_t − S_{t−1} within the first of these documents; or None."""
    if settings.jump is None:
        return None
    if settings.jump.kind == "bits":
        return settings.jump.value
    documents = _head(documents, CALIBRATION_BYTES)
    bits = score.scores(documents.raw, documents.offsets)
    is_first = np.zeros(bits.size + 1, bool)
    is_first[documents.offsets] = True
    rises = np.diff(bits)[~is_first[1:-1]]
    return float(np.quantile(rises, settings.jump.value, method="lower")) if rises.size else 0.0


def _bisect(measure: Callable[[float], float], goal: float, high: float) -> float:
    """The smallest θ tried, between 0 and `high`, whose measure, which grows with θ, reaches the goal."""
    low, without_boundary = 0.0, measure(high)
    if without_boundary < goal:
        raise SettingsError(
            f"theta cannot reach {goal:g}: without any boundary the sample gives {without_boundary:.2f}; ask for less"
        )
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if measure(middle) >= goal else (middle, high)
    return high


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


def _head(documents: Documents, limit_bytes: int) -> Documents:
    """The first documents, up to a limit; the last one may be cut."""
    n = min(int(np.searchsorted(documents.offsets, limit_bytes)), len(documents))
    offsets = np.minimum(documents.offsets[: n + 1], limit_bytes)
    return Documents(raw=documents.raw[: offsets[-1]], offsets=offsets)
