"""A hash table from short byte strings to consecutive numbers, in flat arrays.

The codebook (segment → code), its inverse (code → segment) and the cache of entropies (context → bits) are built on it.
Nothing in it is a Python object. Look-ups take no lock: the arrays only grow, an
entry is complete before its slot is published, and growth replaces the whole tuple of arrays at once. Insertions must
be serialised by the caller.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.byte_spans import ByteSpans
from kernels.fnv1a import fnv1a

_MIX = np.uint64(0x9E3779B97F4A7C15)
_FOLD = np.uint64(29)
_EMPTY = np.int32(-1)
_MAX_LOAD = 0.5


@njit(cache=True, nogil=True, inline="always")
def _slot_hash(data, start, end):
    """FNV-1a over the bytes, mixed so that the low bits are good."""
    h = fnv1a(data, start, end) * _MIX
    return h ^ (h >> _FOLD)


@njit(cache=True, nogil=True, inline="always")
def _probe(slots, key_bytes, key_offsets, data, start, end):
    """(slot, entry) of the string data[start:end]; entry is -1 where the string is unknown, and belongs in that slot.

    The entry is what the probe itself read: by now another thread may have published another string in an empty slot.
    """
    mask = np.uint64(slots.size - 1)
    slot = _slot_hash(data, start, end) & mask
    while True:
        entry = slots[slot]
        if entry < 0:
            return slot, entry
        key = key_offsets[entry]
        if key_offsets[entry + 1] - key == end - start:
            t = 0
            while t < end - start and key_bytes[key + t] == data[start + t]:
                t += 1
            if t == end - start:
                return slot, entry
        slot = (slot + np.uint64(1)) & mask


@njit(cache=True, nogil=True)
def _find(slots, key_bytes, key_offsets, data, starts, ends, out):
    """Write the entry, or -1, of each string data[starts[i]:ends[i]] into out int32 [n]; returns how many are -1."""
    missing = 0
    for i in range(starts.size):
        _, entry = _probe(slots, key_bytes, key_offsets, data, starts[i], ends[i])
        out[i] = entry
        missing += entry < 0
    return missing


@njit(cache=True, nogil=True)
def _append_keys(key_bytes, key_offsets, n, data, starts, ends):
    """Copy the strings behind the last entry; not visible before `_publish`."""
    for i in range(starts.size):
        at = key_offsets[n + i]
        for t in range(ends[i] - starts[i]):
            key_bytes[at + t] = data[starts[i] + t]
        key_offsets[n + i + 1] = at + ends[i] - starts[i]


@njit(cache=True, nogil=True)
def _publish(slots, key_bytes, key_offsets, begin, end):
    for entry in range(begin, end):
        slot, _ = _probe(slots, key_bytes, key_offsets, key_bytes, key_offsets[entry], key_offsets[entry + 1])
        slots[slot] = entry


@njit(cache=True, nogil=True)
def _first_occurrences(slots, data, starts, ends, group):
    """Number the distinct strings in order of first appearance; group[i] is the number of string i."""
    mask = np.uint64(slots.size - 1)
    firsts = np.empty(starts.size, np.int64)
    n = 0
    for i in range(starts.size):
        slot = _slot_hash(data, starts[i], ends[i]) & mask
        while True:
            entry = slots[slot]
            if entry < 0:
                slots[slot] = n
                firsts[n] = i
                group[i] = n
                n += 1
                break
            other = firsts[entry]
            if ends[other] - starts[other] == ends[i] - starts[i]:
                t = 0
                while t < ends[i] - starts[i] and data[starts[other] + t] == data[starts[i] + t]:
                    t += 1
                if t == ends[i] - starts[i]:
                    group[i] = entry
                    break
            slot = (slot + np.uint64(1)) & mask
    return firsts[:n].copy()


def _slots_for(entries: int) -> np.ndarray:
    size = 1 << max(10, int(np.ceil(np.log2(max(1, entries) / _MAX_LOAD))))
    return np.full(size, _EMPTY, np.int32)


def distinct(strings: ByteSpans) -> tuple[np.ndarray, np.ndarray]:
    """Which of n strings are distinct.

    Returns firsts int64 [m], the index of each distinct string's first occurrence, rising, and group int64 [n], the
    number in [0, m) of every string.
    """
    group = np.empty(len(strings), np.int64)
    slots = _slots_for(len(strings))
    return _first_occurrences(slots, strings.data, strings.starts, strings.ends, group), group


class StringTable:
    """Distinct byte strings, numbered 0, 1, 2, … in order of insertion."""

    def __init__(self) -> None:
        self._arrays = (_slots_for(0), np.empty(1 << 12, np.uint8), np.zeros(1 << 9, np.int64))
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def memory_bytes(self) -> int:
        """Bytes held by the table's arrays."""
        return sum(array.nbytes for array in self._arrays)

    def find(self, strings: ByteSpans) -> tuple[np.ndarray, int]:
        """Numbers int32 [n] of the strings, -1 for an unknown one, and how many are unknown."""
        slots, key_bytes, key_offsets = self._arrays
        out = np.empty(len(strings), np.int32)
        missing = _find(slots, key_bytes, key_offsets, strings.data, strings.starts, strings.ends, out)
        return out, missing

    def insert(self, strings: ByteSpans) -> None:
        """Append strings that are distinct and not in the table; they get the next numbers in order."""
        n, new = self._size, len(strings)
        self._reserve(n + new, int(self._arrays[2][n] + strings.lengths.sum()))
        slots, key_bytes, key_offsets = self._arrays
        _append_keys(key_bytes, key_offsets, n, strings.data, strings.starts, strings.ends)
        _publish(slots, key_bytes, key_offsets, n, n + new)
        self._size = n + new

    def strings(self) -> ByteSpans:
        """All strings in the order of their numbers, end to end."""
        _, key_bytes, key_offsets = self._arrays
        offsets = key_offsets[: self._size + 1]
        return ByteSpans.from_offsets(key_bytes[: offsets[-1]], offsets)

    def _reserve(self, entries: int, total_bytes: int) -> None:
        slots, key_bytes, key_offsets = self._arrays
        if entries <= slots.size * _MAX_LOAD and total_bytes <= key_bytes.size and entries < key_offsets.size:
            return
        if total_bytes > key_bytes.size:
            key_bytes = _grown(key_bytes, total_bytes)
        if entries >= key_offsets.size:
            key_offsets = _grown(key_offsets, entries + 1)
        if entries > slots.size * _MAX_LOAD:
            slots = _slots_for(2 * entries)
            _publish(slots, key_bytes, key_offsets, 0, self._size)
        elif key_bytes is not self._arrays[1] or key_offsets is not self._arrays[2]:
            # A look-up under way holds the old keys: it must never meet a slot whose key they do not have.
            slots = slots.copy()
        self._arrays = (slots, key_bytes, key_offsets)


def _grown(array: np.ndarray, size: int) -> np.ndarray:
    grown = np.zeros(max(size, 2 * array.size), array.dtype)
    grown[: array.size] = array
    return grown
