"""The distinct prefixes of a set of byte strings, level by level: what the byte LM has to read, each once.

What the LM says about byte j of a string depends on the j bytes before it alone. Strings that begin alike therefore
share model work, and sorting them puts what they share side by side. A node is a prefix; a node of depth t that some
string continues is an inner node, and only inner nodes are ever read by the model. Levels are in string order, so the
nodes of level t + 1 stand in the order of their parents of level t.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kernels.byte_spans import ByteSpans
from kernels.compiled import compiled
from schemas.batches import offsets_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """The nodes of one depth t, and which of them the model reads."""

    parent: np.ndarray
    """int64 [nodes]: number, among the inner nodes of level t - 1, of each node's parent (0 at the root)."""
    byte: np.ndarray
    """uint8 [nodes]: last byte of each prefix (0 at the root)."""
    inner: np.ndarray
    """int64 [inner nodes], rising: the nodes that some string continues."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrefixTrie:
    """The prefixes of n strings and where each string's bytes lie among them."""

    levels: list[Level]
    """Level t for t = 0 … longest string; level 0 is the root, the empty prefix."""
    path: np.ndarray
    """int64 [total bytes of the strings]: byte j of a string is node `path` of level j + 1, counted over all levels
    from level 1 on; strings in the order given."""

    @property
    def inner_nodes(self) -> int:
        """Prefixes that the model reads."""
        return sum(level.inner.size for level in self.levels)


def sort_strings(strings: ByteSpans) -> np.ndarray:
    """Lexicographic order, int64 [n], of byte strings; equal ones in the order given."""
    buffers = [None, pa.py_buffer(offsets_of(strings.lengths)), pa.py_buffer(strings.joined())]
    array = pa.Array.from_buffers(pa.large_binary(), len(strings), buffers)
    return pc.sort_indices(array).to_numpy().astype(np.int64)


@compiled()
def _common_prefixes(data, starts, ends, out):
    """Write into out int64 [n] how many bytes each string shares with the one before it; out[0] stays as it is."""
    for i in range(1, starts.size):
        limit = min(ends[i] - starts[i], ends[i - 1] - starts[i - 1])
        t = 0
        while t < limit and data[starts[i] + t] == data[starts[i - 1] + t]:
            t += 1
        out[i] = t


def _shared_with_previous(strings: ByteSpans) -> np.ndarray:
    """int64 [n]: how many bytes each string shares with the one before it, 0 for the first."""
    common = np.zeros(len(strings), np.int64)
    _common_prefixes(strings.data, strings.starts, strings.ends, common)
    return common


def inner_node_bounds(strings: ByteSpans) -> np.ndarray:
    """int64 [n]: the most inner nodes that each of the sorted strings can add to those of the strings before it."""
    return np.maximum(strings.lengths - 1 - _shared_with_previous(strings), 0) + 1


@compiled()
def _count_nodes(lengths, common, counts):
    """Add to counts int64 [levels] the nodes of each level: the prefixes of string i longer than common[i] are new."""
    for i in range(lengths.size):
        for t in range(common[i] + 1, lengths[i] + 1):
            counts[t] += 1


@compiled()
def _fill_nodes(data, starts, lengths, common, first, node_byte, has_child, parent_node, path):
    """Write every node's last byte, whether it has a child, and its parent, and every string's path through them.

    lengths, common: int64 [n], of sorted strings that begin at data[starts[i]]; first: int64 [levels], number of the
    first node of each level; node_byte uint8, has_child bool, parent_node int64 [nodes]; path int64 [total bytes].
    """
    next_node = first.copy()
    current = np.zeros(first.size, np.int64)
    at = 0
    for i in range(lengths.size):
        for t in range(1, lengths[i] + 1):
            if t > common[i]:
                current[t] = next_node[t]
                next_node[t] += 1
                node_byte[current[t]] = data[starts[i] + t - 1]
                parent_node[current[t]] = current[t - 1]
                has_child[current[t - 1]] = True
            path[at] = current[t] - first[1]
            at += 1


def build_trie(strings: ByteSpans) -> PrefixTrie:
    """The trie of n ≥ 1 sorted strings, repeats allowed."""
    lengths, common = strings.lengths, _shared_with_previous(strings)
    depth = int(lengths.max())
    counts = np.zeros(depth + 1, np.int64)
    counts[0] = 1
    _count_nodes(lengths, common, counts)
    first = np.zeros(depth + 1, np.int64)
    np.cumsum(counts[:-1], out=first[1:])
    nodes = int(counts.sum())
    node_byte, parent_node = np.zeros(nodes, np.uint8), np.zeros(nodes, np.int64)
    has_child = np.zeros(nodes, np.bool_)
    path = np.empty(int(lengths.sum()), np.int64)
    if depth:
        _fill_nodes(strings.data, strings.starts, lengths, common, first, node_byte, has_child, parent_node, path)
    levels: list[Level] = []
    inner_number = np.zeros(nodes, np.int64)
    for t in range(depth + 1):
        nodes_of_level = slice(first[t], first[t] + counts[t])
        inner = np.flatnonzero(has_child[nodes_of_level])
        inner_number[first[t] + inner] = np.arange(inner.size)
        parent = inner_number[parent_node[nodes_of_level]]
        levels.append(Level(parent=parent, byte=node_byte[nodes_of_level], inner=inner))
    return PrefixTrie(levels=levels, path=path)
