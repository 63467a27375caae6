"""What people would use instead: the rankings that hangtag is compared with, trained on the same training rows. They know
listings and indexes of tags, no metric but the one that picks their settings on held-out training rows.

Each file of `eval/baseline_*.py` holds one; this one holds what they share, popularity, and the table of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from eval.matrix import indicator
from eval.metrics import Floats, hits_of, ndcg, sizes_of
from eval.splits import draw
from hangtag.errors import InvalidInput
from hangtag.listing import Listing
from hangtag.vocabulary import TagVocabulary

HELD_OUT = 0.2
"""Share of the training rows that settings are picked on; the picked ones are then trained on all."""

LEAST_TO_PICK = 50
"""Training rows below which nothing is picked: the first setting is taken."""

MOST_TO_PICK_ON = 3000
"""Training rows that settings are tried on at most, so that picking takes no longer than training."""

ROWS_AT_A_TIME = 256
"""Listings that are ranked at a time: bounds memory."""

Tick = Callable[[float], None]
"""Called with the share that is done, 0..1."""

Setting = TypeVar("Setting")


@dataclass(frozen=True, slots=True)
class Ranking:
    """Tags by index, best first, and confidences in 0..1, descending; both (rows, k), no tag twice in a row."""

    tags: NDArray[np.int64]
    confidences: Floats


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """N listings with their tags, over a vocabulary of T tags that may have more."""

    listings: Sequence[Listing]
    gold: Sequence[Sequence[int]]
    vocabulary: TagVocabulary

    @property
    def labels(self) -> csr_array:
        """1 where a listing has a tag, shape (N, T)."""
        return indicator(self.gold, len(self.vocabulary))

    def part(self, positions: Iterable[int]) -> TrainingSet:
        """Some of the listings."""
        kept = list(positions)
        return TrainingSet([self.listings[p] for p in kept], [self.gold[p] for p in kept], self.vocabulary)


class Baseline(Protocol):
    """A trained baseline. `picked` says in words what was chosen and what limits it has."""

    picked: dict[str, Any]

    def rank(self, listings: Sequence[Listing], k: int, tick: Tick) -> Ranking:
        """Exactly k tags for each listing (all of a smaller vocabulary)."""
        ...


@dataclass
class Popularity:
    """The same for every listing: the tags that most training rows have, with the share of rows as confidence."""

    training: TrainingSet
    picked: dict[str, Any] = field(default_factory=dict)

    def rank(self, listings: Sequence[Listing], k: int, tick: Tick) -> Ranking:
        """See `Baseline`."""
        tick(1.0)
        return top(np.zeros((len(listings), len(self.training.vocabulary)), dtype=np.float32), k, self.training.labels)


def pick(
    training: TrainingSet,
    settings: Sequence[Setting],
    trained: Callable[[TrainingSet, Setting], Baseline],
    k: int,
    tick: Tick = lambda _: None,
) -> tuple[Setting, list[tuple[Setting, float]]]:
    """The setting with the best nDCG@k on held-out training rows, of equals the first; and what each one had, empty where nothing
    was tried. Rows are held out by a hash of their ids."""
    drawn = sorted(range(len(training.listings)), key=lambda position: draw(f"pick {training.listings[position].id}"))
    drawn = drawn[:MOST_TO_PICK_ON]
    first = round(len(drawn) * HELD_OUT)
    if len(training.listings) < LEAST_TO_PICK or len(settings) == 1:
        return settings[0], []
    held, rest = training.part(drawn[:first]), training.part(drawn[first:])
    found: list[tuple[Setting, float]] = []
    for number, setting in enumerate(settings):
        ranking = trained(rest, setting).rank(held.listings, k, lambda _: None)
        hits = hits_of(held.gold, ranking.tags.tolist(), k)
        found.append((setting, float(ndcg(hits, sizes_of(held.gold), k).mean())))
        tick((number + 1) / len(settings))
    return max(found, key=lambda item: item[1])[0], found


def top(scores: NDArray[np.float32], k: int, labels: csr_array) -> Ranking:
    """The k best of scores, shape (rows, T), in 0..1. Tags of score 0 follow by popularity, with the share of training rows that
    have them as confidence, but no more than stands before them: everybody gives exactly k."""
    share = np.asarray(labels.sum(axis=0)).ravel() / max(1, labels.shape[0])
    best = scores.astype(np.float64) + (1e-9 * share + 1e-12 * np.linspace(1, 0, scores.shape[1]))  # ties: popular, then first
    k = min(k, scores.shape[1])
    found = np.argpartition(-best, k - 1, axis=1)[:, :k]
    found = np.take_along_axis(found, np.argsort(-np.take_along_axis(best, found, axis=1), axis=1), axis=1).astype(np.int64)
    given = np.take_along_axis(scores, found, axis=1).astype(np.float64)
    given = np.where(given > 0, given, share[found])
    return Ranking(found, np.minimum.accumulate(np.clip(given, 0.0, 1.0), axis=1))


def ranked(
    listings: Sequence[Listing],
    k: int,
    training: TrainingSet,
    tick: Tick,
    scores: Callable[[Sequence[Listing]], NDArray[np.float32]],
) -> Ranking:
    """The k best of `scores`, ROWS_AT_A_TIME listings at a time: (some, T) each, see `top`."""
    labels = training.labels
    parts = []
    for start in range(0, len(listings), ROWS_AT_A_TIME):
        parts.append(top(scores(listings[start : start + ROWS_AT_A_TIME]), k, labels))
        tick(min(1.0, (start + ROWS_AT_A_TIME) / len(listings)))
    return Ranking(np.concatenate([part.tags for part in parts]), np.concatenate([part.confidences for part in parts]))


def train(name: str, training: TrainingSet, k: int, tick: Tick = lambda _: None) -> Baseline:
    """The baseline of that name. Raises `InvalidInput` for a name that is none, and where a library it needs is missing."""
    if name not in NAMES:
        raise InvalidInput(f"unknown baseline {name!r}; use {', '.join(NAMES)}", field="baselines")
    if name == "popularity":
        return Popularity(training)
    if name == "tfidf":
        from eval.baseline_neighbours import Neighbours

        return Neighbours.train(training, k, tick)
    if name == "logistic":
        from eval.baseline_logistic import Logistic

        return Logistic.train(training, k, tick)
    if name == "omikuji":
        from eval.baseline_omikuji import Omikuji

        return Omikuji.train(training, k, tick)
    from eval.baseline_alias import AliasMatch

    return AliasMatch(training)


NAMES = {
    "popularity": "the most frequent tags",
    "tfidf": "nearest listings by TF-IDF",
    "logistic": "one-against-rest logistic regression",
    "omikuji": "omikuji (Parabel trees)",
    "alias": "exact match of labels and aliases",
}
"""Name -> what it is."""
