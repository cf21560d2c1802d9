r"""The bytes of an excerpt as markup: each byte a cell, shaded by its score, segments and windows marked.

    Excerpt ──┬─► cells  <i class="h9 s">f</i>
              └─► data   numbers that the page's script shows

A byte is one cell, also where a character has several: the first carries the character, the others their hex digits.
What shows nothing or moves its neighbours (controls, bidirectional marks) is shown by its number. The data are numbers
only, so nothing in a document can end the script element that holds them.
"""

from __future__ import annotations

import html
import json
import unicodedata
from collections.abc import Iterator
from functools import cache

from pipeline.analysis.findings import Excerpt
from pipeline.analysis.report.markup import visible

SHADES = 12
"""Classes h0 to h11 of the page's style, from light to dark."""
THETA_SHADE = 8
"""The first shade above θ, so that a boundary precedes every byte of this shade or a darker one."""
MIN_THETA_BITS = 0.25
"""A lower θ is shaded as this one, so that a shade is never a step of nothing."""
SCORE_DIGITS = 3
"""Decimals of a score, in bits."""
NEWLINE = 0x0A
WHITE_SPACE = {NEWLINE: "↵", 0x09: "→", 0x20: "·"}
"""Marks for white space, by code point."""
ESCAPED_BYTES = ("\udc80", "\udcff")
"""What surrogateescape makes of the bytes 0x80 to 0xFF where they are not UTF-8."""


def shade(bits: float, theta_bits: float) -> int:
    """Shade of a score, 0 to SHADES - 1: equal steps up to θ, and on from there as far as there are shades."""
    if bits > theta_bits:
        return min(SHADES - 1, THETA_SHADE + int((bits - theta_bits) / step_bits(theta_bits)))
    return min(THETA_SHADE - 1, max(0, int(bits / step_bits(theta_bits))))


def step_bits(theta_bits: float) -> float:
    """Difference in bits between one shade and the next."""
    return max(theta_bits, MIN_THETA_BITS) / THETA_SHADE


def cells(excerpt: Excerpt) -> str:
    """The excerpt as one <i> per byte, in order."""
    segment_starts = {0, *excerpt.segment_ends[:-1]}
    window_starts = set(excerpt.window_ends[:-1]) - segment_starts if excerpt.window_ends else set()
    written = []
    for i, (shown, kind) in enumerate(faces(excerpt.raw)):
        marks = [f"h{shade(excerpt.score_bits[i], excerpt.theta_bits)}"] if excerpt.score_bits else []
        marks += ["s"] * (i in segment_starts) + ["w"] * (i in window_starts) + [kind] * bool(kind)
        focus = ' tabindex="0"' if i == 0 else ""
        written.append(f'<i class="{" ".join(marks)}"{focus}>{shown}</i>' + "\n" * (excerpt.raw[i] == NEWLINE))
    return "".join(written)


def faces(raw: bytes) -> Iterator[tuple[str, str]]:
    """Content of each byte's cell, as markup, and its kind: "" text, "q" a mark for white space, "x" a number."""
    text = raw.decode("utf-8", "surrogateescape")
    for character in text:
        data = character.encode("utf-8", "surrogateescape")
        yield _face(character)
        yield from ((f"{byte:02x}", "x") for byte in data[1:])


@cache
def _face(character: str) -> tuple[str, str]:
    code = ord(character)
    if code in WHITE_SPACE:
        return WHITE_SPACE[code], "q"
    if ESCAPED_BYTES[0] <= character <= ESCAPED_BYTES[1]:
        return f"{code - 0xDC00:02x}", "x"
    if code < 0x20 or code == 0x7F:
        return f"{code:02x}", "x"
    shown = visible(character)
    if shown != character or unicodedata.category(character).startswith("Z"):
        return f"U+{code:04X}", "x"
    # A combining mark without its letter would be drawn over the cell before it.
    return html.escape("◌" + character if unicodedata.category(character).startswith("M") else character), ""


def data(excerpt: Excerpt) -> str:
    """The numbers that the page's script shows about each byte, as JSON."""
    return json.dumps(
        {
            "start": excerpt.start,
            "segment": excerpt.first_segment,
            "bytes": list(excerpt.raw),
            "score": excerpt.score,
            "bits": None if excerpt.score_bits is None else [round(bits, SCORE_DIGITS) for bits in excerpt.score_bits],
            "ends": excerpt.segment_ends,
            "symbolEnds": excerpt.symbol_ends,
            "symbols": excerpt.symbols,
            "windows": excerpt.window_ends,
        },
        separators=(",", ":"),
    )
