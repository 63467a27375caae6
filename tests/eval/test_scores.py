"""From answers to figures and intervals: small cases by hand, scikit-learn, and what a bootstrap has to be true to."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from eval.bootstrap import differences, intervals, resample
from eval.matrix import indicator
from eval.metrics import propensities
from eval.scores import Answers, Training, scores_of, seen_only
from hangtag.errors import InvalidData

GOLD = [[0, 1], [2], [3]]
ANSWERS = Answers(
    np.array([[0, 2], [1, 2], [0, 1]]), np.array([[0.9, 0.5], [0.8, 0.4], [0.7, 0.1]]), np.array([1.0, np.nan, 0.0])
)
TRAINING = Training(indicator([[0, 1], [0], [0, 2], [1]], 5))


def _figures(answers: Answers = ANSWERS, gold: list[list[int]] = GOLD, tags: int = 5) -> dict[str, float]:
    scores = scores_of(answers, gold, tags, 2, TRAINING)
    return {name: float(values[0]) for name, values in scores.figures(np.ones((1, len(scores)))).items()}


def test_every_figure_by_hand() -> None:
    found = _figures()
    assert found["P@1"] == pytest.approx(1 / 3)
    assert found["P@2"] == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
    assert found["R@2"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert found["MRR"] == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert found["micro-F1"] == pytest.approx(2 * 2 / (6 + 4))
    # 0: right once, wrong once; 1: given twice, never right, missed once; 2: right once, wrong once; 3: missed; 4: nowhere
    assert found["macro-F1"] == pytest.approx((2 / 3 + 0 + 2 / 3 + 0) / 4)
    assert found["coverage"] == pytest.approx(3 / 5)
    assert found["Gini"] == pytest.approx((2 * (3 + 4 + 5) * 2 - 6 * 6) / (5 * 6))  # counts 0, 0, 2, 2, 2
    assert found["quotes hold"] == pytest.approx(1 / 2)
    assert found["ECE"] == pytest.approx(sum((0.1, 0.5, 0.8, 0.6, 0.7, 0.1)) / 6)  # each suggestion has a bin of its own
    # cosines of the pairs (0, 2), (1, 2), (0, 1): tag 0 in rows 0, 1, 2; tag 1 in 0, 3; tag 2 in 2
    assert found["diversity"] == pytest.approx(1 - (1 / 3**0.5 + 0 + 1 / 6**0.5) / 3)
    inverse = 1 / propensities(np.array([3, 2, 1, 0, 0]), 4)
    best = (inverse[0] + inverse[1] + inverse[2] + inverse[3]) / 2
    assert found["PSP@2"] == pytest.approx((inverse[0] + inverse[2]) / 2 / best)


def test_tags_that_are_missing_count_as_wrong() -> None:
    short = Answers(np.array([[0, -1], [2, -1], [-1, -1]]), np.zeros((3, 2)))
    found = _figures(short)
    assert found["P@2"] == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
    assert found["micro-F1"] == pytest.approx(2 * 2 / (2 + 4))
    assert "quotes hold" not in found


def test_f1_against_scikit_learn_and_weights_are_repeated_rows() -> None:
    generator = np.random.default_rng(3)
    gold = [generator.choice(8, generator.integers(1, 4), replace=False).tolist() for _ in range(20)]
    tags = np.stack([generator.permutation(8)[:3] for _ in range(20)])
    answers = Answers(tags, np.sort(generator.random((20, 3)))[:, ::-1])
    scores = scores_of(answers, gold, 8, 3, Training(indicator(gold, 8)))
    weights = generator.integers(0, 3, (1, 20)).astype(np.float64)
    found = {name: float(values[0]) for name, values in scores.figures(weights).items()}
    rows = np.repeat(np.arange(20), weights[0].astype(int))
    truth, said = (indicator(each, 8).toarray()[rows] for each in (gold, tags.tolist()))
    used = np.flatnonzero((truth + said).any(axis=0))
    assert found["micro-F1"] == pytest.approx(f1_score(truth, said, average="micro"))
    assert found["macro-F1"] == pytest.approx(f1_score(truth, said, average="macro", labels=used))
    repeated = Answers(answers.tags[rows], answers.confidences[rows])
    same = scores_of(repeated, [gold[row] for row in rows], 8, 3, Training(indicator(gold, 8)))
    for name, values in same.figures(np.ones((1, len(rows)))).items():
        if name != "ECE":  # bins are made of the rows themselves
            assert found[name] == pytest.approx(float(values[0])), name


def test_seen_labels_only_drops_the_others_from_gold_and_answers() -> None:
    answers, gold, rows = seen_only(ANSWERS, [[0, 3], [3], [2]], np.array([1, 0, 1, 0, 0]))
    assert rows.tolist() == [True, False, True]
    assert gold == [[0], [2]]
    assert answers.tags.tolist() == [[0, 2], [0, -1]]
    assert answers.confidences.tolist() == [[0.9, 0.5], [0.7, 0.1]]


def _made(right: float, rows: int = 400, seed: int = 0) -> tuple[Answers, list[list[int]]]:
    generator = np.random.default_rng(seed)
    gold = [[int(tag)] for tag in generator.integers(0, 30, rows)]
    hit = generator.random(rows) < right
    first = np.where(hit, [tag for (tag,) in gold], 30)
    return Answers(np.stack([first, np.full(rows, 31)], axis=1), np.full((rows, 2), 0.5)), gold


def test_intervals_hold_the_figure_and_are_as_wide_as_the_normal_approximation() -> None:
    answers, gold = _made(0.6)
    found = intervals(resample(scores_of(answers, gold, 32, 2)))
    for name, interval in found.items():
        assert interval.low <= interval.value <= interval.high, name
    share = found["P@1"].value
    expected = 2 * 1.96 * (share * (1 - share) / 400) ** 0.5
    assert found["P@1"].high - found["P@1"].low == pytest.approx(expected, rel=0.1)
    assert intervals(resample(scores_of(answers, gold, 32, 2))) == found  # the seed is fixed


def test_paired_differences_see_what_is_real() -> None:
    answers, gold = _made(0.6)
    better = Answers(answers.tags.copy(), answers.confidences)
    wrong = np.flatnonzero(answers.tags[:, 0] == 30)[:20]
    better.tags[wrong, 0] = [gold[row][0] for row in wrong]
    ours, theirs = (resample(scores_of(each, gold, 32, 2)) for each in (better, answers))
    found = differences(ours, theirs)["P@1"]
    assert found.value == pytest.approx(0.05)
    assert found.is_real
    assert found.high - found.low < intervals(ours)["P@1"].high - intervals(ours)["P@1"].low  # pairing helps
    assert not differences(ours, ours)["P@1"].is_real
    with pytest.raises(InvalidData, match="400 rows can't be paired with 100"):
        differences(ours, resample(scores_of(*_made(0.5, 100), 32, 2)))


def test_a_figure_that_no_row_defines_is_left_out() -> None:
    nothing = Answers(ANSWERS.tags, ANSWERS.confidences, np.full(3, np.nan))
    assert "quotes hold" not in intervals(resample(scores_of(nothing, GOLD, 5, 2)))
