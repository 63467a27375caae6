"""One-against-rest logistic regression by scikit-learn on sparse text: a yes or no for every tag. It knows features, no model.

Weights of thousands of tags over a hundred thousand features do not fit in memory together, so each tag is fitted, asked about
all listings, and forgotten.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from eval.baselines import Ranking, Tick, TrainingSet, pick, top
from eval.features import Features, recipes_for
from hangtag.listing import Listing

MOST_TAGS = 4000
"""Tags that get a regression, the most frequent first; the others are ranked by popularity, behind."""

MOST_CELLS = 4_000_000_000
"""Of tags times features that listings have, together: bounds the time to some minutes. It leaves out only tags of one or two
listings in the sets at hand, and those hardly ever come first by regression."""

MOST_TAGS_TO_PICK = 100
COSTS = (100.0, 10.0, 1000.0)
TOLERANCE, ROUNDS = 0.1, 50
"""Of the dual solver. On 119 tags of 2,419 listings, a tolerance of 0.01 gave the same nDCG in half as much time again, and the
primal solver the same in 16 times the time."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Which features, scikit-learn's C, and how many tags are fitted."""

    recipe: str
    cost: float = COSTS[0]
    most: int = MOST_TAGS


class Logistic:
    """A regression for each tag; confidence is its probability."""

    def __init__(self, training: TrainingSet, setting: Setting) -> None:
        self._features, self._trained = Features.fit(setting.recipe, training.listings)
        self._labels = training.labels
        self._setting = setting
        self.picked: dict[str, Any] = {}

    @classmethod
    def train(cls, training: TrainingSet, k: int, tick: Tick) -> Logistic:
        """With the features and then the C that are best on held-out training rows, for the most frequent tags."""
        recipes = [Setting(recipe, COSTS[0], MOST_TAGS_TO_PICK) for recipe in recipes_for(training.listings)]
        setting, tried = pick(training, recipes, cls, k, tick)
        costs = [Setting(setting.recipe, cost, MOST_TAGS_TO_PICK) for cost in COSTS]
        setting, finer = pick(training, costs, cls, k, tick)
        trained = cls(training, Setting(setting.recipe, setting.cost))
        trained.picked = {
            "features": setting.recipe,
            "C": setting.cost,
            "tags with a regression": len(trained.chosen),
            "tags in training": int((np.asarray(training.labels.sum(axis=0)).ravel() > 0).sum()),
            "tried (nDCG)": {each.recipe: round(score, 4) for each, score in tried}
            | {f"C {each.cost:g}": round(score, 4) for each, score in finer},
        }
        return trained

    @property
    def chosen(self) -> list[int]:
        """The tags that get a regression, the most frequent first."""
        counts = np.asarray(self._labels.sum(axis=0)).ravel()
        most = min(self._setting.most, max(1, MOST_CELLS // max(1, self._trained.nnz)))
        return [tag for tag in np.argsort(-counts, kind="stable")[:most].tolist() if counts[tag] > 0]

    def rank(self, listings: Sequence[Listing], k: int, tick: Tick) -> Ranking:
        """See `eval.baselines.Baseline`."""
        features, trained = self._features(listings).astype(np.float64), self._trained.astype(np.float64)
        columns = self._labels.tocsc()
        chosen = self.chosen
        scores = np.zeros((len(listings), self._labels.shape[1]), dtype=np.float32)
        for number, tag in enumerate(chosen):
            truth = np.zeros(trained.shape[0])
            truth[columns.indices[columns.indptr[tag] : columns.indptr[tag + 1]]] = 1
            if truth.all():
                scores[:, tag] = 1
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                scores[:, tag] = _fitted(self._setting.cost, trained, truth).predict_proba(features)[:, 1]
            tick((number + 1) / len(chosen))
        return top(scores, k, self._labels)


def _fitted(cost: float, features: Any, truth: Any) -> LogisticRegression:
    model = LogisticRegression(solver="liblinear", dual=True, C=cost, tol=TOLERANCE, max_iter=ROUNDS, random_state=0)
    return model.fit(features, truth)
