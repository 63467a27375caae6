"""What comes first, and how much of the same: the importance of tags and products, and diversity. It knows numbers, no store, no
index and no language.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Floats = NDArray[np.float64]

USER, PRODUCT, AROUND = 0.45, 0.45, 0.1
"""What a user's own tags, those that others gave the product and those of similar products count for a user's tags of a product;
chosen on earlier posts than those that are reported (LOG.md)."""

UNRELATED = 0.01
"""What a tag counts beside a product if no similar product has it; a tag that all of them have counts 1."""

MOST_AROUND = 30
"""Tags of similar products that are suggested though neither the user nor the product has them."""


def importance(sureness: float, rarity: float = 1.0, facet_weight: float = 1.0) -> float:
    """How much a tag says: how sure it is, or how strong an interest, times how rare it is (inverse document frequency), times
    what the merchant gives for tags of its facet."""
    return sureness * rarity * facet_weight


def shares(weights: Mapping[int, float]) -> dict[int, float]:
    """The positive weights, scaled to a sum of 1."""
    positive = {key: weight for key, weight in weights.items() if weight > 0}
    total = sum(positive.values())
    return {key: weight / total for key, weight in positive.items()}


def tag_scores(interests: Mapping[int, float], given: Mapping[int, float], around: Mapping[int, float]) -> dict[int, float]:
    """How well tags suit a user and a product: `interests` are the weights of the user's tags, `given` how often each tag was
    given to the product, `around` the share of similar products that have it (0..1).

    BLL with most popular tags of the resource (Kowald et al. 2014: both scaled to a sum of 1 and added), where a user's tag
    counts the more, the more it goes with the product; the root keeps that from outweighing what the user prefers."""
    fitting = {tag: weight * (around.get(tag, 0.0) + UNRELATED) ** 0.5 for tag, weight in interests.items()}
    likely = dict(sorted(around.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_AROUND])
    scores: dict[int, float] = {}
    for part, weights in ((USER, fitting), (PRODUCT, given), (AROUND, likely)):
        for tag, share in shares(weights).items():
            scores[tag] = scores.get(tag, 0.0) + part * share
    return scores


def cosines(tags: Sequence[Sequence[int]], rarity: Sequence[float]) -> Floats:
    """(n, n): how alike products are by their tags, each counting by its rarity (by tag)."""
    sizes = [len(each) for each in tags]
    columns = np.array([tag for each in tags for tag in each], dtype=np.int64)
    values = np.asarray(rarity, dtype=np.float64)[columns]
    rows = csr_array((values, (np.repeat(np.arange(len(tags)), sizes), columns)), shape=(len(tags), len(rarity)))
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    alike: Floats = (rows @ rows.T).toarray() / np.maximum(np.outer(lengths, lengths), 1e-12)
    return alike


def diversified(relevance: Floats, alike: Floats, count: int, diversity: float) -> list[int]:
    """The places of `count` of n things, best first, by maximal marginal relevance (Carbonell & Goldstein 1998): again and again
    the one with the most (1 - diversity) * relevance - diversity * likeness to the most alike that is chosen. `relevance` (n,),
    scaled to at most 1; `alike` (n, n) in 0..1; `diversity` 0 is the order of relevance."""
    assert 0 <= diversity <= 1, "diversity is a share"
    worth = (1 - diversity) * relevance / max(float(relevance.max(initial=0.0)), 1e-12)
    nearest = np.zeros(len(relevance))
    left = np.ones(len(relevance), dtype=np.bool_)
    chosen: list[int] = []
    while len(chosen) < min(count, len(relevance)):
        marginal = np.where(left, worth - diversity * nearest, -np.inf)
        best = int(np.argmax(marginal))
        chosen.append(best)
        left[best] = False
        nearest = np.maximum(nearest, alike[best])
    return chosen


def intra_list_diversity(alike: Floats) -> float:
    """1 - the mean likeness of the pairs of a list, (k, k); 1 for fewer than two."""
    size = len(alike)
    if size < 2:
        return 1.0
    return float(1 - (alike.sum() - np.trace(alike)) / (size * (size - 1)))
