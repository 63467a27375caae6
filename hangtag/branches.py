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

from hangtag.explanation import packed
from hangtag.ruled import RuledTags
from hangtag.trie import Int32

FEW = 32
"""Up to so many children are looked at one by one; of nodes with more, packed masks are kept."""
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
        self._class = ruled.leaf_class.data
        self._before = [row.data for row in ruled.class_before]
        self._masks: OrderedDict[tuple[int, int], NDArray[np.uint32]] = OrderedDict()

    def open_leaves(self, node: int, closed: int, out: Leaves) -> int:
        """How many tags below `node` may still come."""
        low, high = self._low[node], self._high[node]
        first, last = bisect_left(out, low), bisect_left(out, high)
        if not closed:
            return high - low - (last - first)
        count = high - low - sum(row[high] - row[low] for bit, row in enumerate(self._before) if closed >> bit & 1)
        return count - sum(1 for leaf in out[first:last] if not self._is_closed(leaf, closed))

    def is_open(self, leaf: int, closed: int, out: Leaves) -> bool:
        """Whether the tag of `leaf` may still come."""
        position = bisect_left(out, leaf)
        return not (self._is_closed(leaf, closed) or out[position : position + 1] == (leaf,))

    def edges(self, node: int, closed: int, out: Leaves) -> Int32:
        """The open edges from `node`, ascending."""
        first, last = self._first[node], self._first[node + 1]
        live = self._live(first, last, closed)
        for child in self._exhausted(node, closed, out):
            live[child - 1 - first] = False
        return (np.flatnonzero(live) + first).astype(np.int32)

    def fill(self, node: int, closed: int, out: Leaves, words: NDArray[np.uint32]) -> None:
        """Write the tokens of the open edges into a packed mask, (ceil(tokens / 32),), which is overwritten."""
        first, last = self._first[node], self._first[node + 1]
        if last - first > FEW:
            np.copyto(words, self._mask(node, first, last, closed))
            for child in self._exhausted(node, closed, out):
                token = self._token[child - 1]
                words[token >> 5] &= ~np.uint32(1 << (token & 31))
            return
        words.fill(0)
        view, token_of = words.data, self._token
        if closed or bisect_left(out, self._low[node]) < bisect_left(out, self._high[node]):
            for edge in range(first, last):
                if self.open_leaves(edge + 1, closed, out):
                    token = token_of[edge]
                    view[token >> 5] |= 1 << (token & 31)
        else:
            for edge in range(first, last):
                token = token_of[edge]
                view[token >> 5] |= 1 << (token & 31)

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

    def _mask(self, node: int, first: int, last: int, closed: int) -> NDArray[np.uint32]:
        if (known := self._masks.get((node, closed))) is not None:
            return known
        live = self._live(first, last, closed)
        mask = self._masks[node, closed] = packed(self._trie.edge_token[first:last][live], self._size)
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
