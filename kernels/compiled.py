"""The compiler of the loops: numba, with its cache on disk wherever there is a place for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])

uncached: list[str] = []
"""Names of the functions that each process compiles for itself, for want of a place."""


def compiled(**options: Any) -> Callable[[Function], Function]:
    """`numba.njit(cache=True, nogil=True, **options)`, or without the cache where it has no place.

    numba keeps what it compiles beside the source, in the user's cache directory, or in NUMBA_CACHE_DIR. Where none can
    be written, as in a container with a read-only root, its decorator raises, so nothing could be imported.
    """

    def decorate(function: Function) -> Function:
        try:
            return njit(cache=True, nogil=True, **options)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
            uncached.append(function.__name__)
            return njit(nogil=True, **options)(function)

    return decorate
