"""Bytes per symbol on held-out files over θ and what decides boundaries, with the quick start's LM."""

from __future__ import annotations

import numpy as np

from kernels.byte_windows import document_entropies
from kernels.codebook import Codebook
from kernels.entropy_memo import EntropyMemo, context_entropies
from kernels.pair_surprisal import PairSurprisals
from kernels.prefix_coding import PrefixCoder
from kernels.segmentation import DENSE_CONTEXT_BYTES, dense_contexts
from pipeline.compressors.neural.artifact import NeuralSettings
from pipeline.compressors.neural.compressor import NeuralCompressor
from tests.bench.common import dataset, documents, head, neural

QUANTILES = (0.70, 0.75, 0.80, 0.85)
HELD_OUT_BYTES = 400_000
NAMES = {None: "pairs", 0: "document"}


def main() -> None:
    """Print a table over boundaries and quantiles: θ, bytes per symbol, bytes and symbols per segment."""
    directory = dataset()
    given = neural(directory)
    held_out = head(sorted(documents(directory, held_out_only=True), key=len), HELD_OUT_BYTES)
    print(f"held-out files {len(held_out)}, bytes {held_out.raw.size:,}")
    default = given.compress(held_out)
    print(
        f"default theta {given.config.theta_bits:.3f} bits: "
        f"{held_out.raw.size / default.symbols.size:.3f} bytes per symbol"
    )
    print(
        "| boundaries | quantile | theta, bits | bytes/symbol | bytes/segment | symbols/segment |\n"
        "|---|---|---|---|---|---|"
    )
    for context_bytes in (None, 1, 2, 4, 8, 0):
        reader = PrefixCoder(given.model)
        memo: EntropyMemo | PairSurprisals | None = None
        if context_bytes is None:
            if not isinstance(given.memo, PairSurprisals):
                continue
            memo = given.memo
            entropies = memo.scores(held_out.raw, held_out.offsets)
        elif context_bytes:
            contexts = dense_contexts(context_bytes) if context_bytes <= DENSE_CONTEXT_BYTES else []
            bits = context_entropies(contexts, reader) if contexts else np.empty(0, np.float32)
            memo = EntropyMemo(context_bytes, contexts, bits)
            entropies = memo.entropies(held_out.raw, held_out.offsets, reader)
        else:
            entropies = document_entropies(given.model, held_out.raw, held_out.offsets)
        for quantile in QUANTILES:
            theta_bits = float(np.quantile(entropies, quantile, method="lower"))
            settings = NeuralSettings(theta_bits=theta_bits, entropy_context_bytes=context_bytes)
            compressor = NeuralCompressor(
                model=given.model, lm_digest="", settings=settings, memo=memo, book=Codebook(), threads=2
            )
            encoding = compressor.compress(held_out)
            segments, symbols = encoding.raw_ends.size, encoding.symbols.size
            print(
                f"| {NAMES.get(context_bytes, context_bytes)} | {quantile:.2f} | {theta_bits:.3f} "
                f"| {held_out.raw.size / symbols:.3f} "
                f"| {held_out.raw.size / segments:.2f} | {symbols / segments:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
