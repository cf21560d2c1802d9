"""Documents encoded and packed by plain Python, the slow twin of the kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernels.packing import COMP, COMP_RAW, RAW, RAW_COMP, PackedDocuments
from schemas.vocabulary import COMP_SPAN, RAW_SPAN, SPECIAL_SPAN

Symbol = tuple[int, int]
"""(id, span)"""


@dataclass(frozen=True)
class Texts:
    """Documents as lists: (raw bytes, symbols, draw)."""

    items: list[tuple[bytes, list[int], int]]

    def block(self, dtype: type = np.uint16) -> PackedDocuments:
        raw, symbols = [0], [0]
        for text, codes, _ in self.items:
            raw.append(raw[-1] + len(text))
            symbols.append(symbols[-1] + len(codes))
        return PackedDocuments(
            raw=np.frombuffer(b"".join(text for text, _, _ in self.items), np.uint8).copy(),
            raw_offsets=np.array(raw, np.int64),
            symbols=np.array([code for _, codes, _ in self.items for code in codes], dtype),
            symbol_offsets=np.array(symbols, np.int64),
            draws=np.array([draw for _, _, draw in self.items], np.uint64),
        )


def slow_encode(raw: bytes, symbols: list[int], representation: int, sentinels: bool) -> list[Symbol]:
    def special(*ids: int) -> list[Symbol]:
        return [(i, SPECIAL_SPAN) for i in ids]

    raw_ids = [(64 + byte, RAW_SPAN) for byte in raw]
    comp_ids = [(320 + symbol, COMP_SPAN) for symbol in symbols]
    if sentinels:
        raw_ids = special(12) + raw_ids + special(13)
        comp_ids = special(14) + comp_ids + special(15)
    inner = {RAW: raw_ids, COMP: comp_ids, COMP_RAW: comp_ids + raw_ids, RAW_COMP: raw_ids + comp_ids}
    return special(1) + inner[representation] + special(2)
