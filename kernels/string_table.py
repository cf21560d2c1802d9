"""A hash table from short byte strings to consecutive numbers, in flat arrays.

The codebook (segment → code), its inverse (code → segment) and the cache of entropies (context → bits) are built on it.
Nothing in it is a Python object. Most strings are of eight bytes or fewer: these are hashed and compared as one number.

    slots  int32     number of a string, or -1
    keys   uint64    of each string its first eight bytes, zeros behind a shorter one, and where it begins in key_bytes
    key_bytes        all strings end to end, in order of insertion

A slot is small and the strings that come first are, in a codebook, the frequent ones, so what a look-up waits for is
seldom far away; 16 bytes a slot with everything in it were slower (docs/decisions.md). Look-ups take no lock: the
arrays only grow, an entry is complete before its slot is published, and growth replaces the whole tuple of arrays at
once. Insertions must be serialised by the caller.
"""

from __future__ import annotations

import numpy as np

from kernels.byte_spans import ByteSpans
from kernels.compiled import compiled

_MIX = np.uint64(0x9E3779B97F4A7C15)
_FOLD = np.uint64(32)
_ONE, _PAIR = np.uint64(1), np.uint64(2)
_EMPTY = np.int32(-1)
_WORD_BYTES = 8
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(_WORD_BYTES + 1)], np.uint64)
"""What is kept of eight bytes where a string has only so many."""
_MAX_LOAD = 0.5


@compiled(inline="always")
def _word(data, at, end):
    """Up to eight bytes of data[at:end] from `at` on as a little-endian number, zeros behind the end: uint64."""
    word, first, size = np.uint64(0), np.uint64(at), min(end - at, _WORD_BYTES)
    if at + _WORD_BYTES <= data.size:
        # The compiler makes one load of these eight.
        for k in range(_WORD_BYTES):
            word |= np.uint64(data[first + np.uint64(k)]) << np.uint64(8 * k)
        return word & _MASKS[np.uint64(size)]
    for k in range(size):
        word |= np.uint64(data[first + np.uint64(k)]) << np.uint64(8 * k)
    return word


@compiled(inline="always")
def _hash(head, data, start, end):
    """A hash of data[start:end], whose first word is `head`: uint64 with good low bits."""
    h = (head ^ np.uint64(end - start)) * _MIX
    at = start + _WORD_BYTES
    while at < end:
        h = (h ^ (h >> _FOLD) ^ _word(data, at, end)) * _MIX
        at += _WORD_BYTES
    return h ^ (h >> _FOLD)


@compiled(inline="always")
def _probe(slots, keys, key_bytes, data, start, end):
    """The entry of the string data[start:end], -1 where it is unknown.

    It is what the probe itself read: by now another thread may have published another string in an empty slot. How this
    is written decides whether a look-up waits for the one before it: as it stands, the next ones are under way.
    """
    mask, length = np.uint64(slots.size - 1), end - start
    head = _word(data, start, end)
    slot = _hash(head, data, start, end) & mask
    while True:
        entry = slots[slot]
        if entry < 0:
            return entry
        key = np.uint64(entry) * _PAIR
        if keys[key] == head:
            at = np.int64(keys[key + _ONE])
            if np.int64(keys[key + _PAIR + _ONE]) - at == length:
                if length <= _WORD_BYTES:
                    return entry
                t = _WORD_BYTES
                while t < length and key_bytes[np.uint64(at + t)] == data[np.uint64(start + t)]:
                    t += 1
                if t == length:
                    return entry
        slot = (slot + _ONE) & mask


@compiled()
def _find(slots, keys, key_bytes, data, starts, ends, out):
    """Write the entry, or -1, of each string data[starts[i]:ends[i]] into out int32 [n]; returns how many are -1."""
    missing = 0
    for i in range(starts.size):
        entry = _probe(slots, keys, key_bytes, data, starts[i], ends[i])
        out[i] = entry
        missing += entry < 0
    return missing


@compiled()
def _append_keys(keys, key_bytes, n, data, starts, ends):
    """Copy the strings behind the last entry; not visible before `_publish`."""
    at = np.int64(keys[2 * n + 1])
    for i in range(starts.size):
        keys[2 * (n + i)] = _word(data, starts[i], ends[i])
        for t in range(starts[i], ends[i]):
            key_bytes[at] = data[t]
            at += 1
        keys[2 * (n + i) + 3] = at


@compiled()
def _publish(slots, keys, key_bytes, begin, end):
    """Give the entries from begin to end, which are distinct and in no slot, the next empty one each."""
    mask = np.uint64(slots.size - 1)
    for entry in range(begin, end):
        start, stop = np.int64(keys[2 * entry + 1]), np.int64(keys[2 * entry + 3])
        slot = _hash(keys[2 * entry], key_bytes, start, stop) & mask
        while slots[slot] >= 0:
            slot = (slot + _ONE) & mask
        slots[slot] = entry


@compiled()
def _first_occurrences(slots, data, starts, ends, group):
    """Number the distinct strings in order of first appearance; group[i] is the number of string i."""
    mask = np.uint64(slots.size - 1)
    firsts = np.empty(starts.size, np.int64)
    n = 0
    for i in range(starts.size):
        head = _word(data, starts[i], ends[i])
        slot = _hash(head, data, starts[i], ends[i]) & mask
        while True:
            entry = slots[slot]
            if entry < 0:
                slots[slot] = n
                firsts[n] = i
                group[i] = n
                n += 1
                break
            other = firsts[entry]
            length = ends[i] - starts[i]
            if ends[other] - starts[other] == length:
                t = 0
                while t < length and data[starts[other] + t] == data[starts[i] + t]:
                    t += 1
                if t == length:
                    group[i] = entry
                    break
            slot = (slot + _ONE) & mask
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
        self._arrays = (_slots_for(0), np.zeros(1 << 10, np.uint64), np.empty(1 << 12, np.uint8))
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def memory_bytes(self) -> int:
        """Bytes held by the table's arrays."""
        return sum(array.nbytes for array in self._arrays)

    def find(self, strings: ByteSpans) -> tuple[np.ndarray, int]:
        """Numbers int32 [n] of the strings, -1 for an unknown one, and how many are unknown."""
        out = np.empty(len(strings), np.int32)
        return out, _find(*self._arrays, strings.data, strings.starts, strings.ends, out)

    def insert(self, strings: ByteSpans) -> None:
        """Append strings that are distinct and not in the table; they get the next numbers in order."""
        n, new = self._size, len(strings)
        self._reserve(n + new, int(self._arrays[1][2 * n + 1]) + int(strings.lengths.sum()))
        slots, keys, key_bytes = self._arrays
        _append_keys(keys, key_bytes, n, strings.data, strings.starts, strings.ends)
        _publish(slots, keys, key_bytes, n, n + new)
        self._size = n + new

    def strings(self) -> ByteSpans:
        """All strings in the order of their numbers, end to end."""
        _, keys, key_bytes = self._arrays
        offsets = keys[1 : 2 * self._size + 2 : 2].astype(np.int64)
        return ByteSpans.from_offsets(key_bytes[: offsets[-1]], offsets)

    def _reserve(self, entries: int, total_bytes: int) -> None:
        slots, keys, key_bytes = self._arrays
        values = 2 * (entries + 1)
        if entries <= slots.size * _MAX_LOAD and total_bytes <= key_bytes.size and values <= keys.size:
            return
        if total_bytes > key_bytes.size:
            key_bytes = _grown(key_bytes, total_bytes)
        if values > keys.size:
            keys = _grown(keys, values)
        if entries > slots.size * _MAX_LOAD:
            slots = _slots_for(2 * entries)
            _publish(slots, keys, key_bytes, 0, self._size)
        elif keys is not self._arrays[1] or key_bytes is not self._arrays[2]:
            # A look-up under way holds the old keys: it must never meet a slot whose key they do not have.
            slots = slots.copy()
        self._arrays = (slots, keys, key_bytes)


def _grown(array: np.ndarray, size: int) -> np.ndarray:
    grown = np.zeros(max(size, 2 * array.size), array.dtype)
    grown[: array.size] = array
    return grown
