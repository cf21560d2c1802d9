"""Sets of strings by a byte model: intervals of their bytes, entropies after them, and decoding.

    strings ── sort ──► groups that fit the kv cache ── build_trie ──► TrieEvaluator ──► one value per node ──► strings

Every distinct prefix of a group is read once. A value is a function of its prefix alone, so neither the order of the
strings nor their company changes a code. Decoding goes one byte of many strings at a time, through the same steps, and
so sees the same outputs bit for bit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from kernels.byte_lm_config import START
from kernels.byte_model import ByteModel
from kernels.byte_spans import ByteSpans, Codes, span_indices, starts_of
from kernels.prefix_trie import PrefixTrie, build_trie, inner_node_bounds, sort_strings
from kernels.trie_evaluator import TrieEvaluator
from kernels.window_coder import FULL_RANGE, STATE_BITS, WINDOW_BITS, decode_step, smallest_grid_index
from schemas.batches import offsets_of

Values = TypeVar("Values")


class PrefixCoder:
    """Intervals, entropies and decoding by one byte model on one device. Safe to share between threads.

    `prefixes_read` counts the model's work.
    """

    def __init__(
        self,
        model: ByteModel,
        *,
        forbidden: np.ndarray | None = None,
        prefixes_per_read: int = 0,
        threads: int = 1,
        window_bits: int = WINDOW_BITS,
    ) -> None:
        """forbidden: bool [256, 256], where [a, b] says that byte b follows byte a in no string, as inside a segment
        whose boundaries are decided by pairs of bytes: it keeps the smallest frequency, and the other bytes get its
        probability. Any string still has a code. None forbids nothing.

        prefixes_per_read: see `TrieEvaluator`. threads: tries evaluated at a time. window_bits: W of the codes.
        """
        self.model, self.threads, self.window_bits = model, threads, window_bits
        self._evaluator = TrieEvaluator(model, forbidden=forbidden, prefixes_per_read=prefixes_per_read)
        self.prefixes_read = 0
        self._lock = threading.Lock()

    def intervals(self, strings: ByteSpans) -> tuple[np.ndarray, np.ndarray]:
        """The interval of every byte of n strings, given the string's own bytes before it.

        Returns first, last: uint16 [total bytes], string by string.
        """
        lengths = strings.lengths
        offsets = offsets_of(lengths)
        first, last = (np.empty(int(offsets[-1]), np.uint16) for _ in range(2))
        for members, trie, (node_first, node_last) in self._by_group(strings, self._node_intervals):
            places = span_indices(offsets[members], lengths[members])
            first[places], last[places] = node_first[trie.path], node_last[trie.path]
        return first, last

    def entropies(self, strings: ByteSpans) -> np.ndarray:
        """H float32 [n], in bits, of the byte after each of n strings."""
        # The model reads inner nodes only. One byte more, any byte, makes an inner node of each string's end.
        out = np.empty(len(strings), np.float32)
        offsets = offsets_of(strings.lengths + 1)
        longer = np.zeros(int(offsets[-1]), np.uint8)
        longer[span_indices(offsets[:-1], strings.lengths)] = strings.joined()
        for members, trie, node_bits in self._by_group(ByteSpans.from_offsets(longer, offsets), self._node_entropies):
            last_byte = np.cumsum(strings.lengths[members] + 1) - 1
            out[members] = node_bits[trie.path[last_byte]]
        return out

    def _node_intervals(self, trie: PrefixTrie) -> tuple[np.ndarray, np.ndarray]:
        """first, last: uint16 [nodes from level 1 on], the interval of a node's last byte after its parent."""
        firsts: list[Tensor] = []
        lasts: list[Tensor] = []

        def visit(outputs: Tensor, rows: Tensor, children: Tensor) -> None:
            cumulative = self.model.cumulative_frequencies(outputs, self.window_bits)
            firsts.append(cumulative[rows, children].to(torch.uint16))
            lasts.append((cumulative[rows, children + 1] - 1).to(torch.uint16))

        self._evaluator.evaluate(trie, visit)
        return torch.cat(firsts).cpu().numpy(), torch.cat(lasts).cpu().numpy()

    def _node_entropies(self, trie: PrefixTrie) -> np.ndarray:
        """H float32 [nodes from level 1 on], in bits, of the byte after a node's parent."""
        bits: list[Tensor] = []

        def visit(outputs: Tensor, rows: Tensor, children: Tensor) -> None:
            bits.append(self.model.entropies_bits(outputs)[rows])

        self._evaluator.evaluate(trie, visit)
        return torch.cat(bits).cpu().numpy()

    def _by_group(
        self, strings: ByteSpans, evaluate: Callable[[PrefixTrie], Values]
    ) -> Iterator[tuple[np.ndarray, PrefixTrie, Values]]:
        """Groups of strings, in sorted order, whose prefixes fit the kv cache.

        Yields the numbers int64 of a group's strings, their trie, and what `evaluate` makes of it.
        """
        order = sort_strings(strings)
        total = np.cumsum(inner_node_bounds(strings.take(order)))
        cuts = [0]
        while cuts[-1] < order.size:
            before = total[cuts[-1] - 1] if cuts[-1] else 0
            fitting = int(np.searchsorted(total, before + self._evaluator.max_cached_prefixes, "right"))
            cuts.append(max(cuts[-1] + 1, fitting))

        def run(group: tuple[int, int]) -> tuple[np.ndarray, PrefixTrie, Values]:
            members = order[group[0] : group[1]]
            trie = build_trie(strings.take(members))
            return members, trie, evaluate(trie)

        def results() -> Iterator[tuple[np.ndarray, PrefixTrie, Values]]:
            if self.threads == 1:
                yield from map(run, pairwise(cuts))
                return
            with ThreadPoolExecutor(self.threads) as pool:
                yield from pool.map(run, pairwise(cuts))

        for members, trie, values in results():
            self._count(trie.inner_nodes)
            yield members, trie, values

    @torch.inference_mode()
    def decode(self, codes: Codes) -> tuple[np.ndarray, int]:
        """The bytes of n strings from their codes, by the model alone; symbols uint16, window_bytes int64.

        Returns uint8 [sum of window_bytes], string by string, and the number of bytes that no model output can
        explain, which is 0 unless a code is damaged or another model's.
        """
        totals = offsets_of(codes.window_bytes)
        out = np.empty(int(totals[-1]), np.uint8)
        damaged = 0
        first_windows = starts_of(codes.ends)
        lengths = totals[codes.ends] - totals[first_windows]
        longest = int(lengths.max(initial=1))
        evaluator = self._evaluator
        at_once = max(1, min(evaluator.prefixes_per_read, evaluator.max_cached_prefixes // longest))
        order = np.argsort(-lengths, kind="stable")
        for begin in range(0, order.size, at_once):
            chosen = order[begin : begin + at_once]
            with evaluator.exclusive():
                damaged += self._decode_together(codes, totals, first_windows[chosen], lengths[chosen], out)
        self._count(out.size)
        return out, damaged

    def _count(self, prefixes: int) -> None:
        with self._lock:
            self.prefixes_read += prefixes

    def _decode_together(
        self, codes: Codes, totals: np.ndarray, starts: np.ndarray, lengths: np.ndarray, out: np.ndarray
    ) -> int:
        """Decode n ≤ `prefixes_per_read` strings byte by byte into `out`; returns the number of damaged bytes.

        totals: int64 [k + 1], where each window's bytes begin in `out`. starts: int64 [n], the strings' first windows;
        lengths: int64 [n], their bytes, falling, so that the strings that are not over yet are in front.
        """
        symbols, window_bytes = codes.symbols, codes.window_bytes
        grid_bits = np.uint64(STATE_BITS - self.window_bits)
        longest = int(lengths[0])
        evaluator = self._evaluator
        kv_cache = evaluator.new_kv_cache(longest * starts.size)
        window = starts.copy()
        left = window_bytes[window].copy()
        low, range_ = np.zeros(starts.size, np.uint64), np.full(starts.size, FULL_RANGE, np.uint64)
        inputs = np.full(starts.size, START, np.int64)
        ancestors = torch.zeros((starts.size, 0), dtype=torch.int64, device=evaluator.device)
        damaged = 0
        for t in range(longest):
            n = int(np.searchsorted(-lengths, -t, "left"))
            own = evaluator.places(t * starts.size, n)
            ancestors = torch.cat((ancestors[:n], own[:, None]), 1)
            outputs = evaluator.step(evaluator.to_device(inputs[:n]), ancestors, kv_cache)
            cumulative = self.model.cumulative_frequencies(outputs, self.window_bits)[:n].cpu().numpy()
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
