"""Seeded random edits of a text's characters: what a compressor's symbols should survive.

A share of n characters is exactly round(share · n) of them. Every draw is a hash of seed, text name, kind and share, so
an edited text does not depend on which others are edited with it. New characters are printable ASCII.
"""

from __future__ import annotations

import numpy as np

from kernels.counter_rng import draws, hash_strings, key, permutation
from pipeline.analysis.seeds import Purpose
from schemas.errors import SettingsError

KINDS = ("delete", "insert", "substitute")
SHARE_STEPS = 1 << 20
"""A share enters the key of the draws as a multiple of 1 / SHARE_STEPS."""
FIRST_PRINTABLE, PRINTABLE = 0x20, 95
"""The printable characters of ASCII are 0x20 to 0x7E."""


def edited(text: str, *, kind: str, share: float, seed: int, name: str) -> str:
    """The text with round(share · len(text)) characters deleted, inserted or replaced; SettingsError for a bad kind."""
    if kind not in KINDS:
        raise SettingsError(f"edit {kind!r} is unknown; choose one of {', '.join(KINDS)}")
    if not 0 <= share <= 1:
        raise SettingsError(f"share of edits is {share}; give 0 to 1")
    count = round(share * len(text))
    name_hash = _hash(name)
    own = key(seed, Purpose.EDITS, KINDS.index(kind), round(share * SHARE_STEPS), name_hash)
    places = np.sort(permutation(own, len(text))[:count])
    letters = draws(key(own, 1), np.arange(count, dtype=np.uint64))
    if kind == "delete":
        kept = np.ones(len(text), bool)
        kept[places] = False
        return "".join(character for character, keep in zip(text, kept, strict=True) if keep)
    parts, at = [], 0
    for place, letter in zip(places.tolist(), letters.tolist(), strict=True):
        parts.append(text[at:place])
        if kind == "insert":
            parts.append(chr(FIRST_PRINTABLE + letter % PRINTABLE))
            at = place
        else:
            parts.append(_other_letter(text[place], letter))
            at = place + 1
    return "".join([*parts, text[at:]])


def _other_letter(old: str, letter: int) -> str:
    """A printable character that is not `old`."""
    code = ord(old) - FIRST_PRINTABLE
    if not 0 <= code < PRINTABLE:
        return chr(FIRST_PRINTABLE + letter % PRINTABLE)
    return chr(FIRST_PRINTABLE + (code + 1 + letter % (PRINTABLE - 1)) % PRINTABLE)


def _hash(name: str) -> int:
    data = np.frombuffer(name.encode(), np.uint8)
    return int(hash_strings(data, np.array([0, data.size]))[0])
