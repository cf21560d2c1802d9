"""Crashes that a test makes happen, and runs that end by them."""

from __future__ import annotations

from collections.abc import Callable


class PowerCutError(RuntimeError):
    """What a crash is in these tests."""


def crashes(run: Callable[[], int]) -> bool:
    """Whether the run crashed, by our own doing."""
    try:
        assert run() == 0
    except Exception as error:
        # Beam hands a step's exception on as RuntimeError with its traceback as text.
        assert "PowerCutError" in repr(error) + str(error), error
        return True
    return False
