"""`Forest`: the vocabularies of a batch as tables on a device, one behind the other, with their packed masks. It knows tries
under rules, and neither rows nor what has been generated.

Several vocabularies, languages and sets of rules can be in one batch. Numbers of nodes and leaves stay those of their own trie:
a row adds where its trie begins (`Planted`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hangtag.branches import FEW, Branches
from hangtag.explanation import ExplanationGrammar
from hangtag.masks import packed
from hangtag.rules import MOST_TAGS
from hangtag.trie import TokenTrie

TOKEN, LOW, HIGH, FIRST_CHILD, DEGREE, DENSE, ENDS, NODE_COLUMNS = range(8)
CLASS, OUT_FIRST, OUT_COUNT, LEAF_COLUMNS = range(4)
NOTHING, ONLY_THE_END, EVERYTHING, TEXTS = range(4)
"""The first of the stored masks, and where those of explanations begin."""
FILLED_FIRST, FILLED_COUNT, FILLED_COLUMNS = range(3)
FILLED_SHARE = 1 / 8
CLASSES_A_MASK = 2
"""Classes whose every combination has a mask of its own; more classes are more masks, joined."""
NO_KEY = torch.iinfo(torch.int64).max
KEY_SHIFT = 32


@dataclass(slots=True, eq=False)
class Planted:
    """Where the tables of one trie begin; `mask_groups` masks belong to a dense node, `mask_stride`
    combinations each. `ruled_out_counts` are how many leaves those rule out that rule out most, descending."""

    branches: Branches
    node: int
    leaf: int
    ruled_out: int
    before: int
    mask: int
    mask_groups: int
    mask_stride: int
    ruled_out_counts: list[int]
    users: int = 0

    @property
    def most_ruled_out(self) -> int:
        """The most leaves that a leaf rules out."""
        return self.ruled_out_counts[0]


class Growing:
    """A tensor whose first axis grows; what lies behind `length` is `blank`."""

    def __init__(self, columns: tuple[int, ...], dtype: torch.dtype, blank: int, device: torch.device) -> None:
        self.data = torch.full((1, *columns), blank, dtype=dtype, device=device)
        self.length, self._blank = 0, blank

    def append(self, values: NDArray[np.generic]) -> int:
        """Add rows; returns where they begin."""
        begin, self.length = self.length, self.length + len(values)
        if self.length > len(self.data):
            larger = self.data.new_full((2 * self.length, *self.data.shape[1:]), self._blank)
            larger[:begin] = self.data[:begin]
            self.data = larger
        self.data[begin : self.length] = torch.from_numpy(values).to(self.data.device, self.data.dtype)
        return begin


class Forest:
    """Tables of all tries that rows use.

    nodes: (N, NODE_COLUMNS) int32; `DENSE` numbers the trie's nodes with more than FEW children, -1 for others
    token_keys: (N,) int64, parent << 32 | token, ascending; leaf_keys: parent << 32 | first leaf, ascending
    leaves: (L, LEAF_COLUMNS) int32; ruled_out: flat leaves
    before: flat `class_before` of all classes
    masks: (rows, words) int32: nothing, the end, everything, those of explanations, then those of dense nodes
    filled: (rows, FILLED_COLUMNS) int32, where in `filled_words` those words of a mask begin in which there are bits, and how
        many they are; -1 for more than a FILLED_SHARE of its words
    """

    def __init__(self, grammar: ExplanationGrammar, words: int, device: torch.device) -> None:
        self._grammar, self._words, self._device = grammar, words, device
        self.version = 0
        """Changes when the tables moved, and every row has to look up anew where its trie begins."""
        self._planted: dict[int, Planted] = {}
        self._clear()

    def plant(self, branches: Branches) -> Planted:
        """The place of a trie, in use once more. Not to be called within a step."""
        planted = self._planted.get(id(branches))
        if planted is None:
            self._clear_up()
            planted = self._planted[id(branches)] = self._append(branches)
        planted.users += 1
        return planted

    def release(self, planted: Planted) -> None:
        """One row less uses the trie; its place is kept until another trie needs room."""
        planted.users -= 1

    def text_masks(self, text: Tensor, left: Tensor, may_open: Tensor) -> Tensor:
        """(n,) rows of `masks` for (n,) int64 states of the explanation's automaton; `left` is longest_way_out + 1 at most."""
        return TEXTS + (text * (self._grammar.longest_way_out + 2) + left) * 2 + may_open

    def _clear(self) -> None:
        device = self._device
        self.nodes = Growing((NODE_COLUMNS,), torch.int32, 0, device)
        self.token_keys, self.leaf_keys = (Growing((), torch.int64, NO_KEY, device) for _ in range(2))
        self.leaves = Growing((LEAF_COLUMNS,), torch.int32, 0, device)
        self.ruled_out, self.before = (Growing((), torch.int32, 0, device) for _ in range(2))
        self.masks = Growing((self._words,), torch.int32, 0, device)
        self.filled, self.filled_words = Growing((FILLED_COLUMNS,), torch.int32, 0, device), Growing((), torch.int32, 0, device)
        grammar, size = self._grammar, len(self._grammar.written)
        fixed = [packed(np.empty(0, np.int32), size), packed(np.array([grammar.eos_id], np.int32), size)]
        texts = grammar.masks.reshape(-1, grammar.masks.shape[-1])
        everything = np.full((1, self._words), -1, np.int32)
        self._store(np.concatenate([self._widened(np.stack(fixed)), everything, self._widened(texts)]))

    def _clear_up(self) -> None:
        """Plant the tries in use anew where more than half of the nodes belong to others."""
        used = sum(len(p.branches.ruled.trie.ends) for p in self._planted.values() if p.users)
        if used * 2 >= self.nodes.length:
            return
        kept = [planted for planted in self._planted.values() if planted.users]
        self._clear()
        self._planted = {}
        for planted in kept:
            anew = self._append(planted.branches)
            planted.node, planted.leaf, planted.ruled_out = anew.node, anew.leaf, anew.ruled_out
            planted.before, planted.mask = anew.before, anew.mask
            self._planted[id(planted.branches)] = planted
        self.version += 1

    def _append(self, branches: Branches) -> Planted:
        ruled, trie = branches.ruled, branches.ruled.trie
        degree = np.diff(trie.first_edge)
        nodes = np.zeros((len(trie.ends), NODE_COLUMNS), np.int32)
        nodes[1:, TOKEN] = trie.edge_token
        nodes[:, LOW], nodes[:, HIGH], nodes[:, ENDS] = trie.leaf_start, trie.leaf_end, trie.ends
        nodes[:, FIRST_CHILD], nodes[:, DEGREE], nodes[:, DENSE] = trie.first_edge[:-1] + 1, degree, -1
        dense = np.flatnonzero(degree > FEW)
        nodes[dense, DENSE] = np.arange(len(dense))
        leaves = np.zeros((len(trie), LEAF_COLUMNS), np.int32)
        leaves[:, CLASS], leaves[:, OUT_FIRST] = ruled.leaf_class, ruled.ruled_out_start[:-1]
        leaves[:, OUT_COUNT] = np.diff(ruled.ruled_out_start)
        node = self.nodes.append(nodes)
        self.token_keys.append(_keys(trie, trie.edge_token, node))
        self.leaf_keys.append(_keys(trie, trie.leaf_start[1:], node))
        masks, groups, stride = self._dense_masks(branches, dense)
        return Planted(
            branches=branches,
            node=node,
            leaf=self.leaves.append(leaves),
            ruled_out=self.ruled_out.append(ruled.ruled_out),
            before=self.before.append(ruled.class_before.reshape(-1)),
            mask=self._store(masks),
            mask_groups=groups,
            mask_stride=stride,
            ruled_out_counts=np.sort(np.diff(ruled.ruled_out_start))[::-1][:MOST_TAGS].tolist(),
        )

    def _dense_masks(self, branches: Branches, dense: NDArray[np.intp]) -> tuple[NDArray[np.int32], int, int]:
        """(nodes x groups x combinations, words): for each group of classes and each combination of open ones, the tokens that
        lead to a tag of an open class; classes that never close are in the first group."""
        ruled, trie = branches.ruled, branches.ruled.trie
        classes = len(ruled.class_limit)
        groups, stride = max(1, -(-classes // CLASSES_A_MASK)), 1 << min(classes, CLASSES_A_MASK)
        masks = np.zeros((len(dense), groups, stride, self._words), np.uint32)
        never = np.concatenate([[0], np.cumsum(ruled.leaf_class < 0)])
        for position, node in enumerate(dense):
            edges = slice(trie.first_edge[node], trie.first_edge[node + 1])
            low, high = trie.leaf_start[1:][edges], trie.leaf_end[1:][edges]
            for group in range(groups):
                some = (never[high] > never[low]) if group == 0 else np.zeros(len(low), np.bool_)
                for combination in range(stride):
                    live = some.copy()
                    for bit, row in enumerate(ruled.class_before[group * CLASSES_A_MASK : (group + 1) * CLASSES_A_MASK]):
                        if combination >> bit & 1:
                            live |= row[high] > row[low]
                    tokens = trie.edge_token[edges][live]
                    masks[position, group, combination] = self._widened(packed(tokens, len(self._grammar.written)))
        return masks.reshape(-1, self._words).view(np.int32), groups, stride

    def _store(self, masks: NDArray[np.int32]) -> int:
        """Add masks; returns where they begin."""
        line, word = masks.nonzero()
        counts = np.bincount(line, minlength=len(masks))
        few = counts <= self._words * FILLED_SHARE
        first = self.filled_words.append(word[few[line]]) + np.cumsum(counts * few) - counts * few
        self.filled.append(np.stack([first, np.where(few, counts, -1)], axis=1))
        return self.masks.append(masks)

    def _widened(self, masks: NDArray[np.uint32]) -> NDArray[np.int32]:
        wide = np.zeros((*masks.shape[:-1], self._words), np.uint32)
        wide[..., : masks.shape[-1]] = masks
        return wide.view(np.int32)


def _keys(trie: TokenTrie, second: NDArray[np.int32], base: int) -> NDArray[np.int64]:
    """(N,) parent << 32 | second, of the whole forest; the root's own key stands before those of its children."""
    parents = np.repeat(np.arange(len(trie.ends), dtype=np.int64), np.diff(trie.first_edge)) + base
    return np.concatenate([[(base << KEY_SHIFT) - 1], parents << KEY_SHIFT | second])
