"""The bytes of a SentencePiece model's tokens: id -> bytes, and byte -> id for byte fallback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sentencepiece

SPACE_MARK = "\u2581"
"""How SentencePiece writes a space inside a piece."""
SPACE_MARK_BYTES = SPACE_MARK.encode()

_SLICE_TOKENS = 1 << 18


@dataclass(frozen=True, kw_only=True, slots=True)
class PieceTable:
    """The bytes of every token id."""

    pieces: np.ndarray
    """uint8 [n_bytes]: all tokens' bytes, end to end."""
    starts: np.ndarray
    """int64 [n_ids]: where each token begins in `pieces`."""
    lengths: np.ndarray
    """int64 [n_ids]: bytes of each token, 0 for those that stand for no text (unknown, control)."""

    @classmethod
    def of(cls, tokens: Sequence[bytes]) -> PieceTable:
        """The table of a list id -> bytes, b"" for ids without text."""
        lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
        return cls(pieces=np.frombuffer(b"".join(tokens), np.uint8), starts=lengths.cumsum() - lengths, lengths=lengths)

    def token(self, token_id: int) -> bytes:
        """The bytes of one token."""
        start = self.starts[token_id]
        return self.pieces[start : start + self.lengths[token_id]].tobytes()

    def ends(self, ids: np.ndarray) -> np.ndarray:
        """int64 [n + 1]: where each token of a run begins in its bytes, and the end of the last."""
        ends = np.zeros(len(ids) + 1, np.int64)
        np.cumsum(self.lengths[ids], out=ends[1:])
        return ends

    def join(self, ids: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """uint8 [ends[-1]]: the bytes of a run of tokens; `ends` as from `ends`."""
        text = np.empty(ends[-1], np.uint8)
        for first in range(0, len(ids), _SLICE_TOKENS):  # slices bound the memory of the index
            run = ids[first : first + _SLICE_TOKENS]
            begin, end = ends[first], ends[first + len(run)]
            shift = self.starts[run] - ends[first : first + len(run)]
            text[begin:end] = self.pieces[np.repeat(shift, self.lengths[run]) + np.arange(begin, end)]
        return text


def read_pieces(processor: sentencepiece.SentencePieceProcessor) -> tuple[list[bytes], np.ndarray]:
    """The list id -> bytes, b"" without text; int32 [256] byte -> id, -1 where the model has no such piece."""
    all_ids = list(range(processor.get_piece_size()))
    texts: list[str] = processor.id_to_piece(all_ids)
    is_byte = processor.is_byte(all_ids)
    is_control, is_unknown = processor.is_control(all_ids), processor.is_unknown(all_ids)
    byte_ids = np.full(256, -1, np.int32)
    pieces = []
    for i, text in enumerate(texts):
        if is_byte[i]:
            byte = int(text[1:-1], 16)
            byte_ids[byte] = i
            pieces.append(bytes([byte]))
        elif is_control[i] or is_unknown[i]:
            pieces.append(b"")
        else:
            pieces.append(text.replace(SPACE_MARK, " ").encode())
    return pieces, byte_ids
