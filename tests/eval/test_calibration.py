"""Calibration on cases worked by hand, and against scikit-learn's curves."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve

from eval.calibration import calibration_gaps, equal_mass, precision_recall, reliability


def test_two_bins_by_hand() -> None:
    confidences = np.array([[0.9, 0.2], [0.8, 0.1]])
    right = np.array([[True, False], [False, True]])
    low, high = reliability(confidences, right, bins=2)
    assert (low.count, low.confidence, low.right) == (2, pytest.approx(0.15), 0.5)
    assert (high.count, high.confidence, high.right) == (2, pytest.approx(0.85), 0.5)
    gaps = calibration_gaps(confidences, right, np.ones_like(right), bins=2)
    assert gaps == pytest.approx(np.array([[-0.2, 0.1], [0.9, -0.8]]))
    error = np.abs(gaps.sum(axis=0)).sum() / 4
    assert error == pytest.approx((2 * abs(0.5 - 0.15) + 2 * abs(0.5 - 0.85)) / 4)


def test_short_answers_are_judged_as_long_ones_are() -> None:
    chance = np.random.default_rng(0)
    alone = chance.uniform(0.2, 0.9, (400, 1))
    right = chance.random((400, 1)) < alone - 0.15
    filled, real = np.zeros((400, 5)), np.zeros((400, 5), np.bool_)
    filled[:, :1], real[:, :1] = alone, True
    long = calibration_gaps(filled, np.where(real, right, False), real)
    assert long == pytest.approx(calibration_gaps(alone, right, np.ones((400, 1), np.bool_)))


def test_equal_confidences_share_a_bin_whatever_their_order() -> None:
    bins = equal_mass(np.array([0.5, 0.5, 0.5, 0.9]), 2)
    assert len(set(bins[:3].tolist())) == 1
    assert bins[3] == 1
    assert equal_mass(np.full(7, 0.3), 15).tolist() == [6] * 7


def test_bins_of_equal_mass_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(1)
    confidences = generator.random(1500)
    right = generator.random(1500) < confidences**2
    expected_right, expected_mean = calibration_curve(right, confidences, n_bins=15, strategy="quantile")
    found = reliability(confidences, right)
    assert [each.count for each in found] == [100] * 15
    assert [each.right for each in found] == pytest.approx(expected_right.tolist())
    assert [each.confidence for each in found] == pytest.approx(expected_mean.tolist())


def test_the_precision_recall_curve_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(2)
    confidences = np.round(generator.random(60), 1)  # with ties
    right = generator.random(60) < 0.4
    precision, recall, thresholds = precision_recall_curve(right, confidences)
    found = {
        round(each.threshold, 6): (each.precision, each.recall) for each in precision_recall(confidences, right, int(right.sum()))
    }
    assert set(found) == {round(float(threshold), 6) for threshold in thresholds}
    for each, share, part in zip(thresholds, precision, recall, strict=False):
        assert found[round(float(each), 6)] == pytest.approx((share, part))


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    confidences = np.linspace(1, 0.001, 1000)
    curve = precision_recall(confidences, np.ones(1000, dtype=np.bool_), 2000, points=50)
    assert len(curve) == 50
    assert (curve[0].threshold, curve[-1].recall) == (1.0, 0.5)
