"""Fits a `hangtag.calibration.Calibration` to tags that were suggested and were right or not. It knows scikit-learn and folds,
neither where the tags come from nor what becomes of the curve.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from hangtag.calibration import LEAST, Calibration, Clues, Flags, Floats, Integers, promise
from hangtag.errors import InvalidData

ISOTONIC, PLATT = "isotonic", "platt"
FOLDS = 5
FEWEST_ROWS = 20
PLATT_KNOTS = 65
"""Of the logistic curve, evenly over the scores that occur; a straight line between two is off by less than 0.002."""

STRENGTH, LEAST_SPREAD, MOST_STEPS = 10.0, 0.1, 2_000
"""Of the logistic regression: the inverse of its pull towards 0, the least unit of a column, Newton's steps."""

DIGITS = 6
"""Of the numbers that are kept: what is measured is what is stored."""


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """Suggested tags of all rows together: what was known of each, whether it was `right`, and which row it belongs to, from 0;
    all of shape (tags,). Rows come in no order that means anything."""

    log_probability: Floats
    rank: Integers
    evidence: Floats
    right: Flags
    row: Integers

    @classmethod
    def of(cls, rows: Iterable[Iterable[tuple[Clues, bool]]]) -> Cases:
        """From the tags of one row after another."""
        flat = [(number, clues, right) for number, row in enumerate(rows) for clues, right in row]
        return cls(
            np.array([clues.log_probability for _, clues, _ in flat], dtype=np.float64),
            np.array([clues.rank for _, clues, _ in flat], dtype=np.int64),
            np.array([clues.evidence for _, clues, _ in flat], dtype=np.float64),
            np.array([right for _, _, right in flat], dtype=np.bool_),
            np.array([number for number, _, _ in flat], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.right)

    @property
    def rows(self) -> int:
        """Up to the last one that has a tag."""
        return int(self.row.max(initial=-1)) + 1

    def where(self, some: NDArray[np.bool_]) -> Cases:
        """The tags at which `some`, (tags,), is true."""
        return Cases(self.log_probability[some], self.rank[some], self.evidence[some], self.right[some], self.row[some])

    def scores(self, curve: Calibration) -> Floats:
        """By a curve, (tags,)."""
        return curve.scores(self.log_probability, self.rank, self.evidence)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A curve, and the probabilities of the cases it was fitted on, each by a curve that was fitted without its row."""

    curve: Calibration
    held_out: Floats


def fit_curve(cases: Cases, precision: float | None = None, fold: Integers | None = None) -> Fitted:
    """The isotonic curve or the logistic one, whichever has the lower log loss on tags left out; with the threshold for a
    promised `precision`. `fold`, (tags,), are the groups that are left out, one at a time; else every fifth row. Raises
    `InvalidData` for fewer than FEWEST_ROWS rows, and where all tags or none are right."""
    if cases.rows < FEWEST_ROWS:
        raise InvalidData(f"{cases.rows} rows are too few to calibrate on; give {FEWEST_ROWS} or more")
    if cases.right.all() or not cases.right.any():
        raise InvalidData("all suggested tags are right, or none is: there is nothing to calibrate; give other rows")
    fold = cases.row % FOLDS if fold is None else fold
    held = {ISOTONIC: np.zeros(len(cases)), PLATT: np.zeros(len(cases))}
    for number in np.unique(fold):
        rest, left = cases.where(fold != number), cases.where(fold == number)
        for method, found in held.items():
            curve = _curve(rest, method)
            found[fold == number] = curve.at(left.scores(curve))
    losses = {method: log_loss(found, cases.right) for method, found in held.items()}
    best = min(losses, key=lambda method: losses[method])
    kept = None if precision is None else promise(held[best], cases.right, cases.row, cases.rows, precision)
    figures = {f"log loss, {method}": round(loss, DIGITS) for method, loss in losses.items()}
    return Fitted(replace(_curve(cases, best), promise=kept, method=best, rows=cases.rows, figures=figures), held[best])


def log_loss(probabilities: Floats, right: Flags) -> float:
    """Mean of -ln(probability of what was the case), nats a tag."""
    certain = np.clip(probabilities, 1e-6, 1 - 1e-6)
    return float(-np.mean(np.where(right, np.log(certain), np.log1p(-certain))))


def _curve(cases: Cases, method: str) -> Calibration:
    """Platt scaling (1999) of several columns at once: their weights by logistic regression; an isotonic curve has the same
    weights and other knots. What would speak against a tag though it should speak for it is left out."""
    ranks = int(cases.rank.max())
    clues = {"slope": np.maximum(cases.log_probability, LEAST), "evidence": np.maximum(cases.evidence, LEAST)}
    by_rank = [(cases.rank == rank).astype(np.float64) for rank in range(2, ranks + 1)]
    while True:
        columns = np.column_stack([*clues.values(), *by_rank, np.zeros(len(cases))])
        spread = np.maximum(columns.std(axis=0), LEAST_SPREAD)
        fitted = LogisticRegression(C=STRENGTH, max_iter=MOST_STEPS).fit(columns / spread, cases.right)
        weights = fitted.coef_[0] / spread
        against = [name for name, weight in zip(clues, weights, strict=False) if weight < 0]
        if not against:
            break
        for name in against:
            del clues[name]
    found = dict(zip(clues, weights.tolist(), strict=False))
    first = float(fitted.intercept_[0])
    offsets = (first, *(first + weight for weight in weights[len(clues) : len(clues) + len(by_rank)].tolist()))
    plain = Calibration(
        slope=round(found.get("slope", 0.0), DIGITS),
        offsets=tuple(round(offset, DIGITS) for offset in offsets),
        evidence=round(found.get("evidence", 0.0), DIGITS),
        knots=(0.0,),
        probabilities=(0.5,),
    )
    scores = cases.scores(plain)
    knots, values = _isotonic(scores, cases.right) if method == ISOTONIC else _logistic(scores)
    rounded = knots.round(DIGITS)
    first_of_equals = np.append(True, np.diff(rounded) > 0)
    return replace(
        plain,
        knots=tuple(rounded[first_of_equals].tolist()),
        probabilities=tuple(values.round(DIGITS)[first_of_equals].tolist()),
    )


def _isotonic(scores: Floats, right: Flags) -> tuple[Floats, Floats]:
    """A knot in the middle of each level of the isotonic regression; no level is surer than the number of tags allows."""
    least = 1 / (len(scores) + 2)
    levels = IsotonicRegression(y_min=least, y_max=1 - least).fit_transform(scores, right.astype(np.float64))
    values, level = np.unique(levels, return_inverse=True)
    return np.bincount(level, weights=scores) / np.bincount(level), values


def _logistic(scores: Floats) -> tuple[Floats, Floats]:
    knots = np.linspace(scores.min(), scores.max(), PLATT_KNOTS)
    return knots, 1 / (1 + np.exp(-knots))
