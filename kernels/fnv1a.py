"""FNV-1a, the hash of byte strings that everything here starts from; each user mixes its bits further."""

from __future__ import annotations

import numpy as np

from kernels.compiled import compiled

_BASIS = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)


@compiled(inline="always")
def fnv1a(data, start, end):
    """64-bit FNV-1a, uint64, of data[start:end], uint8. Its low bits are weak; mix them before use."""
    h = _BASIS
    for t in range(start, end):
        h = (h ^ np.uint64(data[t])) * _PRIME
    return h
