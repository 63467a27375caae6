"""Metrics, on cases worked by hand and against scikit-learn."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from sklearn.metrics import f1_score, ndcg_score

from eval.metrics import macro_f1, mean_reciprocal_rank, micro_f1, ndcg_at_k, precision_at_k, recall_at_k
from hangtag.errors import InvalidData

GOLD = [{"a", "b"}, {"c"}, {"d", "e", "f"}]
RANKED = [["a", "x", "b"], ["x", "c"], []]


def test_by_hand() -> None:
    assert precision_at_k(GOLD, RANKED, 1) == pytest.approx((1 + 0 + 0) / 3)
    assert precision_at_k(GOLD, RANKED, 3) == pytest.approx((2 / 3 + 1 / 3 + 0) / 3)
    assert recall_at_k(GOLD, RANKED, 2) == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert mean_reciprocal_rank(GOLD, RANKED) == pytest.approx((1 + 1 / 2 + 0) / 3)
    first = (1 + 1 / log2(4)) / (1 + 1 / log2(3))
    assert ndcg_at_k(GOLD, RANKED, 3) == pytest.approx((first + 1 / log2(3) + 0) / 3)
    assert micro_f1(GOLD, RANKED) == pytest.approx(2 * 3 / (2 * 3 + 2 + 3))
    assert macro_f1(GOLD, RANKED) == pytest.approx(3 / 7)  # a, b and c are right; d, e and f missed; x wrong


def test_a_ranking_of_all_gold_tags_is_perfect() -> None:
    ranked = [sorted(truth) for truth in GOLD]
    for metric in (recall_at_k, ndcg_at_k):
        assert metric(GOLD, ranked, 3) == pytest.approx(1)
    assert ndcg_at_k(GOLD, ranked, 2) == pytest.approx(1)
    assert mean_reciprocal_rank(GOLD, ranked) == micro_f1(GOLD, ranked) == macro_f1(GOLD, ranked) == 1


def _random(seed: int) -> tuple[list[set[str]], list[list[str]], list[str]]:
    generator = np.random.default_rng(seed)
    labels = [f"tag {n}" for n in range(12)]
    gold = [set(generator.choice(labels, generator.integers(1, 5), replace=False).tolist()) for _ in range(30)]
    return gold, [generator.permutation(labels).tolist() for _ in range(30)], labels


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [1, 3, 5, 12])
def test_ndcg_is_that_of_scikit_learn(seed: int, k: int) -> None:
    gold, ranked, labels = _random(seed)
    truth = [[label in tags for label in labels] for tags in gold]
    scores = [[-ranking.index(label) for label in labels] for ranking in ranked]
    assert ndcg_at_k(gold, ranked, k) == pytest.approx(ndcg_score(truth, scores, k=k))


@pytest.mark.parametrize("seed", range(3))
def test_f1_is_that_of_scikit_learn(seed: int) -> None:
    gold, ranked, labels = _random(seed)
    given = [ranking[: 1 + position % 4] for position, ranking in enumerate(ranked)]
    truth = [[label in tags for label in labels] for tags in gold]
    said = [[label in answer for label in labels] for answer in given]
    assert micro_f1(gold, given) == pytest.approx(f1_score(truth, said, average="micro"))
    assert macro_f1(gold, given) == pytest.approx(f1_score(truth, said, average="macro"))


def test_f1_of_nothing_is_zero_and_gold_may_be_empty() -> None:
    assert micro_f1([set()], [[]]) == macro_f1([set()], [[]]) == 0
    assert micro_f1([set(), {"a"}], [["b"], ["a"]]) == pytest.approx(2 / 3)


def test_what_has_no_answer_is_refused() -> None:
    with pytest.raises(InvalidData, match="1 rankings for 3 gold sets"):
        micro_f1(GOLD, [["a"]])
    with pytest.raises(InvalidData, match="0 rankings for 0 gold sets"):
        mean_reciprocal_rank([], [])
    with pytest.raises(InvalidData, match="ranking 1 has a tag twice: 'a'"):
        precision_at_k([{"a"}], [["b", "a", "a"]], 3)
    for metric in (precision_at_k, recall_at_k, ndcg_at_k):
        with pytest.raises(InvalidData, match="k is 0"):
            metric(GOLD, RANKED, 0)
    for metric in (recall_at_k, ndcg_at_k):
        with pytest.raises(InvalidData, match="gold set 2 is empty"):
            metric([{"a"}, set()], [["a"], ["b"]], 1)
