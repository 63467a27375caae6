"""Nearest listings by TF-IDF: a listing gets the tags of the training listings that look most like it. It knows features, no
model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from eval.baselines import Ranking, Tick, TrainingSet, pick, ranked
from eval.features import Features, recipes_for
from hangtag.listing import Listing

COUNTS = (20, 10, 40, 80)
POWERS = (1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True)
class Setting:
    """Which features, how many neighbours, and the power of the cosine that each one's vote weighs."""

    recipe: str
    count: int = COUNTS[0]
    power: float = POWERS[0]


class Neighbours:
    """The vote of the `count` nearest training listings; confidence is the share of the votes."""

    def __init__(self, training: TrainingSet, setting: Setting, fitted: tuple[Features, csr_array] | None = None) -> None:
        self._features, trained = fitted or Features.fit(setting.recipe, training.listings)
        self._columns = trained.T.tocsr()
        self._training, self._labels = training, training.labels
        self._setting = setting
        self.picked: dict[str, Any] = {}

    @classmethod
    def train(cls, training: TrainingSet, k: int, tick: Tick) -> Neighbours:
        """With the features, and then the count and power, that are best on held-out training rows."""
        recipes = [Setting(recipe, 20, 2.0) for recipe in recipes_for(training.listings)]
        setting, tried = pick(training, recipes, cls, k, tick)
        settings = [Setting(setting.recipe, count, power) for power in POWERS for count in COUNTS]
        fitted: list[tuple[Features, csr_array]] = []

        def alike(part: TrainingSet, each: Setting) -> Neighbours:
            """All have one recipe and the same rows: their features are fitted once."""
            if not fitted:
                fitted.append(Features.fit(each.recipe, part.listings))
            return cls(part, each, fitted[0])

        setting, finer = pick(training, settings, alike, k, tick)
        trained = cls(training, setting)
        trained.picked = {
            "features": setting.recipe,
            "neighbours": setting.count,
            "power of the cosine": setting.power,
            "tried (nDCG)": {each.recipe: round(score, 4) for each, score in tried}
            | {f"{each.count} neighbours, power {each.power:g}": round(score, 4) for each, score in finer},
        }
        return trained

    def rank(self, listings: Sequence[Listing], k: int, tick: Tick) -> Ranking:
        """See `eval.baselines.Baseline`."""
        return ranked(listings, k, self._training, tick, self._votes)

    def _votes(self, listings: Sequence[Listing]) -> NDArray[np.float32]:
        similar = (self._features(listings) @ self._columns).toarray()
        count = min(self._setting.count, similar.shape[1])
        near = np.argpartition(-similar, count - 1, axis=1)[:, :count]
        votes = np.take_along_axis(similar, near, axis=1) ** self._setting.power
        votes /= np.maximum(votes.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        weights = csr_array((votes.ravel(), near.ravel(), np.arange(len(near) + 1) * count), shape=similar.shape)
        shares: NDArray[np.float32] = (weights @ self._labels).toarray()
        return shares
