"""Chunks with the same code: how long their common prefix is, and in what they differ after it.

Of a pair, and of a case: all chunks of one code at once. Pairs count a code of many chunks by the square of their
number, cases count every code once.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernels.counter_rng import key
from pipeline.analysis.findings import LONG_PREFIX_SHARE, PrefixShares
from pipeline.analysis.seeds import Purpose

if TYPE_CHECKING:
    import pandas as pd

PAIRS_PER_CODE = 1000
"""Pairs of a code with more chunks than that many pairs are drawn at random."""
CONTROL = 1
"""Number behind the purpose in the key of the control's draws."""
BLANKS, NEWLINES, INDENTATION = set(b" "), set(b"\n\r"), set(b" \t\n\r")
"""What chunks may differ in after their common prefix."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """n pairs of distinct chunks."""

    left: Sequence[bytes]
    right: Sequence[bytes]
    weights: np.ndarray
    """float64 [n]: occurrences of the left chunk times occurrences of the right one."""


def chunk_pairs(colliding: pd.DataFrame, seed: int) -> Pairs:
    """All pairs of chunks with the same code, or PAIRS_PER_CODE random ones of a code that has more.

    colliding: columns code (bytes), chunk (bytes), count (int), sorted by code.
    """
    random = np.random.Generator(np.random.Philox(key=key(seed, Purpose.COLLISION_PAIRS)))
    left: list[bytes] = []
    right: list[bytes] = []
    weights: list[float] = []
    for rows in _cases(colliding):
        n = len(rows)
        if n * (n - 1) // 2 <= PAIRS_PER_CODE:
            chosen = list(itertools.combinations(range(n), 2))
        else:
            drawn = random.choice(n * (n - 1) // 2, PAIRS_PER_CODE, replace=False)
            chosen = [_pair(number) for number in np.sort(drawn).tolist()]
        for a, b in chosen:
            left.append(rows[a][0])
            right.append(rows[b][0])
            weights.append(float(rows[a][1]) * float(rows[b][1]))
    return Pairs(left=left, right=right, weights=np.array(weights))


def _cases(colliding: pd.DataFrame) -> Iterator[list[tuple[bytes, int]]]:
    """The chunks of each code with their counts, of columns code, chunk and count that are sorted by code."""
    rows = zip(colliding["code"], colliding["chunk"], colliding["count"], strict=True)
    for _, case in itertools.groupby(rows, lambda row: row[0]):
        yield [(chunk, count) for _, chunk, count in case]


def _pair(number: int) -> tuple[int, int]:
    """The pair with this number in (0, 1), (0, 2), (1, 2), (0, 3), …"""
    larger = (1 + math.isqrt(1 + 8 * number)) // 2
    return number - larger * (larger - 1) // 2, larger


def random_pairs(pairs: Pairs, chunks: Sequence[bytes], seed: int) -> Pairs:
    """Pairs of random distinct chunks whose lengths are those of `pairs`, as a control."""
    random = np.random.Generator(np.random.Philox(key=key(seed, Purpose.COLLISION_PAIRS, CONTROL)))
    of_length: dict[int, list[bytes]] = defaultdict(list)
    for chunk in sorted(set(chunks)):
        of_length[len(chunk)].append(chunk)
    left, right = [], []
    for a, b, (first, second) in zip(pairs.left, pairs.right, random.random((len(pairs.left), 2)), strict=True):
        others, same = of_length[len(b)], len(a) == len(b)
        at = int(first * len(of_length[len(a)]))
        other = int(second * (len(others) - same))
        left.append(of_length[len(a)][at])
        right.append(others[other + (same and other >= at)])
    return Pairs(left=left, right=right, weights=pairs.weights)


def common_prefix_bytes(a: bytes, b: bytes) -> int:
    """Length of the longest common prefix of two byte strings."""
    shorter = min(len(a), len(b))
    if a[:shorter] == b[:shorter]:
        return shorter
    return next(i for i in range(shorter) if a[i] != b[i])


def prefix_shares(pairs: Pairs, over: Callable[[int, int], int]) -> PrefixShares:
    """Common prefixes over the longer (`over` is max) or shorter (min) length; all 0 where there are no pairs."""
    prefixes = (common_prefix_bytes(a, b) / over(len(a), len(b)) for a, b in zip(pairs.left, pairs.right, strict=True))
    return _shares(np.fromiter(prefixes, np.float64, len(pairs.left)), pairs.weights)


def case_shares(colliding: pd.DataFrame) -> tuple[PrefixShares, PrefixShares, PrefixShares]:
    """Common prefixes of all chunks of a code over the longest, the mean and the shortest of them.

    colliding: columns code (bytes), chunk (bytes), count (int), sorted by code; two chunks of a code at least. All 0
    where there are no codes.
    """
    shares: list[tuple[float, float, float]] = []
    weights: list[float] = []
    for rows in _cases(colliding):
        chunks = [chunk for chunk, _ in rows]
        lengths = [len(chunk) for chunk in chunks]
        # What the first and the last in order have in common, all between them have too.
        prefix = common_prefix_bytes(min(chunks), max(chunks))
        shares.append((prefix / max(lengths), prefix * len(lengths) / sum(lengths), prefix / min(lengths)))
        weights.append(float(sum(count for _, count in rows)))
    columns = np.array(shares, np.float64).reshape(-1, 3)
    longest, mean, shortest = (_shares(columns[:, column], np.array(weights)) for column in range(3))
    return longest, mean, shortest


def _shares(shares: np.ndarray, weights: np.ndarray) -> PrefixShares:
    """What is said of shares, float64 [n], that occur with weights, float64 [n]."""
    if not shares.size:
        return PrefixShares(mean=0.0, long_share=0.0, mean_by_occurrence=0.0, long_share_by_occurrence=0.0)
    return PrefixShares(
        mean=float(shares.mean()),
        long_share=float((shares >= LONG_PREFIX_SHARE).mean()),
        mean_by_occurrence=float(np.average(shares, weights=weights)),
        long_share_by_occurrence=float(np.average(shares >= LONG_PREFIX_SHARE, weights=weights)),
    )


def tail_counts(pairs: Pairs) -> dict[str, int]:
    """Numbers of pairs by what follows their common prefix: space, newline, indentation (any white space), other."""
    counts = Counter(tail_kind(a, b) for a, b in zip(pairs.left, pairs.right, strict=True))
    return {kind: counts[kind] for kind in ("space", "newline", "indentation", "other")}


def tail_kind(a: bytes, b: bytes) -> str:
    """What two distinct chunks consist of after their common prefix."""
    prefix = common_prefix_bytes(a, b)
    tail = set(a[prefix:] + b[prefix:])
    if tail <= BLANKS:
        return "space"
    if tail <= NEWLINES:
        return "newline"
    return "indentation" if tail <= INDENTATION else "other"
