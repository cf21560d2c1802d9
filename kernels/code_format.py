"""The numbers that neural codes are made of. Imports nothing, so that settings and their help can name them."""

from __future__ import annotations

PRECISION_BITS = 16
"""Frequencies of the 256 bytes sum to 2^PRECISION_BITS."""
WINDOW_BITS = 16
"""W of the paper, the largest: bits of a symbol. A smaller W makes a smaller alphabet and shorter windows."""
MIN_WINDOW_BITS = 10
"""Below, the smallest frequencies of 256 bytes leave little for what the model says: a quarter at 10 bits, all at 8."""
MAX_SEGMENT_BYTES = 255
"""Window lengths are kept as uint8, and no window is longer than its segment."""
MAX_SCORE_CONTEXT_BYTES = 8
"""Longest context of a byte's entropy: longer ones hardly repeat, and each distinct one needs the model."""
