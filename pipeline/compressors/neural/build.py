"""Make a neural compressor from a byte LM and a sample: table of surprisals or entropies, θ, codebook.

θ is calibrated once, here, and written down; no worker estimates anything. The codebook holds every segment of the
sample, the most frequent first, each read by the model once.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kernels.byte_lm import ByteLM
from kernels.codebook import Codebook
from kernels.entropy_memo import EntropyMemo, context_entropies, table_contexts
from kernels.pair_surprisal import PairSurprisals, pair_names, pair_surprisals
from kernels.prefix_coding import PrefixCoder
from kernels.prefix_trie import sort_strings
from kernels.segmentation import segment
from kernels.string_table import distinct
from pipeline.compressors.neural.artifact import (
    CODEBOOK_NAME,
    ENTROPY_NAME,
    NeuralSettings,
    boundary_rule,
    write_codebook,
    write_described,
    write_entropies,
)
from pipeline.compressors.neural.compressor import NeuralCompressor, device_probe, load_model
from schemas.batches import Documents
from schemas.byte_lm_files import CONFIG_NAME, WEIGHTS_NAME, read_byte_lm
from schemas.errors import SettingsError

logger = logging.getLogger(__name__)

CALIBRATION_BYTES = 4 << 20
CODING_CALIBRATION_BYTES = 1 << 19
BISECTIONS = 12
MAX_CODEBOOK_ENTRIES = 1 << 22


@dataclass(frozen=True, kw_only=True, slots=True)
class ThetaTarget:
    """How θ is chosen."""

    kind: str
    """`bits`: θ itself; `quantile`: share of bytes at or below θ; `mean_bytes`: of a segment; `bytes_per_symbol`."""
    value: float

    KINDS = ("bits", "quantile", "mean_bytes", "bytes_per_symbol")

    @classmethod
    def parse(cls, text: str) -> ThetaTarget:
        """From `3.9`, `quantile=0.75`, `mean_bytes=4.5` or `bytes_per_symbol=3`."""
        kind, _, number = text.rpartition("=")
        try:
            target = cls(kind=kind or "bits", value=float(number))
        except ValueError:
            raise SettingsError(
                f"theta is {text!r}; give bits, or one of quantile=, mean_bytes=, bytes_per_symbol="
            ) from None
        low, high = {"bits": (0, 8), "quantile": (0, 1), "mean_bytes": (1, 255), "bytes_per_symbol": (1, 255)}.get(
            target.kind, (1, 0)
        )
        if not low <= target.value <= high:
            raise SettingsError(
                f"theta is {text!r}; bits are 0 to 8, quantile 0 to 1, mean_bytes and bytes_per_symbol 1 to 255"
            )
        return target

    def __str__(self) -> str:
        return f"{self.value:g} bits" if self.kind == "bits" else f"{self.kind}={self.value:g}"


def build_neural(
    directory: str,
    *,
    lm_directory: str,
    documents: Documents,
    target: ThetaTarget,
    settings: NeuralSettings,
    device: str,
    threads: int,
    request: dict[str, Any],
) -> None:
    """Make the artifact; `settings.theta_bits` is replaced by the calibrated one."""
    os.makedirs(directory, exist_ok=True)
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        source, copy = os.path.join(lm_directory, name), os.path.join(directory, name)
        if os.path.abspath(source) != os.path.abspath(copy):
            shutil.copyfile(source, copy)
    files = read_byte_lm(directory)
    model = load_model(files, device)
    memo, contexts, bits = _entropies(model, documents, settings, threads)
    write_entropies(os.path.join(directory, ENTROPY_NAME), contexts, bits)
    builder = _Builder(model=model, memo=memo, settings=settings, threads=threads)
    theta_bits = builder.calibrate(_head(documents, CALIBRATION_BYTES), target)
    logger.info("theta is %.4f bits (%s)", theta_bits, target)
    compressor = builder.compressor(theta_bits)
    book, counts = _codebook(compressor, documents) if settings.context == "segment" else (Codebook(), np.empty(0))
    write_codebook(os.path.join(directory, CODEBOOK_NAME), book, counts)
    described = {
        "request": request,
        "theta_target": str(target),
        "boundaries": boundary_rule(settings),
        "lm_digest": files.digest,
        "lm_training": files.training,
        "device": describe_device(device),
        "device_probe": device_probe(model),
        "codebook": {
            "entries": len(book),
            "segment_bytes": compressor.segment_bytes_read,
            "prefixes_read": compressor.prefixes_read,
            "sample_bytes": int(documents.raw.size),
        },
    }
    write_described(directory, compressor.config, described)


def describe_device(device: str) -> str:
    """Device type, capability and torch version, for people."""
    kind = torch.device(device).type
    detail = torch.backends.cpu.get_cpu_capability() if kind == "cpu" else torch.cuda.get_device_name()
    return f"{kind} {detail}, torch {torch.__version__}"


def _entropies(
    model: ByteLM, documents: Documents, settings: NeuralSettings, threads: int
) -> tuple[EntropyMemo | PairSurprisals | None, list[bytes], np.ndarray]:
    """What scores bytes, and its table: pairs by the sample's counts; or the memo of entropies over all contexts (short
    ones), over the sample's contexts (longer ones), or none (whole document)."""
    size = settings.entropy_context_bytes
    if size is None:
        pairs = PairSurprisals(pair_surprisals(documents.raw, documents.offsets))
        return pairs, pair_names(), pairs.table
    if not size:
        return None, [], np.empty(0, np.float32)
    contexts = table_contexts(documents.raw, documents.offsets, size)
    bits = context_entropies(contexts, PrefixCoder(model, threads=threads))
    return EntropyMemo(size, contexts, bits), contexts, bits


@dataclass(frozen=True, kw_only=True, slots=True)
class _Builder:
    """What stays the same while θ is searched."""

    model: ByteLM
    memo: EntropyMemo | PairSurprisals | None
    settings: NeuralSettings
    threads: int

    def compressor(self, theta_bits: float) -> NeuralCompressor:
        """A compressor with this θ and an empty codebook."""
        fields = {name: getattr(self.settings, name) for name in self.settings.__dataclass_fields__}
        return NeuralCompressor(
            model=self.model,
            lm_digest="",
            settings=NeuralSettings(**{**fields, "theta_bits": theta_bits}),
            memo=self.memo,
            book=Codebook(),
            threads=self.threads,
        )

    def calibrate(self, documents: Documents, target: ThetaTarget) -> float:
        """θ in bits that meets the target on these documents; a function of them alone."""
        if target.kind == "bits":
            return target.value
        if target.kind == "bytes_per_symbol":
            documents = _head(documents, CODING_CALIBRATION_BYTES)
        entropies = self.compressor(0.0).entropies(documents)
        if target.kind == "quantile":
            return float(np.quantile(entropies, target.value, method="lower"))
        if target.kind == "mean_bytes":
            return self._bisect(
                entropies, target.value, lambda theta: self._mean_segment_bytes(documents, entropies, theta)
            )
        return self._bisect(
            entropies,
            target.value,
            lambda theta: documents.raw.size / max(1, self.compressor(theta).compress(documents).symbols.size),
        )

    def _mean_segment_bytes(self, documents: Documents, entropies: np.ndarray, theta_bits: float) -> float:
        ends, _ = segment(
            entropies, documents.offsets, theta_bits=theta_bits, max_segment_bytes=self.settings.max_segment_bytes
        )
        return documents.raw.size / max(1, ends.size)

    @staticmethod
    def _bisect(entropies: np.ndarray, goal: float, measure: Callable[[float], float]) -> float:
        """Smallest θ found whose measure, which grows with θ, reaches the goal."""
        low, high = 0.0, float(entropies.max(initial=8.0))
        most = measure(high)
        if most < goal:
            raise SettingsError(
                f"theta cannot reach {goal:g}: without any boundary the sample gives {most:.2f}; ask for less"
            )
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            low, high = (low, middle) if measure(middle) >= goal else (middle, high)
        return high


def _codebook(compressor: NeuralCompressor, documents: Documents) -> tuple[Codebook, np.ndarray]:
    """Distinct segments of the documents with their codes and counts: frequent first, equals by their bytes' order."""
    ends, _ = compressor.segments(documents)
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1])) if ends.size else ends
    firsts, group = distinct(documents.raw, starts, ends)
    counts = np.bincount(group, minlength=firsts.size)
    by_bytes = sort_strings(documents.raw, starts[firsts], ends[firsts])
    order = by_bytes[np.argsort(-counts[by_bytes], kind="stable")][:MAX_CODEBOOK_ENTRIES]
    chosen = firsts[order]
    book = Codebook()
    if chosen.size:
        symbols, window_bytes, symbol_ends = compressor.code(documents.raw, starts[chosen], ends[chosen])
        book.insert(documents.raw, starts[chosen], ends[chosen], symbols, window_bytes, symbol_ends)
    return book, counts[order]


def _head(documents: Documents, limit_bytes: int) -> Documents:
    """The first documents, up to a limit; the last one may be cut."""
    n = min(int(np.searchsorted(documents.offsets, limit_bytes)), len(documents))
    offsets = np.minimum(documents.offsets[: n + 1], limit_bytes)
    return Documents(raw=documents.raw[: offsets[-1]], offsets=offsets)
