"""`TokenTrie`: a vocabulary as token ids in flat arrays. It knows ids and indexes, no labels and no rules.

Nodes are numbered depth first with children in the order of their tokens, node 0 is the root. Leaves are the tags in the
same order, so the tags below a node are an interval of leaves. A tag may end at an inner node (its ids are a prefix of
another's): ends are explicit, and such a tag is the first leaf of its node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hangtag.errors import InvalidVocabulary

Int32 = NDArray[np.int32]
ROOT = 0


@dataclass(frozen=True, slots=True, eq=False)
class TokenTrie:
    """Arrays of the trie; N nodes, T tags.

    first_edge: (N + 1,) edges of node n are first_edge[n]:first_edge[n + 1]
    edge_token, edge_child: (N - 1,) sorted by node, then by token
    leaf_start, leaf_end: (N,) the leaves below node n, itself included
    ends: (N,) whether a tag ends at node n; its leaf is then leaf_start[n]
    leaf_tag, tag_leaf: (T,) the index in the vocabulary of each leaf, and back
    """

    first_edge: Int32
    edge_token: Int32
    edge_child: Int32
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
        width = int(lengths.max())
        flat = np.fromiter((token for sequence in sequences for token in sequence), np.int32, int(lengths.sum()))
        tokens = np.full((count, width), -1, np.int32)
        tokens[np.arange(width) < lengths[:, None]] = flat
        order = np.lexsort(tokens.T[::-1])
        tokens, lengths = tokens[order], lengths[order]

        differs = tokens[1:] != tokens[:-1]
        if not differs.any(axis=1).all():
            row = int(np.flatnonzero(~differs.any(axis=1))[0])
            raise InvalidVocabulary(f"tags {int(order[row])} and {int(order[row + 1])} have the same token ids")
        shared = np.concatenate([[0], differs.argmax(axis=1)])
        depth = np.arange(width)
        is_new = (depth >= shared[:, None]) & (depth < lengths[:, None])
        node = np.zeros((count, width), np.int64)
        node[is_new] = np.arange(1, int(is_new.sum()) + 1)
        node = np.maximum.accumulate(node, axis=0)
        above = np.concatenate([np.zeros((count, 1), np.int64), node[:, :-1]], axis=1)
        total = int(is_new.sum()) + 1

        parent, token, child = above[is_new], tokens[is_new], node[is_new]
        by_parent = np.argsort(parent, kind="stable")
        rows = np.broadcast_to(np.arange(count)[:, None], node.shape)
        leaf_start, leaf_end = np.zeros(total, np.int32), np.full(total, count, np.int32)
        leaf_start[child] = rows[is_new]
        on_path = depth < lengths[:, None]
        leaf_end[1:] = 0
        np.maximum.at(leaf_end, node[on_path], (rows[on_path] + 1).astype(np.int32))
        ends = np.zeros(total, np.bool_)
        ends[node[np.arange(count), lengths - 1]] = True
        tag_leaf = np.empty(count, np.int32)
        tag_leaf[order] = np.arange(count, dtype=np.int32)
        return cls(
            first_edge=np.searchsorted(parent[by_parent], np.arange(total + 1)).astype(np.int32),
            edge_token=token[by_parent],
            edge_child=child[by_parent].astype(np.int32),
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
        edges = slice(self.first_edge[node], self.first_edge[node + 1])
        return self.edge_token[edges], self.edge_child[edges]

    def child(self, node: int, token: int) -> int | None:
        """The node that `token` leads to from `node`, or None."""
        tokens, nodes = self.children(node)
        position = int(np.searchsorted(tokens, token))
        return int(nodes[position]) if position < len(tokens) and tokens[position] == token else None
