"""Results of all runs as a table, numbers that follow from one or two of them, and means over seeds with errors.

Bits per raw byte of proxies are compared with raw-only twice: at an equal budget of symbols, and with *as much raw
alone*: raw-only in as many steps, with as many symbols in a step as the proxy saw as raw. That density lies between
those at which raw-only was trained, and its bits are read off the line between the two nearest, over the logarithm of
the density, seed by seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from schemas.formats import AS_IS
from trainer.reproduction.arms import RAW_ONLY, proxy_raw_share
from trainer.reproduction.results import Result

Point = tuple[str, float]
"""A size and a budget: where arms are compared."""

STANDARD_ERRORS = 2.0
"""A difference counts where it is at least so many standard errors."""
MIN_SEEDS = 3
"""A mean over fewer seeds decides nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """A mean over seeds with its standard error."""

    values: tuple[float, ...]
    """One value for each seed."""

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return fmean(self.values)

    @property
    def standard_error(self) -> float:
        """Standard error of the mean; infinite for a single seed."""
        return stdev(self.values) / math.sqrt(len(self.values)) if len(self.values) > 1 else math.inf

    @property
    def sign(self) -> int:
        """+1 or -1 where the mean differs from 0 beyond STANDARD_ERRORS over MIN_SEEDS or more, else 0."""
        if len(self.values) < MIN_SEEDS or abs(self.mean) < STANDARD_ERRORS * self.standard_error or not self.mean:
            return 0
        return 1 if self.mean > 0 else -1

    def __str__(self) -> str:
        if len(self.values) == 1:
            return f"{self.mean:.3f} (one seed)"
        return f"{self.mean:.3f} ± {self.standard_error:.3f}"


class ResultTable:
    """Results by arm, size, budget and seed."""

    def __init__(self, results: Sequence[Result]) -> None:
        self.results = sorted(results, key=lambda result: (result.body_parameters, result.budget, result.name))
        whole = [result for result in self.results if result.density == 1]
        self._by_key = {(result.arm, (result.size, result.budget), result.seed): result for result in whole}
        self.body_parameters = {result.size: result.body_parameters for result in self.results}
        """Parameters in the blocks of each size, smallest first."""
        self.sizes = list(self.body_parameters)
        """Names of the sizes, smallest first."""
        self.points: list[Point] = list(dict.fromkeys((result.size, result.budget) for result in whole))
        """Smallest size first, then smallest budget."""
        self.arms = sorted({result.arm for result in self.results})
        self.seeds = sorted({result.seed for result in self.results})

    @property
    def watched(self) -> list[Result]:
        """The results of arms whose translation was watched, by size, budget, arm and seed."""
        return [result for result in self.results if result.translation_curve]

    def last(self, *arms: str) -> Point | None:
        """The point of most parameters times symbols where all of some arms have MIN_SEEDS, or else any, seeds."""
        seeds = {point: len(self._seeds_of(point, *arms)) for point in self.points}
        for least in (MIN_SEEDS, 1):
            enough = [point for point in self.points if seeds[point] >= least]
            if enough:
                return max(enough, key=lambda point: self.body_parameters[point[0]] * point[1])
        return None

    def at_density(self, value: Callable[[Result], float | None], point: Point, density: float) -> Spread | None:
        """value(result of raw-only) over the seeds at a density; None where there is none."""
        place = (RAW_ONLY.name, *point, density)
        found = [value(r) for r in self.results if (r.arm, r.size, r.budget, r.density) == place]
        known = tuple(number for number in found if number is not None)
        return Spread(values=known) if known else None

    def spread(self, value: Callable[..., float | None], point: Point | None, *arms: str) -> Spread | None:
        """value(result of each arm) over the seeds that all the arms have there; None where there is none."""
        if point is None:
            return None
        values = (value(*self._results_of(point, seed, *arms)) for seed in self._seeds_of(point, *arms))
        known = tuple(number for number in values if number is not None)
        return Spread(values=known) if known else None

    def raw_alone_bits(self, proxy: Result) -> float | None:
        """Bits per raw byte of as much raw alone as a proxy saw; None where raw-only was not trained around that."""
        if proxy.raw_per_comp is None:
            return None
        wanted = math.log2(proxy_raw_share(proxy.raw_per_comp))
        place = (RAW_ONLY.name, proxy.size, proxy.budget, proxy.seed)
        curve = [
            (math.log2(result.density), result.raw_bits_per_byte)
            for result in self.results
            if (result.arm, result.size, result.budget, result.seed) == place and result.raw_bits_per_byte is not None
        ]
        below = max(((at, bits) for at, bits in curve if at <= wanted), default=None)
        above = min(((at, bits) for at, bits in curve if at >= wanted), default=None)
        if below is None or above is None:
            return None
        share = (wanted - below[0]) / (above[0] - below[0]) if above[0] > below[0] else 0.0
        return below[1] + share * (above[1] - below[1])

    def transfer_gain(self, proxy: Result) -> float | None:
        """Bits per raw byte that a proxy saves over as much raw alone: what comp is worth."""
        alone = self.raw_alone_bits(proxy)
        return None if alone is None or proxy.raw_bits_per_byte is None else alone - proxy.raw_bits_per_byte

    def transfer_difference(self, base: Result, other: Result) -> float | None:
        """Bits per raw byte by which the transfer gain of `other` is larger than that of `base`."""
        gains = self.transfer_gain(base), self.transfer_gain(other)
        return None if gains[0] is None or gains[1] is None else gains[1] - gains[0]

    def _seeds_of(self, point: Point, *arms: str) -> list[int]:
        return [seed for seed in self.seeds if all((arm, point, seed) in self._by_key for arm in arms)]

    def _results_of(self, point: Point, seed: int, *arms: str) -> list[Result]:
        return [self._by_key[arm, point, seed] for arm in arms]


def raw_bits(result: Result) -> float | None:
    """Bits per raw byte of a result; None for an arm that never saw raw bytes."""
    return result.raw_bits_per_byte


def raw_gain(base: Result, other: Result) -> float | None:
    """Bits per raw byte that `other` saves over `base`; None where one of them never saw raw bytes."""
    if base.raw_bits_per_byte is None or other.raw_bits_per_byte is None:
        return None
    return base.raw_bits_per_byte - other.raw_bits_per_byte


def exact_share(result: Result) -> float | None:
    """Share of documents that a model translates exactly from comp to raw."""
    return None if result.translation is None else result.translation.raw_exact


def bits_saved_by_own_comp(result: Result) -> float | None:
    """Bits per byte that a document's own comp saves over another document's."""
    return None if result.translation is None else result.translation.saved_bits_per_byte


def format_harm(result: Result) -> float | None:
    """Bits per byte that other formatting of the context costs, mean over the formats."""
    bits = result.format_bits
    return None if bits is None else fmean(bits[name] for name in bits if name != AS_IS) - bits[AS_IS]


def harm_difference(tokens: Result, other: Result) -> float | None:
    """Bits per byte by which other formatting harms `tokens` more than `other`."""
    harms = format_harm(tokens), format_harm(other)
    return None if harms[0] is None or harms[1] is None else harms[0] - harms[1]
