"""What `--seed` is used for in this package: one number per purpose, so that draws for one do not repeat another's."""

from __future__ import annotations

from enum import IntEnum


class Purpose(IntEnum):
    """Second part of a key of `kernels.counter_rng.key`, after the seed. A changed number changes the results."""

    BOOTSTRAP = 0x57AB
    EDITS = 0xED17
    SAMPLES = 0x5A4D
    COLLISION_PAIRS = 0xC0DE
