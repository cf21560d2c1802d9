"""Distinct byte strings in sorted parts: which part a string belongs to, and where in it it is.

A part is two flat arrays as they lie in a file, the strings end to end and their offsets, so that it can be mapped into
memory and shared by processes: a look-up is a binary search, and nothing is built when the file is opened. Strings that
begin alike are in one part, so that whoever codes a part shares the work on their prefixes.
"""

from __future__ import annotations

import numpy as np

from kernels.byte_spans import ByteSpans
from kernels.compiled import compiled
from kernels.fnv1a import fnv1a

KEY_BYTES = 3
"""First bytes of a string that decide its part."""
_MIX = np.uint64(0x9E3779B97F4A7C15)
_FOLD = np.uint64(33)


@compiled()
def _parts(data, starts, ends, parts, out):
    """Write the part, in [0, parts), of each string data[starts[i]:ends[i]] into out int64 [n]."""
    for i in range(starts.size):
        h = fnv1a(data, starts[i], min(ends[i], starts[i] + KEY_BYTES)) * _MIX
        out[i] = (h >> _FOLD) % np.uint64(parts)


@compiled(inline="always")
def _is_less(data, start, end, other_data, other_start, other_end):
    """Whether data[start:end] comes before other_data[other_start:other_end] in lexicographic order."""
    length, other_length = end - start, other_end - other_start
    for t in range(min(length, other_length)):
        if data[start + t] != other_data[other_start + t]:
            return data[start + t] < other_data[other_start + t]
    return length < other_length


@compiled()
def _falls_at(data, starts, ends):
    """The first string, from 1, that does not come after the one before it; starts.size if all do."""
    for i in range(1, starts.size):
        if not _is_less(data, starts[i - 1], ends[i - 1], data, starts[i], ends[i]):
            return i
    return starts.size


@compiled()
def _find(keys, key_starts, key_ends, data, starts, ends, out):
    """Write the number, or -1, of each string data[starts[i]:ends[i]] among rising keys into out int64 [n]."""
    for i in range(starts.size):
        low, high = 0, key_starts.size
        while low < high:
            middle = (low + high) // 2
            if _is_less(keys, key_starts[middle], key_ends[middle], data, starts[i], ends[i]):
                low = middle + 1
            else:
                high = middle
        is_there = low < key_starts.size and not _is_less(
            data, starts[i], ends[i], keys, key_starts[low], key_ends[low]
        )
        out[i] = low if is_there else -1


def parts_of(strings: ByteSpans, parts: int) -> np.ndarray:
    """The part int64 [n], in [0, parts), that each of n strings belongs to."""
    out = np.empty(len(strings), np.int64)
    _parts(strings.data, strings.starts, strings.ends, parts, out)
    return out


def rises(strings: ByteSpans) -> bool:
    """Whether each string comes after the one before it, so that they are sorted and distinct."""
    return int(_falls_at(strings.data, strings.starts, strings.ends)) == len(strings)


def find_sorted(table: ByteSpans, strings: ByteSpans) -> np.ndarray:
    """Numbers int64 [n] of n strings in a table of which `rises` holds, -1 for one that is not there."""
    out = np.empty(len(strings), np.int64)
    _find(table.data, table.starts, table.ends, strings.data, strings.starts, strings.ends, out)
    return out
