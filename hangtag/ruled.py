"""`RuledTags`: what rules leave of a vocabulary, over the leaves of a trie: which tags there are, and which of them can stand
together. It knows no tokens that come next, and no text.

Tags fall into classes that close together: those of a limited facet once it is full, and the ones that have to wait. A tag
waits where it could make `min_tags` unreachable: a set of tags that can all stand together is found (greedily, those first
that rule out fewest others), and a tag that takes more than one place from it comes only when one more tag is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hangtag.errors import InvalidRules
from hangtag.rules import AnswerRules
from hangtag.trie import Int32, TokenTrie

MOST_CLASSES = 62
"""Which classes are closed is kept in the bits of a signed integer of 64, beside the batch."""


@dataclass(frozen=True, eq=False)
class RuledTags:
    """L leaves, K classes.

    trie: the tags that are left, leaves numbered anew
    limits: the most tags of each limited facet
    leaf_class: (L,) int16, the class of a leaf, -1 if it never closes
    class_limit: for each class its position in `limits`, -1 for none
    class_waits: for each class whether it is closed until `waiting` tags stand
    class_before: (K, L + 1) int32, how many of the leaves before one are of a class
    ruled_out_start, ruled_out: (L + 1,) and flat; the leaves that a leaf rules out, ascending
    """

    trie: TokenTrie
    limits: tuple[int, ...]
    leaf_class: NDArray[np.int16]
    class_limit: tuple[int, ...]
    class_waits: tuple[bool, ...]
    class_before: Int32
    ruled_out_start: Int32
    ruled_out: Int32
    waiting: int

    @classmethod
    def make(cls, trie: TokenTrie, facets: Sequence[str], tag_facet: Int32, tag_parent: Int32, rules: AnswerRules) -> RuledTags:
        """Raises `InvalidRules` where the rules contradict each other or leave fewer tags than `min_tags`."""
        rules.check_against(len(trie))
        limited = _limited_facets(facets, rules)
        trie = _left(trie, tag_facet, limited, rules)
        limits = [(facet, limit) for facet, limit in limited if limit > 0]
        facet_limit = np.full(len(facets) + 1, -1, np.int16)  # the last is for tags without a facet
        for position, (facet, _) in enumerate(limits):
            facet_limit[facet] = position
        leaf_limit = facet_limit[tag_facet[trie.leaf_tag]]
        starts, ruled_out = _ruled_out(trie, tag_parent, rules)
        sizes = [limit for _, limit in limits]
        waits = _waiting(leaf_limit, sizes, starts, ruled_out, rules.min_tags)
        kinds = sorted({(int(limit), bool(wait)) for limit, wait in zip(leaf_limit, waits, strict=True)} - {(-1, False)})
        if len(kinds) > MOST_CLASSES:
            raise InvalidRules(
                f"limits of so many facets make {len(kinds)} classes of tags, at most {MOST_CLASSES} are possible; limit fewer",
                field="facet_limits",
            )
        leaf_class = np.full(len(trie), -1, np.int16)
        for position, (limit, wait) in enumerate(kinds):
            leaf_class[(leaf_limit == limit) & (waits == wait)] = position
        before = np.zeros((len(kinds), len(trie) + 1), np.int32)
        for position in range(len(kinds)):
            before[position, 1:] = np.cumsum(leaf_class == position)
        return cls(
            trie=trie,
            limits=tuple(sizes),
            leaf_class=leaf_class,
            class_limit=tuple(limit for limit, _ in kinds),
            class_waits=tuple(wait for _, wait in kinds),
            class_before=before,
            ruled_out_start=starts,
            ruled_out=ruled_out,
            waiting=rules.min_tags - 1 if waits.any() else 0,
        )

    @property
    def room(self) -> int:
        """As many tags as the limits of the facets leave room for; those that exclude each other may leave less."""
        counts = [0] * len(self.limits)
        for limit, before in zip(self.class_limit, self.class_before, strict=True):
            if limit >= 0:
                counts[limit] += int(before[-1])
        return len(self.trie) - sum(counts) + sum(map(min, counts, self.limits))

    def most_tokens(self, rules: AnswerRules) -> int:
        """The most tokens that an answer within `rules` can have, to its end."""
        _, lengths = self._longest_first
        return int(lengths[: rules.max_tags].sum()) + _beside_labels(rules)

    def too_long(self, rules: AnswerRules, tokens: int) -> frozenset[int]:
        """The tags, by index, without which every answer has at most `tokens` tokens: as few as possible, the longest. Raises
        `InvalidRules` where `max_tags` of the shortest are too long already."""
        leaves, lengths = self._longest_first
        most = min(rules.max_tags, len(leaves))
        sums = np.concatenate([[0], np.cumsum(lengths)])
        fitting = np.flatnonzero(sums[most:] - sums[:-most] + _beside_labels(rules) <= tokens)
        if not len(fitting):
            raise InvalidRules(
                f"{rules.max_tags} tags of this vocabulary can't be written in {max(tokens, 0)} tokens, which is all that the"
                " model's context leaves; ask for fewer tags",
                field="max_tags",
            )
        return frozenset(self.trie.leaf_tag[leaves[: fitting[0]]].tolist())

    @cached_property
    def _longest_first(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The leaves and the lengths of their labels in tokens, both (L,)."""
        lengths = self.trie.lengths().astype(np.int64)
        leaves = np.argsort(-lengths, kind="stable")
        return leaves, lengths[leaves]

    def closed(self, counts: Sequence[int], standing: int) -> int:
        """The classes that are closed, as bits, when `counts` tags of each limited facet and `standing` tags in all stand."""
        bits = 0
        for position, (limit, waits) in enumerate(zip(self.class_limit, self.class_waits, strict=True)):
            if (limit >= 0 and counts[limit] >= self.limits[limit]) or (waits and standing < self.waiting):
                bits |= 1 << position
        return bits

    def rules_out(self, leaf: int) -> list[int]:
        """The leaves that can't come once `leaf` stands, itself not among them."""
        found: list[int] = self.ruled_out[self.ruled_out_start[leaf] : self.ruled_out_start[leaf + 1]].tolist()
        return found


def _beside_labels(rules: AnswerRules) -> int:
    """Tokens for a separator after each tag, the end of the tags, the explanation and the end."""
    return rules.max_tags + 2 + (rules.max_explanation_tokens if rules.explain else 0)


def _limited_facets(facets: Sequence[str], rules: AnswerRules) -> list[tuple[int, int]]:
    position = {facet: number for number, facet in enumerate(facets)}
    for facet in rules.facet_limits:
        if facet not in position:
            known = ", ".join(sorted(facets)) or "none"
            raise InvalidRules(f"facet_limits names the facet {facet!r}; the vocabulary has: {known}", field="facet_limits")
    return sorted((position[facet], limit) for facet, limit in rules.facet_limits.items())


def _left(trie: TokenTrie, tag_facet: Int32, limited: list[tuple[int, int]], rules: AnswerRules) -> TokenTrie:
    left = np.ones(len(trie), np.bool_)
    if rules.only is not None:
        left[:] = False
        left[list(rules.only)] = True
    left[list(rules.banned)] = False
    for facet, limit in limited:
        if limit == 0:
            left[tag_facet == facet] = False
    if not left.any():
        raise InvalidRules(
            "the rules leave no tag at all; ban fewer, or allow more", field="only" if rules.only is not None else "banned"
        )
    return trie if left.all() else trie.restricted(left[trie.leaf_tag])


def _ruled_out(trie: TokenTrie, tag_parent: Int32, rules: AnswerRules) -> tuple[Int32, Int32]:
    """Pairs of leaves that exclude each other, both ways, as starts and a flat list."""
    pairs: list[NDArray[np.int64]] = [np.empty((0, 2), np.int64)]
    for group in rules.exclusions:
        leaves = trie.tag_leaf[sorted(group)]
        leaves = leaves[leaves >= 0]
        one, other = np.meshgrid(leaves, leaves)
        pairs.append(np.stack([one[one != other], other[one != other]], axis=1).astype(np.int64))
    if rules.parent_or_child:
        parent = tag_parent[trie.leaf_tag]
        above = np.where(parent >= 0, trie.tag_leaf[parent], -1)
        child = np.flatnonzero(above >= 0)
        pairs += [np.stack([child, above[child]], axis=1), np.stack([above[child], child], axis=1)]
    found = np.unique(np.concatenate(pairs), axis=0)
    starts = np.searchsorted(found[:, 0], np.arange(len(trie) + 1)).astype(np.int32)
    return starts, found[:, 1].astype(np.int32)


def _waiting(
    leaf_limit: NDArray[np.int16], limits: Sequence[int], starts: Int32, ruled_out: Int32, least: int
) -> NDArray[np.bool_]:
    """(L,) which leaves have to wait. Raises `InvalidRules` where fewer than `least` can stand together."""
    counts = [int((leaf_limit == position).sum()) for position in range(len(limits))]
    free = int((leaf_limit < 0).sum())
    waits = np.zeros(len(leaf_limit), np.bool_)
    if not len(ruled_out) or least < 2:
        if (most := free + sum(map(min, counts, limits))) < least:
            raise InvalidRules(f"min_tags is {least}, but the rules leave room for only {most}", field="min_tags")
        return waits
    together = _together(leaf_limit, limits, starts, ruled_out)
    if len(together) < least:
        raise InvalidRules(
            f"min_tags is {least}, but of what the rules leave only {len(together)} tags were found that can stand together",
            field="min_tags",
        )
    among = np.zeros(len(leaf_limit), np.int64)
    among[together] = 1
    lost = np.add.reduceat(np.append(among[ruled_out], 0), starts[:-1]) * (np.diff(starts) > 0) + (leaf_limit >= 0)
    lost = np.maximum(lost, 1)
    return lost > 1 if len(together) < least * int(lost.max()) else waits


def _together(leaf_limit: NDArray[np.int16], limits: Sequence[int], starts: Int32, ruled_out: Int32) -> list[int]:
    """Leaves that can all stand together: as many as picking those first that rule out fewest finds."""
    room, out, found = list(limits), np.zeros(len(leaf_limit), np.bool_), []
    for leaf in np.argsort(np.diff(starts), kind="stable").tolist():
        limit = int(leaf_limit[leaf])
        if out[leaf] or (limit >= 0 and room[limit] == 0):
            continue
        found.append(leaf)
        out[ruled_out[starts[leaf] : starts[leaf + 1]]] = True
        if limit >= 0:
            room[limit] -= 1
    return found
