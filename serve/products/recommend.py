"""Products for a user's interests, products like another, and the tags around a product. It knows the index of products and what
ranks; where interests come from, and words, are others' business.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from serve.products.index import Found, ProductIndex, TaggedProduct
from serve.ranking import cosines, diversified, importance

POOL = 200
"""Products from which a list is chosen: what stands further down is never diverse enough to be worth it."""

MOST_REASONS = 3
MOST_INTERESTS = 64
"""Tags, the strongest, for and against: bounds the time for users with a long history."""

NEIGHBOURS = 50
"""Similar products that say which tags go with one."""


FacetWeight = Callable[[str], float]
"""What tags of the facet of a tag (by id) count; not negative."""


def all_alike(tag: str) -> float:
    """Facets that all count the same."""
    return 1.0


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A product, how well it suits (larger is better; comparable within a list), and the tags that speak for it, the strongest
    first; none where it is only popular."""

    product: TaggedProduct
    score: float
    reasons: tuple[str, ...] = ()


def recommend(
    index: ProductIndex,
    interests: Mapping[str, float],
    count: int,
    *,
    diversity: float = 0.0,
    without: Collection[str] = (),
    in_stock: bool = True,
    facet_weight: FacetWeight = all_alike,
) -> list[Recommendation]:
    """The `count` products that suit the interests (weights by tag id, for and against) best, none of `without`, the best first.
    A tag counts by its importance (weight, rarity, facet); a product's sum is divided by the root of how many tags it has, so
    that a long list of tags is no advantage. `diversity` in 0..1, see `serve.ranking.diversified`."""
    strongest = sorted(interests.items(), key=lambda pair: (-abs(pair[1]), pair[0]))[:MOST_INTERESTS]
    weights = {tag: importance(weight, index.rarity(tag), facet_weight(tag)) for tag, weight in strongest}
    found = index.search(weights, max(POOL, count), without=without, in_stock=in_stock)
    return _chosen(index, [each.product for each in found], weights, count, diversity)


def similar(
    index: ProductIndex,
    product: TaggedProduct,
    count: int,
    *,
    diversity: float = 0.0,
    facet_weight: FacetWeight = all_alike,
) -> list[Recommendation]:
    """The `count` products in stock whose tags are most like the product's, the best first; itself not among them."""
    weights = {tag: importance(1.0, index.rarity(tag), facet_weight(tag)) for tag in product.tags}
    found = index.search(weights, max(POOL, count), without=[product.id], in_stock=True)
    return _chosen(index, [each.product for each in found], weights, count, diversity)


def tags_around(index: ProductIndex, product: TaggedProduct) -> dict[str, float]:
    """What share of the NEIGHBOURS most similar products have each tag, each counting as it is alike."""
    weights = {tag: index.rarity(tag) for tag in product.tags}
    found = index.search(weights, POOL, without=[product.id])
    ranked = sorted(found, key=lambda each: -_normed(each))[:NEIGHBOURS]
    total = sum(map(_normed, ranked))
    around: defaultdict[str, float] = defaultdict(float)
    for each in ranked:
        for tag in each.product.tags:
            around[tag] += _normed(each) / total
    return dict(around)


def _normed(found: Found) -> float:
    return found.score / math.sqrt(max(1, len(found.product.tags)))


def _chosen(
    index: ProductIndex, products: Sequence[TaggedProduct], weights: Mapping[str, float], count: int, diversity: float
) -> list[Recommendation]:
    scores = np.array([sum(weights.get(tag, 0.0) for tag in each.tags) / math.sqrt(max(1, len(each.tags))) for each in products])
    liked = [place for place in np.argsort(-scores, kind="stable").tolist() if scores[place] > 0]
    products, scores = [products[place] for place in liked], scores[liked]
    if diversity > 0:
        names = {tag: number for number, tag in enumerate(dict.fromkeys(tag for each in products for tag in each.tags))}
        alike = cosines([[names[tag] for tag in each.tags] for each in products], [index.rarity(tag) for tag in names])
        order = diversified(scores, alike, count, diversity)
    else:
        order = list(range(min(count, len(products))))
    return [Recommendation(products[place], float(scores[place]), _reasons(products[place], weights)) for place in order]


def _reasons(product: TaggedProduct, weights: Mapping[str, float]) -> tuple[str, ...]:
    speaking = [tag for tag in product.tags if weights.get(tag, 0.0) > 0]
    return tuple(sorted(speaking, key=lambda tag: (-weights[tag], tag))[:MOST_REASONS])
