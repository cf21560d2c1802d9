"""Counter-based draws: a random number is a hash of what it decides about, never the state of a generator.

    seed, purpose, epoch … ── key ──►  uint64
    doc_id                 ── hash_strings ──►  uint64 per document
    key, values            ── draws ──►  uint64 per value, uniform

So a draw does not depend on who makes it, when, or after which others; that is what lets any number of ranks resume at
any step. The hash is written out here because the order of a training run hangs on it: a library's generator may change
its stream with a release, these bits may not (golden values in the tests). FNV-1a over the bytes of a string, then the
finaliser of MurmurHash3, whose output bits are independent to every practical test.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from kernels.compiled import compiled
from kernels.fnv1a import fnv1a

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1, _MIX_2 = 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53
_GOLDEN_64, _MIX_1_64, _MIX_2_64 = np.uint64(_GOLDEN), np.uint64(_MIX_1), np.uint64(_MIX_2)
_SHIFT = np.uint64(33)

UNIT_BITS = 53
"""A draw's upper bits, as many as a float64 holds exactly, decide about a probability; the lower 11 stay free."""


class Purpose(IntEnum):
    """What a key of the trainer's loader is for, so that draws under one seed are independent of each other.

    The values are part of every training run's order and never change.
    """

    RANGE_ORDER = 1
    """The permutation of the row ranges of an epoch."""
    INTERLEAVE = 2
    """Which open range of a lane gives the next document."""
    MIXING = 3
    """Which encoding a document is shown in."""
    DATASET = 4
    """Which of several datasets a sequence comes from."""


@compiled(inline="always")
def _mixed(h):
    """The finaliser of MurmurHash3 on a uint64."""
    h = (h ^ (h >> _SHIFT)) * _MIX_1_64
    h = (h ^ (h >> _SHIFT)) * _MIX_2_64
    return h ^ (h >> _SHIFT)


@compiled()
def _hash_strings(data, offsets, out):
    """Write the hash of string i, data[offsets[i]:offsets[i + 1]], to out[i]; uint8, int [n + 1], uint64 [n]."""
    for i in range(out.size):
        out[i] = _mixed(fnv1a(data, offsets[i], offsets[i + 1]))


@compiled()
def _draws(keys, values, out):
    """Write the draw for values[i] under keys[i], or the only key, to out[i]; all uint64."""
    for i in range(out.size):
        out[i] = _mixed(keys[i % keys.size] ^ _mixed(values[i] + _GOLDEN_64))


def key(*numbers: int) -> int:
    """A 64-bit key made of numbers of any size and sign: the seed, what is drawn, the epoch. Their order counts."""
    h = 0
    for number in numbers:
        h = (h + _GOLDEN) & _MASK ^ number & _MASK
        h = ((h ^ h >> 33) * _MIX_1) & _MASK
        h = ((h ^ h >> 33) * _MIX_2) & _MASK
        h ^= h >> 33
    return h


def hash_strings(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """uint64 [n], a hash of each string data[offsets[i]:offsets[i + 1]]. data: uint8; offsets: int [n + 1]."""
    out = np.empty(offsets.size - 1, np.uint64)
    _hash_strings(data, offsets, out)
    return out


def draws(keys: int | np.ndarray, values: np.ndarray) -> np.ndarray:
    """uint64 [n]: one draw per value (uint64 [n]) under one key, or under keys uint64 [n]."""
    out = np.empty(values.size, np.uint64)
    if values.size:
        _draws(np.atleast_1d(np.asarray(keys, np.uint64)), values.astype(np.uint64, copy=False), out)
    return out


def unit_limit(probability: float) -> int:
    """The limit L for which `draw >> 11 < L` holds with this probability, exactly 0 and 1 included."""
    return round(probability * (1 << UNIT_BITS))


def permutation(key_: int, n: int) -> np.ndarray:
    """int64 [n], a permutation of range(n) that is a function of the key."""
    return np.argsort(draws(key_, np.arange(n, dtype=np.uint64)), kind="stable")
