"""Stream the batches that training would see, and count what they hold.

python -m docs.examples.stream_batches data/stdlib
"""

import sys

import numpy as np

from trainer import Dataset, HeldOut, Loader, LoaderSettings, Mixing


def main(directory: str, compressor: str = "neural", steps: str = "3") -> None:
    """Print ids, documents and the share of raw bytes of the first batches; the same on every machine."""
    dataset = Dataset(directory, compressor=compressor, held_out=HeldOut(share=0.05))
    settings = LoaderSettings(sequence_length=512, global_batch_size=8, lanes=4, mixing=Mixing(warmup_steps=0))
    with Loader(dataset, settings) as loader:
        for batch, _ in zip(loader, range(int(steps)), strict=False):
            special, raw, comp = np.bincount(batch.spans.ravel(), minlength=3) / batch.symbols
            count, length = batch.ids.shape
            print(f"step {batch.step}: {count} sequences of {length} ids from {len(batch.pieces)} documents, such as")
            print(f"  {batch.ids[0, :6].tolist()} …: {raw:.1%} raw bytes, {comp:.1%} symbols, {special:.1%} special")


if __name__ == "__main__":
    main(*sys.argv[1:])
