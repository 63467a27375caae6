"""`Branches`: which tokens lead from a node of the trie to a tag that may still come. It knows the tags under rules; it knows
nothing of what an answer has besides tags.

What may no longer come is given as `closed`, the classes that are closed, as bits, and `out`, the leaves that stand already or
that others rule out, ascending.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from hangtag.masks import Scratch, Words, packed
from hangtag.ruled import RuledTags
from hangtag.trie import Int32

FEW = 32
"""Up to so many children are looked at one by one; of nodes with more, packed masks are kept."""
FEW_CALLS = 4
"""Up to so many children it is faster to ask for each whether it is open than for all at once."""
KEPT_MASKS = 256

Leaves = tuple[int, ...]


class Branches:
    """Open branches of `ruled`'s trie. The masks kept belong to nodes with more than FEW children, KEPT_MASKS at most."""

    def __init__(self, ruled: RuledTags, size: int) -> None:
        trie = ruled.trie
        self._trie, self.ruled, self._size = trie, ruled, size
        # a memoryview gives Python's own numbers, several times faster than an array gives its scalars
        self._first, self._token = trie.first_edge.data, trie.edge_token.data
        self._low, self._high = trie.leaf_start.data, trie.leaf_end.data
        self._ends = trie.ends.data
        self._class = ruled.leaf_class.data
        self._before = [row.data for row in ruled.class_before]
        self._masks: OrderedDict[tuple[int, int, int | None], Words] = OrderedDict()

    def open_leaves(self, node: int, closed: int, out: Leaves) -> int:
        """How many tags below `node` may still come."""
        low, high = self._low[node], self._high[node]
        first, last = bisect_left(out, low), bisect_left(out, high)
        if not closed:
            whole: int = high - low - last + first
            return whole
        count: int = high - low - sum(row[high] - row[low] for bit, row in enumerate(self._before) if closed >> bit & 1)
        return count - sum(1 for leaf in out[first:last] if not self._is_closed(leaf, closed))

    def is_open(self, leaf: int, closed: int, out: Leaves) -> bool:
        """Whether the tag of `leaf` may still come."""
        if closed and self._is_closed(leaf, closed):
            return False
        position = bisect_left(out, leaf)
        return position == len(out) or out[position] != leaf

    def edges(self, node: int, closed: int, out: Leaves) -> Int32:
        """The open edges from `node`, ascending."""
        first, last = self._first[node], self._first[node + 1]
        live = self._live(first, last, closed)
        for child in self._exhausted(node, closed, out):
            live[child - 1 - first] = False
        return (np.flatnonzero(live) + first).astype(np.int32)

    def mask(self, node: int, closed: int, out: Leaves, separator: int | None, scratch: Scratch) -> Words:
        """The tokens of the open edges, and the `separator` if there is one, as a packed mask: a stored one, or `scratch`."""
        first, last = self._first[node], self._first[node + 1]
        if last - first > FEW:
            stored = self._stored(node, first, last, closed, separator)
            exhausted = self._exhausted(node, closed, out) if out else None
            return scratch.copy_without(stored, (self._token[child - 1] for child in exhausted)) if exhausted else stored
        at = bisect_left(out, self._low[node])
        if (at < len(out) and out[at] < self._high[node]) or (closed and last - first <= FEW_CALLS):
            tokens = [self._token[edge] for edge in range(first, last) if self.open_leaves(edge + 1, closed, out)]
        elif closed and first < last:
            tokens = self._trie.edge_token[first:last][self._live(first, last, closed)].tolist()
        else:
            tokens = self._token[first:last].tolist()
        if separator is not None:
            tokens.append(separator)
        return scratch.write(tokens)

    def child(self, node: int, token: int) -> int:
        """The node that `token` leads to from `node`; one must."""
        first = self._first[node]
        last = self._first[node + 1]
        edge = bisect_left(self._token, token, first, last)
        assert edge < last, f"token {token} leads to no tag"
        assert self._token[edge] == token, f"token {token} leads to no tag"
        return edge + 1

    def ending(self, node: int) -> int:
        """The leaf of the tag that ends at `node`, -1 if none does."""
        return int(self._low[node]) if self._ends[node] else -1

    def child_with(self, node: int, leaf: int) -> int:
        """The child of `node` that `leaf`, below it, belongs to; `node` itself where the leaf's tag ends there."""
        first, last = self._first[node], self._first[node + 1]
        child = bisect_right(self._low, leaf, first + 1, last + 1) - 1
        return child if child > first else node

    def _exhausted(self, node: int, closed: int, out: Leaves) -> list[int]:
        """The children that would be open but for `out`."""
        found = []
        at, last, node_end = bisect_left(out, self._low[node]), bisect_left(out, self._high[node]), self._first[node + 1]
        while at < last:
            child = self.child_with(node, out[at])
            if child == node:
                at += 1
                continue
            assert child <= node_end, "a leaf below no child"
            if not self.open_leaves(child, closed, out):
                found.append(child)
            at = bisect_left(out, self._high[child], at + 1)
        return found

    def _is_closed(self, leaf: int, closed: int) -> bool:
        kind = self._class[leaf]
        return kind >= 0 and bool(closed >> kind & 1)

    def _stored(self, node: int, first: int, last: int, closed: int, separator: int | None) -> Words:
        key = node, closed, separator
        if (known := self._masks.get(key)) is not None:
            return known
        tokens = self._trie.edge_token[first:last][self._live(first, last, closed)]
        mask = self._masks[key] = packed(tokens if separator is None else np.append(tokens, separator), self._size)
        mask.setflags(write=False)
        if len(self._masks) > KEPT_MASKS:
            self._masks.popitem(last=False)
        return mask

    def _live(self, first: int, last: int, closed: int) -> NDArray[np.bool_]:
        """(last - first,) which of the edges lead to a tag of a class that is open."""
        low, high = self._trie.leaf_start[first + 1 : last + 1], self._trie.leaf_end[first + 1 : last + 1]
        count = high - low
        for bit, row in enumerate(self.ruled.class_before):
            if closed >> bit & 1:
                count = count - (row[high] - row[low])
        found: NDArray[np.bool_] = count > 0
        return found
