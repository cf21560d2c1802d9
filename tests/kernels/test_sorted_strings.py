"""Sorted parts of distinct strings: a dict by binary search, and strings that begin alike in one part."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.byte_spans import ByteSpans, Codes, merged_codes
from kernels.sorted_strings import KEY_BYTES, find_sorted, parts_of, rises
from tests.kernels.test_string_table import many_strings


@pytest.mark.parametrize("n", [0, 1, 2, 3, 1000])
def test_a_sorted_table_is_a_dict(n: int) -> None:
    strings = sorted(many_strings(n))
    table = ByteSpans.from_bytes(strings)
    assert rises(table)
    asked = [*many_strings(max(n, 5), seed=1), *strings[::-1], b"\xff" * 9, b""]
    expected = [strings.index(string) if string in strings else -1 for string in asked]
    assert find_sorted(table, ByteSpans.from_bytes(asked)).tolist() == expected


@pytest.mark.parametrize(
    ("strings", "expected"),
    [
        ([], True),
        ([b""], True),
        ([b"", b"\x00", b"\x00\x00", b"\x01", b"\x7f", b"\x80", b"\xff"], True),
        ([b"a", b"a"], False),
        ([b"", b""], False),
        ([b"b", b"a"], False),
        ([b"ab", b"a"], False),
        ([b"a", b"c", b"b", b"d"], False),
    ],
)
def test_rising(strings: list[bytes], expected: bool) -> None:
    assert rises(ByteSpans.from_bytes(strings)) is expected


@pytest.mark.parametrize("parts", [1, 2, 7, 256])
def test_the_first_bytes_decide_the_part(parts: int) -> None:
    strings = [bytes([a, b, c]) + tail for a in range(9) for b in range(9) for c in range(9) for tail in (b"", b"xy")]
    part_of = parts_of(ByteSpans.from_bytes(strings), parts)
    assert part_of.min() >= 0 and part_of.max() < parts
    whole = dict(zip(strings, part_of.tolist(), strict=True))
    assert all(whole[string] == whole[string[:KEY_BYTES]] for string in strings)
    assert len(set(part_of.tolist())) > 0.8 * min(parts, 729), "the parts share the strings"


def test_parts_are_those_of_every_release() -> None:
    """A killed run is gone on with by another release."""
    strings = ByteSpans.from_bytes([b"", b"a", b"ab", b"abc", b"abcd", b"    return", b"\xff\xfe"])
    assert parts_of(strings, 256).tolist() == [100, 161, 226, 254, 254, 100, 153]


@pytest.mark.parametrize("groups", [1, 2, 5])
def test_merged_codes_are_those_of_the_strings(groups: int) -> None:
    rng = np.random.default_rng(groups)
    codes = [rng.integers(0, 65536, rng.integers(0, 5)).tolist() for _ in range(200)]
    group = rng.integers(0, groups, len(codes))
    group[:1] = 0
    parted = []
    for number in range(groups + 1):
        members = rng.permutation(np.flatnonzero(group == number))
        chosen = [codes[i] for i in members]
        symbols = np.array([symbol for code in chosen for symbol in code], np.uint16)
        ends = np.cumsum([len(code) for code in chosen]).astype(np.int64)
        parted.append((members, Codes(symbols, (symbols % 7).astype(np.uint8), ends)))
    merged = merged_codes(parted)
    assert merged.symbols.tolist() == [symbol for code in codes for symbol in code]
    assert merged.window_bytes.tolist() == [symbol % 7 for code in codes for symbol in code]
    assert merged.ends.tolist() == np.cumsum([len(code) for code in codes]).tolist()
