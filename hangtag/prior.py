"""`TagPrior`: what is known about the tags before the model is asked, as a sparse log-weight. It knows no trie and no text.

Weights are in nats, added to the log-probability of a tag; tags that are not named have weight 0. Evidence from several
sources (words of the listing, a user's interests, similar listings) adds up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hangtag.errors import InvalidRules

MOST_NATS = 10_000
"""More than any probability needs, and still exact enough in 32 bits."""


@dataclass(frozen=True, slots=True)
class TagPrior:
    """`weights`: index of a tag in its vocabulary -> log-weight. Raises `InvalidRules` for a weight that is no number
    or beyond MOST_NATS."""

    weights: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for tag, weight in self.weights.items():
            if not abs(weight) <= MOST_NATS:
                raise InvalidRules(
                    f"the prior gives tag {tag} the weight {weight}; weights are numbers between -{MOST_NATS} and {MOST_NATS}",
                    field="prior",
                )

    def __add__(self, other: TagPrior) -> TagPrior:
        tags = {**self.weights, **other.weights}
        return TagPrior({tag: self.weights.get(tag, 0.0) + other.weights.get(tag, 0.0) for tag in tags})

    def within(self, left: NDArray[np.bool_]) -> TagPrior:
        """The weights of the tags that `left`, (tags of the vocabulary,), is true for."""
        return TagPrior({tag: weight for tag, weight in self.weights.items() if left[tag]})

    def scaled(self, factor: float) -> TagPrior:
        """Every weight times `factor`."""
        return TagPrior({tag: weight * factor for tag, weight in self.weights.items()})
