"""Intervals to symbols on one core, beside constriction's range coder on the same bytes."""

from __future__ import annotations

import constriction
import numpy as np

from kernels.byte_spans import ByteSpans
from kernels.prefix_coding import PrefixCoder
from kernels.window_coder import encode_windows
from tests.bench.common import dataset, documents, head, neural, seconds


def main() -> None:
    """Print MB/s of both, and bits per byte of the model, our windows and constriction."""
    directory = dataset()
    compressor = neural(directory)
    sample = head(documents(directory), 2 << 20)
    ends, _ = compressor.segments(sample)
    inside = compressor.score.forbidden_pairs(compressor.theta_bits)
    prefixes = PrefixCoder(compressor.model, forbidden=inside, window_bits=compressor.settings.window_bits)
    first, last = prefixes.intervals(ByteSpans.from_ends(sample.raw, ends))
    frequencies = last.astype(np.int64) - first + 1
    ours, spread = seconds(lambda: encode_windows(first, last, ends))
    symbols, _, _ = encode_windows(first, last, ends)

    # constriction takes models, not intervals: a uniform one over 2^16 / frequency outcomes costs the same.
    sizes = np.maximum(np.rint(65536 / frequencies), 2).astype(np.int32)
    chosen = (np.arange(sizes.size) % sizes).astype(np.int32)

    def yardstick() -> constriction.stream.queue.RangeEncoder:
        encoder = constriction.stream.queue.RangeEncoder()
        encoder.encode(chosen, constriction.stream.model.Uniform(), sizes)
        return encoder

    theirs, their_spread = seconds(yardstick, repeats=3)
    n = first.size
    cost_bits = -np.log2(frequencies / 65536).sum()
    print(f"bytes {n:,}, segments {ends.size:,}")
    print(f"window coder            {n / ours / 1e6:8.1f} MB/s {spread}")
    print(f"constriction range coder{n / theirs / 1e6:8.1f} MB/s {their_spread}  (uniform models of equal cost)")
    print(f"ratio {theirs / ours:.1f}")
    print(f"bits per byte: quantised model {cost_bits / n:.4f}, windows {16 * symbols.size / n:.4f}")
    print(f"constriction, one stream without segment ends: {32 * yardstick().get_compressed().size / n:.4f}")


if __name__ == "__main__":
    main()
