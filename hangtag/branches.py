"""`Branches`: which tokens lead from a node of the trie to a tag that may still come. It knows the tags under rules; it knows
nothing of what an answer has besides tags.

What may no longer come is given as `closed`, the classes that are closed, as bits, and `out`, the leaves that stand already or
that others rule out, ascending.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hangtag.masks import Scratch, SparseMask, Words, packed
from hangtag.ruled import RuledTags
from hangtag.trie import ROOT, Int32

FEW = 32
"""Up to so many children are looked at one by one; of nodes with more, packed masks are kept."""
FEW_BITS = 6
"""Up to so many bits are fastest set one by one."""
KEPT_MASKS, KEPT_SPARSE_MASKS = 256, 4096

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
        self._keys: NDArray[np.int64] | None = None
        self._last_closed: tuple[int, list[memoryview]] = 0, []
        self._masks: OrderedDict[tuple[int, int, int | None], Words] = OrderedDict()
        self._sparse_masks: OrderedDict[tuple[int, int, int | None], SparseMask] = OrderedDict()

    def open_leaves(self, node: int, closed: int, out: Leaves) -> int:
        """How many tags below `node` may still come."""
        low, high = self._low[node], self._high[node]
        count: int = high - low
        for row in self._closed_before(closed) if closed else ():
            count -= row[high] - row[low]
        at = bisect_left(out, low)
        while at < len(out) and out[at] < high:
            count -= not (closed and self._is_closed(out[at], closed))
            at += 1
        return count

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
        """The tokens of the open edges as a packed mask, a stored one or `scratch`; and the `separator`, at inner nodes only
        where a tag that may come ends."""
        first, last = self._first[node], self._first[node + 1]
        if node != ROOT:
            if not self._ends[node]:
                if last - first == 1:  # no other way would have led here
                    return scratch.write_one(self._token[first])
                separator = None
            elif not self.is_open(self._low[node], closed, out):
                separator = None
        gone = [self._token[child - 1] for child in self._exhausted(node, closed, out)] if out else []
        if last - first > FEW:
            stored = self._stored(node, first, last, closed, separator)
            return scratch.copy_without(stored, gone) if gone else stored
        if last - first > FEW_BITS:
            return scratch.write_without(self._sparse(node, first, last, closed, separator), gone)
        tokens = self._token[first:last].tolist()
        if closed or gone:
            tokens = [token for edge, token in enumerate(tokens, first) if self.open_leaves(edge + 1, closed, out)]
        if separator is not None:
            tokens.append(separator)
        return scratch.write(tokens)

    def child(self, node: int, token: int) -> int:
        """The node that `token` leads to from `node`; one must."""
        first, last = self._first[node], self._first[node + 1]
        edge = first if last - first == 1 else bisect_left(self._token, token, first, last)
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

    def ways(self, leaves: Sequence[int]) -> tuple[Int32, Int32, NDArray[np.intp]]:
        """The nodes on the ways to `leaves`, which ascend: (W,) nodes, ascending, those that they branch off from, and the
        position of the leaf whose way it is. A node that many ways lead through stands once for each."""
        trie = self._trie
        if self._keys is None:
            self._keys = trie.depths() * np.int64(len(trie)) + trie.leaf_start  # nodes go by depth, then by their first leaf
        depths = np.arange(int(self._keys[-1]) // len(trie) + 1)[:, None] * np.int64(len(trie))
        nodes = np.searchsorted(self._keys, depths + leaves, side="right") - 1
        leads = (self._keys[nodes] >= depths) & (trie.leaf_end[nodes] > leaves)
        at, position = leads[1:].nonzero()
        return nodes[at + 1, position].astype(np.int32), nodes[at, position].astype(np.int32), position

    def _exhausted(self, node: int, closed: int, out: Leaves) -> list[int]:
        """The children that would be open but for `out`."""
        found = []
        at, last = bisect_left(out, self._low[node]), bisect_left(out, self._high[node])
        before = self._closed_before(closed) if at < last else ()
        while at < last:
            child = self.child_with(node, out[at])
            at += 1
            if child != node:
                low, high = self._low[child], self._high[child]
                count = high - low
                for row in before:
                    count -= row[high] - row[low]
                if count <= last and not self.open_leaves(child, closed, out):
                    found.append(child)
                while at < last and out[at] < high:
                    at += 1
        return found

    def _closed_before(self, closed: int) -> list[memoryview]:
        """Rows of `class_before`, of the classes that are closed. The last ones are remembered: they seldom change."""
        known, rows = self._last_closed
        if known != closed:
            rows = [row for bit, row in enumerate(self._before) if closed >> bit & 1]
            self._last_closed = closed, rows
        return rows

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

    def _sparse(self, node: int, first: int, last: int, closed: int, separator: int | None) -> SparseMask:
        """`_stored` for nodes of few children."""
        key = node, closed, separator
        if (known := self._sparse_masks.get(key)) is not None:
            return known
        tokens = self._trie.edge_token[first:last][self._live(first, last, closed)]
        mask = self._sparse_masks[key] = SparseMask.of(tokens if separator is None else np.append(tokens, separator))
        if len(self._sparse_masks) > KEPT_SPARSE_MASKS:
            self._sparse_masks.popitem(last=False)
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
