"""The one interface of all compressors. The graph does not know which of them it runs."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from schemas.batches import Documents, Encoding


class Compressor(Protocol):
    """A loaded compressor: text to symbols and back, a pure function of its artifact directory and the text."""

    name: str
    """The shard column it fills."""
    alphabet_size: int
    """Symbols are in [0, alphabet_size)."""
    symbol_dtype: np.dtype
    """uint16 or uint32."""
    digest: str
    """sha256 over everything that a code depends on; goes into the manifest."""

    def compress(self, documents: Documents) -> Encoding:
        """The compressed encoding of every document. It does not depend on what else is in the batch."""
        ...

    def decode(self, encoding: Encoding) -> Documents:
        """The exact bytes of every document; VerificationError where the encoding is not one of this compressor's."""
        ...

    def settings(self) -> dict[str, Any]:
        """What the manifest says about it, as JSON values, digest included."""
        ...
