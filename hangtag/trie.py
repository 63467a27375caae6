"""`TokenTrie`: a vocabulary as token ids in flat arrays. It knows ids and indexes, no labels and no rules.

Nodes are numbered breadth first with children in the order of their tokens, node 0 is the root, and edge e leads to node e + 1.
Leaves are the tags in the order of their ids, that is depth first, so the tags below a node are an interval of leaves. A tag may
end at an inner node (its ids are a prefix of another's): ends are explicit, and such a tag is the first leaf of its node.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from hangtag.errors import InvalidVocabulary

Int32 = NDArray[np.int32]
ROOT = 0


@dataclass(frozen=True, slots=True, eq=False)
class TokenTrie:
    """Arrays of the trie; N nodes, T tags.

    first_edge: (N + 1,) edges of node n are first_edge[n]:first_edge[n + 1]
    edge_token: (N - 1,) sorted by node, then by token
    leaf_start, leaf_end: (N,) the leaves below node n, itself included
    ends: (N,) whether a tag ends at node n; its leaf is then leaf_start[n]
    leaf_tag: (T,) the index in the vocabulary of each leaf
    tag_leaf: (tags of the whole vocabulary,) and back, -1 for a tag that a restricted trie does not hold
    """

    first_edge: Int32
    edge_token: Int32
    leaf_start: Int32
    leaf_end: Int32
    ends: NDArray[np.bool_]
    leaf_tag: Int32
    tag_leaf: Int32

    @classmethod
    def build(cls, sequences: Sequence[Sequence[int]]) -> TokenTrie:
        """The trie of one non-empty sequence of token ids a tag. Raises `InvalidVocabulary` where two are equal."""
        count = len(sequences)
        lengths = np.fromiter(map(len, sequences), np.int64, count)
        if count == 0 or lengths.min() == 0:
            raise InvalidVocabulary("a trie needs tags, and every tag at least one token")
        flat = np.fromiter((token for sequence in sequences for token in sequence), np.int32, int(lengths.sum()))
        depths = np.arange(int(lengths.max()))
        tokens = np.full((count, len(depths)), -1, np.int32)
        tokens[depths < lengths[:, None]] = flat
        order = np.lexsort(tokens.T[::-1])
        tokens, lengths = tokens[order], lengths[order]

        differs = tokens[1:] != tokens[:-1]
        if not differs.any(axis=1).all():
            row = int(np.flatnonzero(~differs.any(axis=1))[0])
            raise InvalidVocabulary(f"tags {int(order[row])} and {int(order[row + 1])} have the same token ids")
        shared = np.concatenate([[0], differs.argmax(axis=1)])
        on_path = (depths < lengths[:, None]).T
        is_new = on_path & (depths >= shared[:, None]).T
        total = int(is_new.sum()) + 1
        node = np.zeros(on_path.shape, np.int32)  # (depths, tags), so that numbers ascend breadth first
        node[is_new] = np.arange(1, total)
        node = np.maximum.accumulate(node, axis=1)
        above = np.concatenate([np.zeros((1, count), np.int32), node[:-1]])

        rows = np.broadcast_to(np.arange(count, dtype=np.int32), node.shape)
        leaf_start, leaf_end = np.zeros(total, np.int32), np.full(total, count, np.int32)
        leaf_start[1:] = rows[is_new]
        leaf_end[node[on_path]] = rows[on_path] + 1  # the last of a node's rows stays
        ends = np.zeros(total, np.bool_)
        ends[node[lengths - 1, np.arange(count)]] = True
        tag_leaf = np.empty(count, np.int32)
        tag_leaf[order] = np.arange(count, dtype=np.int32)
        return cls(
            first_edge=np.searchsorted(above[is_new], np.arange(total + 1)).astype(np.int32),
            edge_token=tokens.T[is_new],
            leaf_start=leaf_start,
            leaf_end=leaf_end,
            ends=ends,
            leaf_tag=order.astype(np.int32),
            tag_leaf=tag_leaf,
        )

    def __len__(self) -> int:
        return len(self.leaf_tag)

    def children(self, node: int) -> tuple[Int32, Int32]:
        """Tokens that lead on from `node`, ascending, and the nodes they lead to."""
        first, last = int(self.first_edge[node]), int(self.first_edge[node + 1])
        return self.edge_token[first:last], np.arange(first + 1, last + 1, dtype=np.int32)

    def child(self, node: int, token: int) -> int | None:
        """The node that `token` leads to from `node`, or None."""
        first, last = int(self.first_edge[node]), int(self.first_edge[node + 1])
        edge = bisect_right(self.edge_token, token, first, last) - 1
        return edge + 1 if edge >= first and self.edge_token[edge] == token else None

    def ids(self, tag: int) -> tuple[int, ...]:
        """The token ids of a tag, by its index in the vocabulary."""
        return tuple(int(self.edge_token[node - 1]) for node in self.path(int(self.tag_leaf[tag])))

    def path(self, leaf: int) -> tuple[int, ...]:
        """The nodes from below the root to where the tag of `leaf` ends."""
        node, found = ROOT, []
        while not (self.ends[node] and self.leaf_start[node] == leaf):
            first, last = int(self.first_edge[node]), int(self.first_edge[node + 1])
            node = bisect_right(self.leaf_start, leaf, first + 1, last + 1) - 1
            found.append(node)
        return tuple(found)

    def depths(self) -> Int32:
        """(N,) how many tokens lead to each node; they ascend."""
        depth = np.zeros(len(self.ends), np.int32)
        level, distance = np.array([ROOT]), 0
        while len(level):
            depth[level] = distance
            first, last, distance = self.first_edge[level[0]], self.first_edge[level[-1] + 1], distance + 1
            level = np.arange(first + 1, last + 1)
        return depth

    def lengths(self) -> Int32:
        """(T,) how many tokens the tag of each leaf has."""
        lengths = np.zeros(len(self), np.int32)
        lengths[self.leaf_start[self.ends]] = self.depths()[self.ends]
        return lengths

    def restricted(self, kept: NDArray[np.bool_]) -> TokenTrie:
        """The trie of the leaves that are `kept`, (T,); indexes of tags stay those of the whole vocabulary."""
        before = np.concatenate([[0], np.cumsum(kept)]).astype(np.int32)
        start, end = before[self.leaf_start], before[self.leaf_end]
        live = end > start
        edges_before = np.concatenate([[0], np.cumsum(live[1:])]).astype(np.int32)
        first_edge = edges_before[self.first_edge]
        tag_leaf = np.full(len(self.tag_leaf), -1, np.int32)
        tag_leaf[self.leaf_tag[kept]] = np.arange(int(kept.sum()), dtype=np.int32)
        return TokenTrie(
            first_edge=np.append(first_edge[:-1][live], first_edge[-1]),
            edge_token=self.edge_token[live[1:]],
            leaf_start=start[live],
            leaf_end=end[live],
            ends=self.ends[live] & kept[self.leaf_start[live]],
            leaf_tag=self.leaf_tag[kept],
            tag_leaf=tag_leaf,
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(getattr(self, entry.name).nbytes for entry in fields(self))

    def is_whole(self, tokens: int) -> bool:
        """Whether arrays that came from a file are a trie of all tags over ids below `tokens`."""
        nodes, edges, count = len(self.ends), len(self.edge_token), len(self.leaf_tag)
        if [getattr(self, entry.name).dtype for entry in fields(self)] != [np.int32] * 4 + [np.bool_] + [np.int32] * 2:
            return False
        if count == 0 or edges != nodes - 1 or len(self.first_edge) != nodes + 1 or len(self.tag_leaf) != count:
            return False
        if len(self.leaf_start) != nodes or len(self.leaf_end) != nodes:
            return False
        later = np.repeat(np.arange(nodes), np.diff(self.first_edge)) < np.arange(1, nodes) if nodes > 1 else np.array([True])
        return bool(
            self.first_edge[0] == 0
            and self.first_edge[-1] == edges
            and (np.diff(self.first_edge) >= 0).all()
            and later.all()
            and ((self.edge_token >= 0) & (self.edge_token < tokens)).all()
            and ((self.leaf_start >= 0) & (self.leaf_start < self.leaf_end) & (self.leaf_end <= count)).all()
            and (np.sort(self.leaf_tag) == np.arange(count)).all()
            and (self.leaf_tag[self.tag_leaf] == np.arange(count)).all()
        )
