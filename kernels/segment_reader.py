"""The byte LM inside a segment, where some bytes cannot come: they would have begun the next one.

Boundaries that are decided by pairs of bytes tell something for nothing: while a segment goes on, no byte can follow
whose surprisal after the last one is above θ. Its probability goes to the others. Encoder and decoder know the table,
so codes stay exact; every byte keeps its least frequency, so that any string has a code. What comes first is free.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kernels.byte_lm import START, ByteLM
from kernels.prefix_lm import PrefixReader
from kernels.window_coder import WINDOW_BITS

BARRED_LOGIT = -1e4
"""Finite: where every byte is barred, which happens in no segment, all are alike."""


class SegmentReader(PrefixReader):
    """A PrefixReader whose strings never have byte b behind byte a where barred[a, b], bool [256, 256]."""

    def __init__(
        self,
        model: ByteLM,
        barred: np.ndarray,
        *,
        rows: int = 0,
        threads: int = 1,
        window_bits: int = WINDOW_BITS,
    ) -> None:
        super().__init__(model, rows=rows, threads=threads, window_bits=window_bits)
        after = np.zeros((START + 1, 256), np.bool_)
        after[:START] = barred
        self._barred = torch.from_numpy(after).to(self.device)

    def _read(self, inputs: Tensor, ancestors: Tensor, pool: Tensor) -> Tensor:
        logits, n = super()._read(inputs, ancestors, pool), inputs.shape[0]
        return torch.cat((logits[:n].masked_fill(self._barred[inputs], BARRED_LOGIT), logits[n:]))
