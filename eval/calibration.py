"""How well confidence is calibrated, and what a threshold on it would give. It knows confidences and whether each was right, no
listing and no tag.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Suggestions of similar confidence: how many, their mean confidence, and the share that was right."""

    count: int
    confidence: float
    right: float


@dataclass(frozen=True, slots=True)
class Operating:
    """What is left if only suggestions of at least this confidence are given: their precision, and the recall of gold tags."""

    threshold: float
    precision: float
    recall: float


def equal_mass(confidences: Floats, bins: int = BINS) -> NDArray[np.int64]:
    """The bin of each confidence, 0..bins - 1, shape as given: as many in each as there can be, by ascending confidence. Equal
    confidences share a bin (the one that most of them fall into the middle of), so no bin depends on the order of the rows."""
    flat = confidences.ravel()
    order = np.argsort(flat, kind="stable")
    values, start, count = np.unique(flat[order], return_index=True, return_counts=True)
    middle = (start + (count - 1) / 2) * bins // max(1, len(flat))
    found: NDArray[np.int64] = middle.astype(np.int64)[np.searchsorted(values, flat)].reshape(confidences.shape)
    return found


def reliability(confidences: Floats, right: NDArray[np.bool_], bins: int = BINS) -> list[ReliabilityBin]:
    """The reliability curve: bins of equal mass that are not empty, by ascending confidence."""
    place = equal_mass(confidences, bins).ravel()
    count = np.bincount(place, minlength=bins)
    confidence = np.bincount(place, weights=confidences.ravel(), minlength=bins)
    hits = np.bincount(place, weights=right.ravel(), minlength=bins)
    return [
        ReliabilityBin(int(count[b]), float(confidence[b] / count[b]), float(hits[b] / count[b])) for b in np.flatnonzero(count)
    ]


def calibration_gaps(confidences: Floats, right: NDArray[np.bool_], real: NDArray[np.bool_], bins: int = BINS) -> Floats:
    """Sum of (right - confidence) of each row's suggestions, by bin; shape (rows, bins). Where `real` is false there is none:
    rows may have fewer than others. The expected calibration error is the sum over bins of |sum over rows| divided by the number
    of suggestions (Naeini, Cooper & Hauskrecht 2015, with bins of equal mass as in Nguyen & O'Connor 2015)."""
    gaps = np.zeros((len(confidences), bins))
    place = equal_mass(confidences[real], bins)
    np.add.at(gaps, (np.nonzero(real)[0], place), right[real] - confidences[real])
    return gaps


def precision_recall(confidences: Floats, right: NDArray[np.bool_], gold: int, points: int = 200) -> list[Operating]:
    """The precision-recall curve over all suggestions together, by descending threshold, one point for each confidence that
    occurs, thinned to about `points`; `gold` is the number of gold tags."""
    flat, hits = confidences.ravel(), right.ravel()
    order = np.argsort(-flat, kind="stable")
    true = np.cumsum(hits[order])
    last = np.append(np.flatnonzero(np.diff(flat[order])), len(flat) - 1)
    if len(last) > points:
        last = last[np.unique(np.linspace(0, len(last) - 1, points).round().astype(np.int64))]
    return [Operating(float(flat[order][i]), float(true[i] / (i + 1)), float(true[i] / max(1, gold))) for i in last]
