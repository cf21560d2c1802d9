"""The exact byte LM on a device: the committed codes, and its rates beside that of the matrix units."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
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
from kernels.exact_steps import TorchRows
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
    """Symbols, windows, intervals and scores of the committed LM, by each kind of product and of steps between them."""
    expected, files, other = json.loads(CODES.read_text("utf-8")), read_byte_lm(str(LM)), []
    config = ByteLMConfig(**files.config)
    for product in PRODUCTS:
        model = ExactByteLM(config, files.arrays, device=scale.device, product=product)
        other += yield from _as_committed(model, expected, f"{product} products")
    yield "steps between products", model.slower_because or model.steps_name
    if model.steps_name == "TritonRows":
        other += yield from _as_committed(_by_definition(model), expected, "plain torch steps")
    if other:
        raise CheckError(f"other integers than everywhere: {', '.join(other)}")


def _as_committed(model: ExactByteLM, expected: dict[str, object], by: str) -> Generator[Figure, None, list[str]]:
    """How many of the committed codes a model gives; returns the names of the others."""
    found = golden_codes(model)
    wrong = [name for name in expected if found[name] != expected[name]]
    yield f"as committed, {by}", f"{len(expected) - len(wrong)} of {len(expected)}"
    return [f"{name} by {by}" for name in wrong]


def _by_definition(model: ExactByteLM) -> ExactByteLM:
    """The same model by plain torch operators between its products."""
    steps = TorchRows(model.config, model.arrays, model.device)
    return ExactByteLM(model.config, model.arrays, device=str(model.device), product=model.product_name, rows=steps)


def encode(scale: Scale, scratch: Path, steps: str = "") -> Iterator[Figure]:
    """Intervals of as many unknown segments as a batch of documents has. steps: `torch` takes plain operators."""
    model = _random_model(scale)
    model = _by_definition(model) if steps else model
    rate = matrix_rate(scale.device, scale.matrix, torch.int8)
    yield "byte LM, products, steps", f"{scale.byte_lm}, {model.product_name}, {model.steps_name}"
    segments = _segments(scale)
    for count in scale.segments[:1] if steps else scale.segments:
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
    yield "steps between products", model.steps_name
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
