"""The compressors by name: the one list of those that there are. Imports nothing, so that settings can name them."""

from __future__ import annotations

COMPRESSORS = {
    "neural": "pipeline.compressors.neural.family",
    "tokenizer": "pipeline.compressors.tokenizer.family",
    "gzip": "pipeline.compressors.gzip",
    "token_bytes": "pipeline.compressors.token_bytes.family",
}
"""Name to the module that holds its family."""
