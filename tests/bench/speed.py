"""The neural encoding with a warm codebook beside SentencePiece: same documents, one core, one run."""

from __future__ import annotations

import os

import sentencepiece

from pipeline.compressors.gzip import GzipCompressor
from pipeline.compressors.registry import COMPRESSORS_DIRECTORY
from pipeline.compressors.tokenizer.family import MODEL_NAME
from tests.bench.common import dataset, documents, head, neural, seconds, tokenizer


def main() -> None:
    """Print MB/s of each compressor and of plain SentencePiece, and the ratios."""
    directory = dataset()
    sample = head(documents(directory), 8 << 20)
    size = sample.raw.size / 1e6
    warm, ours = neural(directory), tokenizer(directory)
    texts = [sample.text(i).decode() for i in range(len(sample))]
    plain = sentencepiece.SentencePieceProcessor(
        model_file=os.path.join(directory, COMPRESSORS_DIRECTORY, "tokenizer", MODEL_NAME)
    )
    spelled = warm.compress(sample)
    work = {
        "neural, warm codebook": lambda: warm.compress(sample),
        "tokenizer, ours": lambda: ours.compress(sample),
        "SentencePiece alone": lambda: plain.encode(texts, num_threads=1),
        "gzip": lambda: GzipCompressor().compress(sample),
        "neural, decode": lambda: warm.decode(spelled),
    }
    rates = {}
    for name, run in work.items():
        taken, spread = seconds(run, repeats=3)
        rates[name] = size / taken
        print(f"{name:24} {rates[name]:8.1f} MB/s {spread}")
    print(f"neural / SentencePiece alone {rates['neural, warm codebook'] / rates['SentencePiece alone']:.1f}")
    print(f"neural / tokenizer, ours     {rates['neural, warm codebook'] / rates['tokenizer, ours']:.1f}")
    print(f"prefixes that the model read: {warm.coder.prefixes_read}")


if __name__ == "__main__":
    main()
