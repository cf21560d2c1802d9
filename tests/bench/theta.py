"""Bytes per symbol on held-out files over θ and what decides boundaries, with the quick start's LM."""

from __future__ import annotations

from typing import Any

from kernels.boundary_score import CachedScores
from pipeline.compressors.neural.calibration import quantile as share_to_bits
from pipeline.compressors.neural.compressor import NeuralCompressor
from pipeline.compressors.neural.score import score_of_sample
from pipeline.compressors.neural.settings import NeuralSettings
from tests.bench.common import dataset, documents, head, neural

QUANTILES = (0.70, 0.75, 0.80, 0.85)
HELD_OUT_BYTES = 400_000


def main() -> None:
    """Print a table over boundaries and quantiles: θ, bytes per symbol, bytes and symbols per segment."""
    directory = dataset()
    given = neural(directory)
    held_out = head(sorted(documents(directory, held_out_only=True), key=len), HELD_OUT_BYTES)
    print(f"held-out files {len(held_out)}, bytes {held_out.raw.size:,}")
    default = given.compress(held_out)
    print(f"default theta {given.theta_bits:.3f} bits: {held_out.raw.size / default.symbols.size:.3f} bytes per symbol")
    print(
        "| boundaries | quantile | theta, bits | bytes/symbol | bytes/segment | symbols/segment |\n"
        "|---|---|---|---|---|---|"
    )
    scores: dict[str, dict[str, Any]] = {
        str(size): {"boundary_score": "context_entropy", "score_context_bytes": size} for size in (1, 2, 4, 8)
    }
    scores = {
        "pairs": {"boundary_score": "pair_surprisal"},
        **scores,
        "document": {"boundary_score": "document_entropy"},
    }
    for name, changes in scores.items():
        settings = NeuralSettings(**changes)
        if name == "pairs" and given.settings.boundary_score == "pair_surprisal":
            score = given.score
        else:
            score = score_of_sample(settings, given.model, held_out)
        cached = CachedScores(score, held_out.raw, held_out.offsets)
        for quantile in QUANTILES:
            theta_bits = share_to_bits(cached.bits, quantile)
            compressor = NeuralCompressor(given.model, cached, settings, theta_bits, threads=2)
            encoding = compressor.compress(held_out)
            segments, symbols = encoding.raw_ends.size, encoding.symbols.size
            print(
                f"| {name} | {quantile:.2f} | {theta_bits:.3f} "
                f"| {held_out.raw.size / symbols:.3f} "
                f"| {held_out.raw.size / segments:.2f} | {symbols / segments:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
