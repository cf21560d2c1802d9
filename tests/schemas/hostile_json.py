"""JSON that somebody has tampered with: one value anywhere in it is another one, of any kind."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 1, -1, 2**31, 2**53, 2**63, 2**64, -(10**12), 10**15]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["", "..", "../x", "a\x00b", "\ud800", "x" * 300, "/etc/passwd", "uint16", "shard-00000-of-00001.arrow"]
    ),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


@st.composite
def tampered(draw: st.DrawFn, value: Any) -> Any:
    """A copy of a JSON value in which one place holds another value, or is gone."""
    changed = copy.deepcopy(value)
    *path, last = draw(st.sampled_from(list(places(value))))
    parent = changed
    for key in path:
        parent = parent[key]
    if isinstance(parent, dict) and draw(st.integers(0, 4)) == 0:
        del parent[last]
    else:
        parent[last] = draw(VALUES)
    return changed
