"""Settings of all tests: no deadlines, because the first call of a compiled kernel compiles it."""

from hypothesis import settings

settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
