"""Which documents are never trained on: a hash of their ids decides, the same one in both halves of the project.

Pieces of one document, `id#piece0`, `id#piece1`, …, are held out together, or what is held out would not be unseen.
"""

from __future__ import annotations

import hashlib

PIECE_MARK = "#piece"
"""Behind a document's own id, which may hold any other mark."""


def hash_share(salt: str, name: str) -> float:
    """A number in [0, 1) that is a function of salt and name."""
    return int.from_bytes(hashlib.sha256(f"{salt}:{name}".encode()).digest()[:8], "big") / 2**64


def piece_id(doc_id: str, number: int) -> str:
    """The id of a piece of a document."""
    return f"{doc_id}{PIECE_MARK}{number}"


def is_held_out(doc_id: str, share: float) -> bool:
    """Whether a document is among the `share` of documents that never enter training."""
    whole, mark, number = doc_id.rpartition(PIECE_MARK)
    return hash_share("held-out", whole if mark and number.isdigit() else doc_id) < share
