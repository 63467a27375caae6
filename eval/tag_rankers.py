"""Systems that foretell a user's tags of an item: what is served, and what it has to beat (Kowald et al., "Long time no see: the
probability of reusing tags as a function of frequency and recency", 2014). They know posts, no metric.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from eval.taggings import Post
from hangtag.decay import HOUR, DecayedSums, power_law
from hangtag.history import microseconds
from serve.products import ProductIndex, TaggedProduct, tags_around
from serve.ranking import shares, tag_scores

HALF = 0.5

Scores = Mapping[int, float]
"""Tags by number."""


class Known:
    """What was known before: posts, counted."""

    def __init__(self, posts: Sequence[Post]) -> None:
        self.names: dict[str, int] = {}
        for post in posts:
            for tag in post.tags:
                self.names.setdefault(tag, len(self.names))
        self.all: Counter[int] = Counter()
        self.of_item: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self.of_user: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._events: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for post in posts:
            for tag in post.tags:
                number = self.names[tag]
                self.all[number] += 1
                self.of_item[post.item][number] += 1
                self.of_user[post.user][number] += 1
                self._events[post.user].append((number, microseconds(post.at)))
        self._sums: dict[str, DecayedSums] = {}
        self.index = ProductIndex()
        labels = list(self.names)
        self.index.put(TaggedProduct(item, tuple(labels[tag] for tag in tags)) for item, tags in self.of_item.items())

    def activation(self, post: Post) -> Scores:
        """The user's tags by base-level activation at the time of the post, exactly."""
        rows, times = self._columns(post.user)
        activation: defaultdict[int, float] = defaultdict(float)
        for row, value in zip(rows.tolist(), power_law((microseconds(post.at) - times) / HOUR).tolist(), strict=True):
            activation[row] += value
        return activation

    def incremental(self, post: Post) -> Scores:
        """The same as serving has it: in sums that are carried forward."""
        rows, times = self._columns(post.user)
        own, place = np.unique(rows, return_inverse=True)
        sums = DecayedSums.empty().add(place, np.ones(len(place)), times, size=len(own))
        return dict(zip(own.tolist(), sums.values(microseconds(post.at)).tolist(), strict=True))

    def around(self, item: str) -> Scores:
        """The tags of similar items."""
        product = self.index.get(item)
        return {} if product is None else {self.names[tag]: share for tag, share in tags_around(self.index, product).items()}

    def _columns(
        self, user: str
    ) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
        events = np.array(self._events.get(user, []), dtype=np.int64).reshape(-1, 2)
        return events[:, 0], events[:, 1]


def rankers(known: Known) -> dict[str, Callable[[Post], Scores]]:
    """By name: hangtag's own; base-level activation with the item's tags (BLL+MP_r) and alone; the most popular tags of the user
    and the item (MP_u,r), of either (MP_r, MP_u), and of all."""

    def mixed(*parts: Scores) -> Scores:
        scores: defaultdict[int, float] = defaultdict(float)
        for part in parts:
            for tag, share in shares(part).items():
                scores[tag] += HALF * share
        return scores

    return {
        "hangtag": lambda post: tag_scores(known.incremental(post), known.of_item.get(post.item, {}), known.around(post.item)),
        "BLL+MP_r": lambda post: mixed(known.activation(post), known.of_item.get(post.item, {})),
        "BLL": known.activation,
        "MP_u,r": lambda post: mixed(known.of_user.get(post.user, {}), known.of_item.get(post.item, {})),
        "MP_r": lambda post: known.of_item.get(post.item, {}),
        "MP_u": lambda post: known.of_user.get(post.user, {}),
        "popularity": lambda post: known.all,
    }


def first_tags(scores: Scores, k: int) -> list[int]:
    """The k tags with the largest scores, best first; equal ones by number."""
    return [tag for tag, _ in sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:k]]


def decay_errors(known: Known, posts: Iterable[Post]) -> list[float]:
    """The relative error of every activation that sums carried forward have, at the posts' times."""
    errors: list[float] = []
    for post in posts:
        exact, carried = known.activation(post), known.incremental(post)
        errors += [abs(carried[tag] / value - 1) for tag, value in exact.items()]
    return errors
