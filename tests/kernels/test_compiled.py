"""Loops run where there is no place for what numba compiles."""

from __future__ import annotations

import pytest

from kernels import compiled as module
from kernels.compiled import compiled

LOOP = """
@compiled(error_model="numpy")
def ratio(one, other):
    return one / other
"""


def test_loops_are_compiled_without_a_cache_where_it_has_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """numba has no place for what comes from no file, and raises as for a directory that cannot be written."""
    monkeypatch.setattr(module, "uncached", [])
    names = {"compiled": compiled, "__name__": "nowhere"}
    exec(compile(LOOP, "<nowhere>", "exec"), names)
    ratio = names["ratio"]
    assert (ratio(1.0, 0.0), ratio(6, 3)) == (float("inf"), 2.0)  # type: ignore[operator]
    assert len(ratio.signatures) == 2  # type: ignore[attr-defined]
    assert module.uncached == ["ratio"]


def test_the_kernels_here_have_a_cache() -> None:
    import kernels.exact_loops
    import kernels.packing  # noqa: F401

    assert module.uncached == []
