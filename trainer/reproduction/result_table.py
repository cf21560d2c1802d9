"""Results of all runs as a table, numbers that follow from one or two of them, and means over seeds with errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from schemas.formats import AS_IS
from trainer.reproduction.run import Result

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
    """Results by arm, size and seed."""

    def __init__(self, results: Sequence[Result]) -> None:
        self.results = list(results)
        self._by_key = {(result.arm, result.size, result.seed): result for result in results}
        order = {result.size: result.body_parameters for result in results}
        self.sizes = sorted(order, key=lambda size: order[size])
        """Names of the sizes, smallest first."""
        self.arms = list(dict.fromkeys(result.arm for result in results))
        self.seeds = sorted({result.seed for result in results})

    @property
    def largest(self) -> str:
        """The size that claims are judged at; empty without results."""
        return self.sizes[-1] if self.sizes else ""

    def spread(self, value: Callable[..., float | None], size: str, *arms: str) -> Spread | None:
        """value(result of each arm) over the seeds that all the arms have; None where there is none."""
        values = []
        for seed in self.seeds:
            chosen = [self._by_key.get((arm, size, seed)) for arm in arms]
            if all(result is not None for result in chosen):
                one_value = value(*chosen)
                if one_value is not None:
                    values.append(one_value)
        return Spread(values=tuple(values)) if values else None


def raw_bits(result: Result) -> float | None:
    """Bits per raw byte of a result; None for an arm that never saw raw bytes."""
    return result.raw_bits_per_byte


def raw_gain(base: Result, other: Result) -> float:
    """Bits per raw byte that `other` saves over `base`; both arms must have seen raw bytes."""
    assert base.raw_bits_per_byte is not None
    assert other.raw_bits_per_byte is not None
    return base.raw_bits_per_byte - other.raw_bits_per_byte


def exact_share(result: Result) -> float | None:
    """Share of documents that a model translates exactly from comp to raw."""
    return None if result.translation is None else float(result.translation["raw_exact"])


def bits_saved_by_own_comp(result: Result) -> float | None:
    """Bits per byte that a document's own comp saves over another document's."""
    bits = result.translation
    return None if bits is None else bits["bits_per_byte_given_other_comp"] - bits["bits_per_byte_given_comp"]


def format_harm(result: Result) -> float | None:
    """Bits per byte that other formatting of the context costs, mean over the formats."""
    bits = result.format_bits
    return None if bits is None else fmean(bits[name] for name in bits if name != AS_IS) - bits[AS_IS]


def harm_difference(tokens: Result, other: Result) -> float | None:
    """Bits per byte by which other formatting harms `tokens` more than `other`."""
    harms = format_harm(tokens), format_harm(other)
    return None if harms[0] is None or harms[1] is None else harms[0] - harms[1]
