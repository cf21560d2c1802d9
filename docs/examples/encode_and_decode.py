"""Encode a string with a dataset's neural compressor, print its segments, and decode it again.

python -m docs.examples.encode_and_decode data/stdlib 'def fib(n):'
"""

import sys

from pipeline.compressors.registry import dataset_compressors
from schemas import Documents, open_dataset


def main(directory: str, text: str) -> None:
    """Print each segment with its symbols; the decoded text is the text."""
    compressor = dataset_compressors(directory, open_dataset(directory).manifest)["neural"]
    documents = Documents.from_bytes([text.encode()])
    encoding = compressor.compress(documents)
    raw_start = symbol_start = 0
    for raw_end, symbol_end in zip(encoding.raw_ends.tolist(), encoding.symbol_ends.tolist(), strict=True):
        print(documents.text(0)[raw_start:raw_end], encoding.symbols[symbol_start:symbol_end].tolist())
        raw_start, symbol_start = raw_end, symbol_end
    print(f"{len(documents.raw)} bytes, {len(encoding.symbols)} symbols")
    assert compressor.decode(encoding).text(0) == text.encode()


if __name__ == "__main__":
    main(*sys.argv[1:])
