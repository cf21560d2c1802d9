"""The byte LM over sets of strings: intervals, entropies and decoding, every distinct prefix read once.

All reads have one shape per prefix length: `rows` prefixes, the last read of a level padded. A row's result depends on
its own prefix only, so codes do not depend on what they were computed with.

Nothing is fetched from the device before a walk is over: ancestors are gathered there, level by level, and the
intervals of the bytes that occurred, 4 bytes each, come back in one piece.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.byte_lm import START, ByteLM
from kernels.intervals import cumulative_frequencies, entropies_bits
from kernels.prefix_trie import PrefixTrie, build_trie, gather_strings, inner_node_bounds, sort_strings
from kernels.string_table import span_indices
from kernels.window_coder import FULL_RANGE, STATE_BITS, WINDOW_BITS, decode_step, smallest_grid_index

Result = TypeVar("Result")

ROWS = {"cpu": 512, "cuda": 16_384}
"""Prefixes per read: as many as stay in a core's cache, or as keep a GPU busy for longer than it takes to ask it."""
POOL_BYTES = {"cpu": 192 << 20, "cuda": 4 << 30}
"""Memory for keys and values of one walk; it bounds how many strings are walked at once."""
_GPU_TURN = threading.Lock()
"""Walks on a GPU go one by one: a second one would add its pool and no speed."""


class PrefixReader:
    """A byte LM on one device that reads prefixes in fixed shapes. `prefixes_read` counts its model work.

    rows: prefixes per read; 0: the device type's. The same for all that must have the same codes.
    """

    def __init__(self, model: ByteLM, *, rows: int = 0, threads: int = 1, window_bits: int = WINDOW_BITS) -> None:
        self.model, self.threads, self.window_bits = model.eval(), threads, window_bits
        self.device = model.head.weight.device
        self.rows = rows or ROWS[self.device.type]
        self._pool_bytes = POOL_BYTES[self.device.type]
        self._turn: AbstractContextManager[object] = _GPU_TURN if self.device.type == "cuda" else nullcontext()
        self.prefixes_read = 0
        weight = model.head.weight
        self._prefix_bytes = 2 * model.config.layers * model.config.dim * weight.element_size()

    def intervals(self, data: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The interval of every byte of the strings data[starts[i]:ends[i]], given the string's own bytes before it.

        data: uint8; starts, ends: int64 [n], in any order. Returns first, last: uint16 [total bytes], string by string.
        """
        offsets = np.zeros(starts.size + 1, np.int64)
        np.cumsum(ends - starts, out=offsets[1:])
        first, last = (np.empty(int(offsets[-1]), np.uint16) for _ in range(2))
        for members, trie, (node_first, node_last) in self._walks(data, starts, ends, self._node_intervals):
            places = span_indices(offsets[members], (ends - starts)[members])
            first[places], last[places] = node_first[trie.path], node_last[trie.path]
        return first, last

    def entropies(self, data: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """H float32 [n], in bits, of the byte after each string data[starts[i]:ends[i]]."""
        out = np.empty(starts.size, np.float32)
        lengths = ends - starts
        longer = np.zeros(int((lengths + 1).sum()), np.uint8)
        stops = np.cumsum(lengths + 1)
        longer[np.arange(int(lengths.sum())) + np.repeat(np.arange(starts.size), lengths)] = gather_strings(
            data, starts, ends
        )
        for members, trie, node_bits in self._walks(longer, stops - lengths - 1, stops, self._node_entropies):
            last_byte = np.cumsum(lengths[members] + 1) - 1
            out[members] = node_bits[trie.path[last_byte]]
        return out

    def _node_intervals(self, trie: PrefixTrie) -> tuple[np.ndarray, np.ndarray]:
        """first, last: uint16 [nodes from level 1 on], the interval of a node's last byte after its parent."""
        firsts: list[Tensor] = []
        lasts: list[Tensor] = []

        def pick(logits: Tensor, rows: Tensor, symbols: Tensor) -> None:
            cumulative = cumulative_frequencies(logits, self.window_bits)
            firsts.append(cumulative[rows, symbols].to(torch.uint16))
            lasts.append((cumulative[rows, symbols + 1] - 1).to(torch.uint16))

        self._walk(trie, pick)
        return torch.cat(firsts).cpu().numpy(), torch.cat(lasts).cpu().numpy()

    def _node_entropies(self, trie: PrefixTrie) -> np.ndarray:
        """H float32 [nodes from level 1 on] of a node's last byte after its parent."""
        bits: list[Tensor] = []

        def pick(logits: Tensor, rows: Tensor, symbols: Tensor) -> None:
            bits.append(entropies_bits(logits)[rows])

        self._walk(trie, pick)
        return torch.cat(bits).cpu().numpy()

    def _walks(
        self, data: np.ndarray, starts: np.ndarray, ends: np.ndarray, walk: Callable[[PrefixTrie], Result]
    ) -> Iterator[tuple[np.ndarray, PrefixTrie, Result]]:
        """Sorted groups of strings whose keys and values fit the pool: members, trie and what `walk` makes of it."""
        order = sort_strings(data, starts, ends)
        limit = max(1, self._pool_bytes // self._prefix_bytes)
        total = np.cumsum(inner_node_bounds(data, starts[order], ends[order]))
        cuts = [0]
        while cuts[-1] < order.size:
            before = total[cuts[-1] - 1] if cuts[-1] else 0
            cuts.append(max(cuts[-1] + 1, int(np.searchsorted(total, before + limit, "right"))))

        def run(group: tuple[int, int]) -> tuple[np.ndarray, PrefixTrie, Result]:
            members = order[group[0] : group[1]]
            trie = build_trie(data, starts[members], ends[members])
            return members, trie, walk(trie)

        with ThreadPoolExecutor(self.threads) as pool:
            for members, trie, result in (
                pool.map(run, pairwise(cuts)) if self.threads > 1 else map(run, pairwise(cuts))
            ):
                self.prefixes_read += trie.inner_nodes
                yield members, trie, result

    @torch.inference_mode()
    def _walk(self, trie: PrefixTrie, pick: Callable[[Tensor, Tensor, Tensor], None]) -> None:
        """Read every inner node; pick(logits, each child's row, each child's byte) sees the children in order."""
        with self._turn:
            self._walk_in_turn(trie, pick)

    def _walk_in_turn(self, trie: PrefixTrie, pick: Callable[[Tensor, Tensor, Tensor], None]) -> None:
        pool = self.model.empty_pool(trie.inner_nodes + 1)
        ancestors = torch.zeros((1, 0), dtype=torch.int64, device=self.device)
        at = 0
        for level, children in zip(trie.levels, trie.levels[1:], strict=False):
            own = torch.arange(at, at + level.inner.size, device=self.device)
            ancestors = torch.cat((ancestors[self._there(level.parent[level.inner])], own[:, None]), 1)
            inputs = self._there(level.byte[level.inner] if at else np.array([START]))
            at += level.inner.size
            for begin in range(0, level.inner.size, self.rows):
                stop = min(begin + self.rows, level.inner.size)
                logits = self._read(inputs[begin:stop], ancestors[begin:stop], pool)
                low, high = np.searchsorted(children.parent, (begin, stop))
                pick(logits, self._there(children.parent[low:high] - begin), self._there(children.byte[low:high]))

    def _there(self, values: np.ndarray) -> Tensor:
        """Indices as int64 on the device; from pinned memory, since a copy from other memory waits for the device."""
        here = torch.from_numpy(values.astype(np.int64))
        return here.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else here

    def _read(self, inputs: Tensor, ancestors: Tensor, pool: Tensor) -> Tensor:
        """One read of the fixed shape; padded rows write to the pool's last place."""
        padding = self.rows - inputs.shape[0]
        inputs = F.pad(inputs, (0, padding))
        ancestors = F.pad(ancestors, (0, 0, 0, padding), value=pool.shape[2] - 1)
        return self.model.read_level(inputs, ancestors, pool)

    @torch.inference_mode()
    def decode(self, symbols: np.ndarray, window_bytes: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, int]:
        """The bytes of n strings from their codes, with the model alone.

        symbols: uint16 [k], window_bytes: int64 [k], the windows' lengths; offsets: int64 [n + 1], windows of string i.
        Returns uint8 [Σ window_bytes], string by string, and the number of bytes that no model output can explain.
        """
        totals = np.concatenate(([0], np.cumsum(window_bytes)))
        out = np.empty(int(totals[-1]), np.uint8)
        damaged = 0
        lengths = totals[offsets[1:]] - totals[offsets[:-1]]
        longest = int(lengths.max(initial=1))
        at_once = max(1, min(self.rows, self._pool_bytes // (self._prefix_bytes * longest)))
        order = np.argsort(-lengths, kind="stable")
        for begin in range(0, order.size, at_once):
            chosen = order[begin : begin + at_once]
            with self._turn:
                damaged += self._decode_rows(symbols, window_bytes, totals, offsets[chosen], lengths[chosen], out)
        self.prefixes_read += out.size
        return out, damaged

    def _decode_rows(
        self,
        symbols: np.ndarray,
        window_bytes: np.ndarray,
        totals: np.ndarray,
        starts: np.ndarray,
        lengths: np.ndarray,
        out: np.ndarray,
    ) -> int:
        """Decode at most `rows` strings in step, from windows `starts` on; lengths fall, so live ones stay in front."""
        grid_bits = np.uint64(STATE_BITS - self.window_bits)
        depth = int(lengths[0])
        pool = self.model.empty_pool(depth * starts.size + 1)
        window = starts.copy()
        left = window_bytes[window].copy()
        low, range_ = np.zeros(starts.size, np.uint64), np.full(starts.size, FULL_RANGE, np.uint64)
        inputs = np.full(starts.size, START, np.int64)
        ancestors = torch.zeros((starts.size, 0), dtype=torch.int64, device=self.device)
        damaged = 0
        for t in range(depth):
            n = int(np.searchsorted(-lengths, -t, "left"))
            own = torch.arange(t * starts.size, t * starts.size + n, device=self.device)
            ancestors = torch.cat((ancestors[:n], own[:, None]), 1)
            logits = self._read(self._there(inputs[:n]), ancestors, pool)
            cumulative = cumulative_frequencies(logits, self.window_bits)[:n].cpu().numpy()
            fresh = np.flatnonzero(left[:n] == 0)
            window[fresh] += 1
            left[fresh], low[fresh], range_[fresh] = window_bytes[window[fresh]], 0, FULL_RANGE
            byte = np.empty(n, np.uint8)
            damaged += decode_step(cumulative, low[:n], range_[:n], symbols[window[:n]], grid_bits, byte)
            out[totals[starts[:n]] + t] = byte
            inputs[:n] = byte
            left[:n] -= 1
            other_name = smallest_grid_index(low[:n], grid_bits) != symbols[window[:n]]
            damaged += int(np.count_nonzero(other_name & (left[:n] == 0)))
        return damaged
