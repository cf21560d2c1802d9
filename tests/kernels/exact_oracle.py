"""The exact byte LM once more, slowly, in Python's integers and fractions: no float, no array, no library.

A float32 is a Fraction here, and `rounded` is the only place where one is rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import isqrt
from typing import Any

import numpy as np

from kernels.byte_lm_config import ByteLMConfig

Row = list[Fraction]


def rounded(x: Fraction, digits: int = 24) -> Fraction:
    """The nearest number of so many binary digits, the even one of two: IEEE 754 without limits to the exponent."""
    if not x:
        return x
    unit = Fraction(2) ** (abs(x).numerator.bit_length() - abs(x).denominator.bit_length() - digits)
    if abs(x) / unit >= 1 << digits:
        unit *= 2
    if abs(x) / unit >= 1 << digits:
        unit *= 2
    return round(x / unit) * unit


def times(x: Fraction, y: Fraction) -> Fraction:
    return rounded(x * y)


def over(x: Fraction, y: Fraction) -> Fraction:
    return rounded(x / y)


def root(x: Fraction) -> Fraction:
    """The square root, rounded to float32: 60 binary digits more than enough, and a last one that says "and a bit"."""
    scale = 1 << 200
    whole = isqrt(x.numerator * scale * scale // x.denominator)
    exact = Fraction(whole, scale) ** 2 == x
    return rounded(Fraction(whole, scale) + (0 if exact else Fraction(1, 4 * scale)))


def quantised(y: Row) -> tuple[list[int], Fraction]:
    absmax = max(max(abs(v) for v in y), Fraction(1, 1 << 24))
    inverse = over(Fraction(127), absmax)
    return [round(times(v, inverse)) for v in y], times(absmax, rounded(Fraction(1, 127)))


def normalised(x: Row) -> tuple[list[int], Fraction]:
    levels, _ = quantised(x)
    squares = max(1, sum(v * v for v in levels))
    return levels, root(over(Fraction(len(x)), rounded(Fraction(squares))))


def clamped(x: Fraction, limit: int) -> Fraction:
    return min(max(x, Fraction(-limit)), Fraction(limit))


def weights(outputs: Sequence[int], exp2: Sequence[int], bits: int) -> list[int]:
    """2^bits · 2^((output - largest) / 256), rounded down, by the table of 2^24 · 2^(-i / 256)."""
    largest = max(outputs)
    return [exp2[(largest - v) % 256] >> min((largest - v) // 256 + 24 - bits, 31) for v in outputs]


class Oracle:
    """One window of bytes in, outputs out."""

    def __init__(self, config: ByteLMConfig, arrays: dict[str, np.ndarray]) -> None:
        self.config = config
        self.arrays: dict[str, Any] = {name: array.tolist() for name, array in arrays.items()}

    def forward(self, inputs: Sequence[int]) -> list[list[int]]:
        config, arrays = self.config, self.arrays
        factor = [Fraction(v) for v in arrays["embedding.scale"]]
        xs = [[times(Fraction(w), factor[b]) for w in arrays["embedding.weight"][b]] for b in inputs]
        for number in range(config.layers):
            block = f"blocks.{number}"
            attended = self._attended([self._product(f"{block}.qkv", *normalised(x)) for x in xs])
            for x, row in zip(xs, attended, strict=True):
                self._add(x, self._product(f"{block}.out", *quantised(row)))
                gate_up = self._product(f"{block}.gate_up", *normalised(x))
                gates, ups = gate_up[: config.ffn_dim], gate_up[config.ffn_dim :]
                gated = [times(times(g, self._sigmoid(g)), u) for g, u in zip(gates, ups, strict=True)]
                self._add(x, self._product(f"{block}.down", *quantised(gated)))
        heads = [self._product("head", *normalised(x)) for x in xs]
        return [[round(clamped(v, 1 << 21)) for v in row] for row in heads]

    def _product(self, name: str, levels: list[int], row_scale: Fraction) -> Row:
        scales = [Fraction(v) for v in self.arrays[f"{name}.scale"]]
        sums = [sum(w * q for w, q in zip(row, levels, strict=True)) for row in self.arrays[f"{name}.weight"]]
        assert max(abs(v) for v in sums) < 1 << 24
        return [times(times(Fraction(v), s), row_scale) for v, s in zip(sums, scales, strict=True)]

    @staticmethod
    def _add(x: Row, other: Row) -> None:
        x[:] = [rounded(a + b) for a, b in zip(x, other, strict=True)]

    def _sigmoid(self, gate: Fraction) -> Fraction:
        return Fraction(self.arrays["sigmoid"][round(clamped(gate * 128, 2048)) + 2048], 1 << 15)

    def _rotated(self, part: Row, position: int) -> Row:
        half = len(part) // 2
        tables = (self.arrays[f"rotation.{name}"][position] for name in ("cos", "sin"))
        cos, sin = ([Fraction(v, 1 << 14) for v in table] for table in tables)
        left = [rounded(times(part[i], cos[i]) - times(part[half + i], sin[i])) for i in range(half)]
        right = [rounded(times(part[half + i], cos[i]) + times(part[i], sin[i])) for i in range(half)]
        return left + right

    def _attended(self, rows: list[Row]) -> list[Row]:
        config = self.config
        size = config.dim // config.heads
        out: list[Row] = [[] for _ in rows]
        for head in range(config.heads):
            at = [part * config.dim + head * size for part in range(3)]
            queries = [quantised(self._rotated(row[at[0] : at[0] + size], t)) for t, row in enumerate(rows)]
            keys = [quantised(self._rotated(row[at[1] : at[1] + size], t)) for t, row in enumerate(rows)]
            values = [quantised(row[at[2] : at[2] + size]) for row in rows]
            for t, (query, scale) in enumerate(queries):
                seen = range(max(0, t + 1 - config.attention_bytes), t + 1)
                scores = [self._score(query, scale, *keys[j]) for j in seen]
                shares = weights(scores, self.arrays["exp2"], 20)
                unit = over(Fraction(1 << 23), rounded(Fraction(sum(shares))))
                shares = [
                    round(times(times(Fraction(w), min(values[j][1], Fraction(1))), unit))
                    for w, j in zip(shares, seen, strict=True)
                ]
                sums = [sum(w * values[j][0][i] for w, j in zip(shares, seen, strict=True)) for i in range(size)]
                assert max(abs(v) for v in sums) < 1 << 31
                out[t] += [rounded(Fraction(v)) for v in sums]
        return out

    @staticmethod
    def _score(query: list[int], query_scale: Fraction, key: list[int], key_scale: Fraction) -> int:
        dot = sum(a * b for a, b in zip(query, key, strict=True))
        return round(clamped(times(Fraction(dot), times(query_scale, key_scale)), 1 << 21))


def cumulative_frequencies(outputs: Sequence[int], exp2: Sequence[int], window_bits: int) -> list[int]:
    """From 0 to 2^16, by the law in words: least frequencies, shares rounded down, the rest to the likeliest byte."""
    least = 1 << (16 - window_bits)
    shares = weights(outputs, exp2, 24)
    frequencies = [least + w * (65536 - 256 * least) // sum(shares) for w in shares]
    frequencies[list(outputs).index(max(outputs))] += 65536 - sum(frequencies)
    ends = [0]
    for frequency in frequencies:
        ends.append(ends[-1] + frequency)
    return ends
