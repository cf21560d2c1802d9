"""Settings of all tests: no deadlines, because the first call of a compiled kernel compiles it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as after the README's quick start: a small dataset at data/stdlib, a run of one step at runs/tiny."""
    from tests.workplace import make_workplace

    return make_workplace(tmp_path_factory.mktemp("workplace"))
