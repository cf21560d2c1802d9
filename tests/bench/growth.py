"""How much of a corpus the byte LM has to read, at four sizes: distinct prefixes of distinct segments over bytes.

Needs no model: what it reads is the inner nodes of the trie of the distinct segments (each prefix once, if the cache
holds them all). The same for the tokenizer's words. Smaller parts lie in larger ones.
"""

from __future__ import annotations

import numpy as np

from kernels.byte_spans import ByteSpans
from kernels.prefix_trie import build_trie, sort_strings
from kernels.string_table import distinct
from kernels.words import cut_words
from pipeline.planning.growth import PowerLaw
from schemas.batches import Documents
from tests.bench.common import dataset, documents, neural, tokenizer
from tests.bench.corpora import corpus, part

SIZES_BYTES = (1_000_000, 10_000_000, 100_000_000, 500_000_000)
PAPER_BYTES = 3.3e12
BATCH_BYTES = 32 << 20


class Vocabulary:
    """The distinct strings of a stream of batches, end to end."""

    def __init__(self) -> None:
        self.raw, self.ends = np.empty(0, np.uint8), np.empty(0, np.int64)

    def add(self, raw: np.ndarray, ends: np.ndarray) -> None:
        """Take in the strings that `ends` cuts."""
        both = np.concatenate((self.raw, raw))
        all_ends = np.concatenate((self.ends, self.raw.size + ends))
        spans = ByteSpans.from_ends(both, all_ends)
        spans = spans.take(distinct(spans)[0])
        self.raw, self.ends = spans.joined(), np.cumsum(spans.lengths)

    def prefixes(self) -> int:
        """What the byte LM reads."""
        spans = ByteSpans.from_ends(self.raw, self.ends)
        return build_trie(spans.take(sort_strings(spans))).inner_nodes


def main() -> None:
    """Print a row per size, the fitted laws, and what they say of the paper's corpus."""
    directory, location = dataset(), corpus()
    spell, tokens = neural(directory), tokenizer(directory)
    mark = np.frombuffer("\u2581".encode(), np.uint8)
    rows = []
    print("corpus MB   segments   their bytes   prefixes read   words   their bytes")
    for size_bytes in SIZES_BYTES:
        segments, words, total = Vocabulary(), Vocabulary(), 0
        for batch in _batches(directory, location, size_bytes):
            segments.add(batch.raw, spell.segments(batch)[0])
            words.add(batch.raw, cut_words(batch.raw, batch.offsets, tokens.joined, mark)[0])
            total += batch.raw.size
        rows.append((total, segments.raw.size, segments.prefixes(), words.raw.size))
        print(
            f"{total / 1e6:9.1f} {segments.ends.size:10,} {segments.raw.size / total:12.2%} "
            f"{rows[-1][2] / total:14.2%} {words.ends.size:10,} {words.raw.size / total:12.2%}",
            flush=True,
        )
        if rows[-1][0] < size_bytes / 2:
            break
    corpus_bytes, *figures = (np.array(column, float) for column in zip(*rows, strict=True))
    for name, values in zip(("segment bytes", "prefixes read", "word bytes"), figures, strict=True):
        law = PowerLaw.fit(corpus_bytes, values)
        last = PowerLaw.fit(corpus_bytes[-2:], values[-2:])
        print(
            f"{name}: B^{law.exponent:.3f} over all sizes, B^{last.exponent:.3f} over the last two; of "
            f"{PAPER_BYTES:.1e} bytes {' and '.join(f'{one.at(PAPER_BYTES) / PAPER_BYTES:.2%}' for one in (law, last))}"
        )


def _batches(directory: str, location: str, size_bytes: int) -> list[Documents]:
    """Batches of about BATCH_BYTES."""
    texts = [record.text for record in part(location, size_bytes)] if location else documents(directory)
    batches: list[Documents] = []
    held: list[bytes] = []
    size = total = 0
    for text in texts:
        if total >= size_bytes and not location:
            break
        held.append(text)
        size, total = size + len(text), total + len(text)
        if size >= BATCH_BYTES:
            batches.append(Documents.from_bytes(held))
            held, size = [], 0
    return [*batches, Documents.from_bytes(held)] if held else batches


if __name__ == "__main__":
    main()
