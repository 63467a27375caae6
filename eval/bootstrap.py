"""How sure a figure is: percentile bootstrap over rows, alone or in pairs, all resamples at once. It knows scores, and not
what is compared or why.

The seed is fixed, so the same answers give the same intervals, and every system of a run is resampled with the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from eval.metrics import Floats
from eval.scores import PLUG_IN, Scores
from hangtag.errors import InvalidData

SAMPLES = 1000
SEED = 20_161
LEVEL = 0.95
_CHUNK_CELLS = 4_000_000
"""Cells of the largest matrix of one chunk of resamples: bounds memory."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and where it lies with probability LEVEL."""

    value: float
    low: float
    high: float

    @property
    def is_real(self) -> bool:
        """For a difference: whether 0 is outside."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Resampled:
    """Every figure of a system, and the same for each of B resamples of its n rows: name -> value, name -> (B,)."""

    rows: int
    points: dict[str, float]
    samples: dict[str, Floats]


def resample(scores: Scores, *, samples: int = SAMPLES) -> Resampled:
    """Draw the resamples, the same rows for every system with as many rows."""
    points = {name: float(values[0]) for name, values in scores.figures(np.ones((1, len(scores)))).items()}
    parts = [scores.figures(weights) for weights in _weights(len(scores), samples, scores.given.shape[1])]
    return Resampled(len(scores), points, {name: np.concatenate([part[name] for part in parts]) for name in points})


def resample_means(values: Mapping[str, Floats], *, samples: int = SAMPLES) -> Resampled:
    """The same for the means of `values`, each (rows,)."""
    rows = len(next(iter(values.values())))
    table = np.column_stack(list(values.values()))
    means = np.concatenate([weights @ table / rows for weights in _weights(rows, samples, len(values))])
    points = {name: float(each.mean()) for name, each in values.items()}
    return Resampled(rows, points, dict(zip(values, means.T, strict=True)))


def intervals(resampled: Resampled) -> dict[str, Interval]:
    """Every figure with its interval (Efron & Tibshirani 1993, chapter 13). Figures in `PLUG_IN` have the distribution of their
    resamples moved by its bias, since resamples have fewer different rows. Figures that no row defines are left out."""
    return _intervals(resampled.points, resampled.samples, low=0.0, high=1.0)


def differences(first: Resampled, second: Resampled) -> dict[str, Interval]:
    """first - second of every figure that both have, over the same resampled rows (paired). Raises `InvalidData` for different
    numbers of rows; that they are the same rows in the same order is for the caller to see to."""
    if first.rows != second.rows:
        raise InvalidData(f"{first.rows} rows can't be paired with {second.rows}")
    shared = [name for name in first.points if name in second.points]
    points = {name: first.points[name] - second.points[name] for name in shared}
    return _intervals(points, {name: first.samples[name] - second.samples[name] for name in shared}, low=-1.0, high=1.0)


def _weights(rows: int, samples: int, columns: int) -> Iterator[Floats]:
    """How often each row is in each resample, (some, rows) at a time."""
    chance = np.random.default_rng(SEED)
    some = max(1, _CHUNK_CELLS // max(rows, columns, 1))
    for start in range(0, samples, some):
        count = min(some, samples - start)
        drawn = np.stack([np.bincount(chance.integers(0, rows, rows), minlength=rows) for _ in range(count)])
        yield drawn.astype(np.float64)


def _intervals(points: dict[str, float], resampled: dict[str, Floats], low: float, high: float) -> dict[str, Interval]:
    found: dict[str, Interval] = {}
    for name, point in points.items():
        values = resampled[name][np.isfinite(resampled[name])]
        if not np.isfinite(point) or not len(values):
            continue
        if name in PLUG_IN:
            values = np.clip(values - values.mean() + point, low, high)
        tail = (1 - LEVEL) / 2
        found[name] = Interval(point, float(np.quantile(values, tail)), float(np.quantile(values, 1 - tail)))
    return found
