"""The exact byte LM on a device: the committed codes, and its rates beside that of the matrix units."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from kernels.boundary_score import DocumentEntropy, PairSurprisal
from kernels.byte_lm import ByteLM
from kernels.byte_lm_config import PRESETS, ByteLMConfig
from kernels.byte_spans import ByteSpans
from kernels.byte_windows import sliding_windows
from kernels.exact_lm import ExactByteLM
from kernels.exact_products import PRODUCTS
from kernels.exact_quantise import quantise_byte_lm
from kernels.prefix_coding import PrefixCoder
from kernels.segmentation import segment
from kernels.string_table import distinct
from schemas.batches import Documents
from schemas.byte_lm_files import read_byte_lm
from tests.gpu_check.clock import matrix_rate, seconds_of
from tests.gpu_check.run import CheckError, Figure
from tests.gpu_check.scale import Scale
from tests.gpu_check.texts import stdlib_texts
from tests.kernels.exact_golden import CODES, LM
from tests.kernels.exact_golden import codes as golden_codes

THETA_QUANTILE = 0.73
MAX_SEGMENT_BYTES = 32


def codes(scale: Scale, scratch: Path) -> Iterator[Figure]:
    """Symbols, windows, intervals and scores of the committed LM, by each kind of product."""
    expected, files, other = json.loads(CODES.read_text("utf-8")), read_byte_lm(str(LM)), []
    for product in PRODUCTS:
        model = ExactByteLM(ByteLMConfig(**files.config), files.arrays, device=scale.device, product=product)
        found = golden_codes(model)
        wrong = [name for name in expected if found[name] != expected[name]]
        other += [f"{name} by {product}" for name in wrong]
        yield f"as committed, {product} products", f"{len(expected) - len(wrong)} of {len(expected)}"
    if other:
        raise CheckError(f"other integers than everywhere: {', '.join(other)}")


def encode(scale: Scale, scratch: Path) -> Iterator[Figure]:
    """Intervals of as many unknown segments as a batch of documents has."""
    model = _random_model(scale)
    rate = matrix_rate(scale.device, scale.matrix, torch.int8)
    yield "byte LM, products", f"{scale.byte_lm}, {model.product_name}"
    segments = _segments(scale)
    for count in scale.segments:
        strings = segments.take(np.arange(len(segments)) % max(1, len(segments) // count) == 0).take(slice(count))
        coder = PrefixCoder(model)
        seconds = seconds_of(partial(coder.intervals, strings), scale.device, repeats=3)
        prefixes = coder.prefixes_read // 4
        yield f"prefixes per second, {len(strings):,} segments", prefixes / seconds
        share = prefixes / seconds * model.config.matmul_flop_per_byte / rate
        yield f"share of the int8 rate, {len(strings):,} segments", share


def entropies(scale: Scale, scratch: Path) -> Iterator[Figure]:
    """Entropies of whole documents, whose bytes are read in windows that overlap by half."""
    model = _random_model(scale)
    rate = matrix_rate(scale.device, scale.matrix, torch.int8)
    documents = Documents.from_bytes(stdlib_texts(scale.scored_bytes))
    score = DocumentEntropy(model)
    seconds = seconds_of(lambda: score.scores(documents.raw, documents.offsets), scale.device, repeats=2)
    stride = model.config.attention_bytes
    positions = len(sliding_windows(documents.offsets, stride)) * 2 * stride
    yield "bytes per second", documents.raw.size / seconds
    yield "positions read per byte", positions / documents.raw.size
    yield "share of the int8 rate", positions / seconds * model.config.matmul_flop_per_byte / rate


def _random_model(scale: Scale) -> ExactByteLM:
    """Rates do not depend on what weights are worth."""
    config = PRESETS[scale.byte_lm]
    model = ByteLM(config)
    model.initialise(0)
    weights = {name: weight.detach().numpy() for name, weight in model.state_dict().items()}
    return ExactByteLM(config, quantise_byte_lm(config, weights), device=scale.device)


def _segments(scale: Scale) -> ByteSpans:
    """The distinct segments of the text, in the order in which they appear."""
    documents = Documents.from_bytes(stdlib_texts(scale.text_bytes))
    scores = PairSurprisal.of_sample(documents.raw, documents.offsets).scores(documents.raw, documents.offsets)
    theta = float(np.quantile(scores, THETA_QUANTILE))
    ends, _ = segment(scores, documents.offsets, theta_bits=theta, max_segment_bytes=MAX_SEGMENT_BYTES)
    every = ByteSpans.from_ends(documents.raw, ends)
    return every.take(np.sort(distinct(every)[0]))
