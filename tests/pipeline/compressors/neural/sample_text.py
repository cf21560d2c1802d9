"""Text like Python source, the same on every machine and untouched by changes of our own files."""

from __future__ import annotations

from itertools import count

NAMES = ("index", "value", "self.count", "offset", "names", "path", "result", "lines", "total", "key", "text", "size")
LINES = (
    "def {a}_{b}({a}: int, {b}: list[str]) -> dict[str, int]:\n",
    '    """The {a} of every {b}, by its {c}."""\n',
    "    if {a} in {b} and not {c}:\n        return {c}[{n}:]\n",
    "    {a} = {b}.{c}({n}, {a})\n",
    "    for {a} in range({n}):\n        {b}.append({c})\n",
    '        raise ValueError(f"{a} is {{{b}}}; give {n} or more")\n',
    "\n\n",
    "    # Only the {a} may change, not the {b}.\n",
)


def code_like(size_bytes: int, seed: int = 0) -> bytes:
    """`size_bytes` bytes of text whose lines and names a counter chooses."""
    text = ""
    for number in count(seed * 1_000_003):
        if len(text) >= size_bytes:
            return text[:size_bytes].encode()
        draw = (number * 0x9E3779B97F4A7C15) % (1 << 64) >> 20
        a, b, c = (NAMES[(draw >> shift) % len(NAMES)] for shift in (4, 13, 22))
        text += LINES[draw % len(LINES)].format(a=a, b=b, c=c, n=draw % 97)
    raise AssertionError("count() does not end")
