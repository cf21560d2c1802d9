"""Histograms that are counted batch by batch, in memory that does not depend on how many values there are."""

from __future__ import annotations

import numpy as np

from pipeline.analysis.findings import Histogram


class HistogramCounter:
    """Counts of values in bins of equal width, added part by part."""

    def __init__(self, first: float, width: float, bins: int, *, open_ended: bool) -> None:
        """Bin i is [first + i·width, first + (i + 1)·width); values outside are counted in the first or last bin."""
        self.first, self.width, self.open_ended = first, width, open_ended
        self.counts = np.zeros(bins, np.int64)
        self.sum = 0.0

    def add(self, values: np.ndarray) -> None:
        """Count the values, of any numeric dtype and shape [n]."""
        bins = ((values - self.first) / self.width).astype(np.int64)
        self.counts += np.bincount(np.clip(bins, 0, self.counts.size - 1), minlength=self.counts.size)
        self.sum += float(values.sum(dtype=np.float64))

    def quantile(self, share: float) -> float:
        """The lower edge of the bin in which this share of the values, 0 to 1, is reached."""
        position = np.searchsorted(np.cumsum(self.counts), share * self.counts.sum())
        return round(self.first + self.width * int(min(position, self.counts.size - 1)), 6)

    def histogram(self, quantity: str, compressor: str) -> Histogram:
        """The counts so far, without the empty bins at the end."""
        total = int(self.counts.sum())
        used = int(np.flatnonzero(self.counts).max(initial=0)) + 1
        return Histogram(
            quantity=quantity,
            compressor=compressor,
            first=self.first,
            width=self.width,
            counts=tuple(self.counts[:used].tolist()),
            open_ended=self.open_ended and used == self.counts.size,
            mean=self.sum / max(1, total),
            total=total,
        )
