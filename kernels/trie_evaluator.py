"""A byte model over a trie of prefixes: every inner node is read once, level by level, and shown with its children.

    level t of the trie ── at most `prefixes_per_read` prefixes ──► forward_step ──► visit(outputs, rows, bytes)
         ▲                                                     (kv cache)                │
         └──────────────────────── level t + 1 ◄── the children, in the trie's order ◄───┘

Unless the model is batch-invariant, all reads have one shape per prefix length, `prefixes_per_read` prefixes, and the
last read of a level is padded: so what a prefix gives depends on the prefix only, not on what it was read with.
Nothing is fetched from the device before the last level is over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.byte_lm_config import START
from kernels.byte_model import ByteModel, KvCache
from kernels.prefix_trie import PrefixTrie

PREFIXES_PER_READ = {"cpu": 512, "cuda": 16_384}
"""By device type: as many as stay in a core's cache, or as keep a GPU busy for longer than it takes to ask it."""
KV_CACHE_BYTES = {"cpu": 192 << 20, "cuda": 4 << 30}
"""By device type: memory for keys and values of one trie; it bounds how many strings are evaluated at once."""
_GPU_LOCK = threading.Lock()
"""Tries are evaluated on a GPU one after the other: a second one at a time would add its cache and no speed."""
_PADDING_PLACE = 0
"""The place of the kv cache that padded rows write to; prefixes have the places from 1 on."""

Visit = Callable[[Tensor, Tensor, Tensor], None]
"""visit(outputs, rows, bytes) after each read: the model's outputs [prefixes read, 256], and for each child of these
prefixes, in the trie's order, the row of its parent and its last byte, both int64 [children], on the model's device."""


class TrieEvaluator:
    """A byte model on its device, asked about many prefixes at a time. Safe to share between threads."""

    def __init__(self, model: ByteModel, *, forbidden: np.ndarray | None = None, prefixes_per_read: int = 0) -> None:
        """forbidden: bool [256, 256], where [a, b] says that byte b never follows byte a; None forbids nothing. What
        comes first in a string is never forbidden.

        prefixes_per_read: 0 takes the device type's. All that must have the same codes need the same number, unless
        the model is batch-invariant.
        """
        self.model, self.device = model, model.device
        self.prefixes_per_read = prefixes_per_read or PREFIXES_PER_READ[self.device.type]
        self.max_cached_prefixes = max(1, KV_CACHE_BYTES[self.device.type] // model.kv_bytes_per_prefix)
        """How many prefixes' keys and values fit the memory that one evaluation may take."""
        self._forbidden: Tensor | None = None
        if forbidden is not None:
            after = np.zeros((START + 1, 256), np.bool_)
            after[:START] = forbidden
            self._forbidden = torch.from_numpy(after).to(self.device)

    def exclusive(self) -> AbstractContextManager[object]:
        """The context in which a kv cache is allocated and used: on a GPU only one thread is inside at a time."""
        return _GPU_LOCK if self.device.type == "cuda" else nullcontext()

    @torch.inference_mode()
    def evaluate(self, trie: PrefixTrie, visit: Visit) -> None:
        """Read every inner node of the trie; the visits see every other node once, as a child, in the trie's order."""
        with self.exclusive():
            self._evaluate_levels(trie, visit)

    def _evaluate_levels(self, trie: PrefixTrie, visit: Visit) -> None:
        kv_cache = self.new_kv_cache(trie.inner_nodes)
        ancestors = torch.zeros((1, 0), dtype=torch.int64, device=self.device)
        nodes_before = 0
        for level, children in zip(trie.levels, trie.levels[1:], strict=False):
            own = self.places(nodes_before, level.inner.size)
            ancestors = torch.cat((ancestors[self.to_device(level.parent[level.inner])], own[:, None]), 1)
            inputs = self.to_device(level.byte[level.inner] if nodes_before else np.array([START]))
            nodes_before += level.inner.size
            for begin in range(0, level.inner.size, self.prefixes_per_read):
                stop = min(begin + self.prefixes_per_read, level.inner.size)
                outputs = self.step(inputs[begin:stop], ancestors[begin:stop], kv_cache)
                low, high = np.searchsorted(children.parent, (begin, stop))
                rows = self.to_device(children.parent[low:high] - begin)
                visit(outputs, rows, self.to_device(children.byte[low:high]))

    def new_kv_cache(self, prefixes: int) -> KvCache:
        """An empty cache for `prefixes` prefixes, whose places are those of `places`."""
        return self.model.new_kv_cache(prefixes + 1)

    def places(self, first: int, count: int) -> Tensor:
        """Places int64 [count] in a kv cache of the prefixes number `first`, `first` + 1, …"""
        begin = _PADDING_PLACE + 1 + first
        return torch.arange(begin, begin + count, device=self.device)

    def step(self, inputs: Tensor, ancestors: Tensor, kv_cache: KvCache) -> Tensor:
        """Outputs [≥ n, 256] after one more byte of n ≤ `prefixes_per_read` prefixes; what follows row n is padding.

        inputs int64 [n] and ancestors int64 [n, t + 1] as in `ByteModel.forward_step`; kv_cache of `new_kv_cache`.
        """
        if not self.model.batch_invariant:
            padding = self.prefixes_per_read - inputs.shape[0]
            inputs = F.pad(inputs, (0, padding))
            ancestors = F.pad(ancestors, (0, 0, 0, padding), value=_PADDING_PLACE)
        outputs = self.model.forward_step(inputs, ancestors, kv_cache)
        return outputs if self._forbidden is None else self.model.mask(outputs, self._forbidden[inputs])

    def to_device(self, indices: np.ndarray) -> Tensor:
        """Indices of any integer type as int64 on the device."""
        on_host = torch.from_numpy(indices.astype(np.int64))
        # From pinned memory, since a copy from other memory waits for the device.
        return on_host.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else on_host
