"""How much of a corpus the model reads, from an empty codebook, in file order, backwards and shuffled."""

from __future__ import annotations

import hashlib

from kernels.codebook import Codebook
from tests.bench.common import dataset, documents, head, neural

WINDOW_BYTES = 8 << 20


def main() -> None:
    """Print shares of the corpus: bytes of distinct segments, and prefixes that the model really read."""
    directory = dataset()
    texts = documents(directory)
    size = sum(map(len, texts))
    orders = {
        "file order": texts,
        "backwards": texts[::-1],
        "shuffled": sorted(texts, key=lambda text: hashlib.sha256(text).digest()),
    }
    given = neural(directory)
    print(
        f"corpus {size:,} bytes, {len(texts):,} documents; "
        f"codebook of the sample {given.codes.base.memory_bytes / 1e6:.1f} MB, "
        f"{given.codes.base.memory_bytes / max(1, len(given.codes.base)):.0f} bytes per entry"
    )
    for name, order in orders.items():
        cold = given.variant(book=Codebook())
        segment_bytes = 0
        rest = order
        while rest:
            window = head(rest, WINDOW_BYTES)
            cold.compress(window)
            segment_bytes = cold.codes.current.segments.strings().data.size
            rest = rest[len(window) :]
        print(
            f"{name:12} distinct segments hold {segment_bytes / size:.2%} of the bytes, "
            f"the model read {cold.coder.prefixes_read / size:.2%} (each prefix once per window)",
            flush=True,
        )


if __name__ == "__main__":
    main()
