"""Metrics, on cases worked by hand and against scikit-learn."""

from __future__ import annotations

from math import log, log2

import numpy as np
import pytest
from sklearn.metrics import f1_score, label_ranking_average_precision_score, ndcg_score, precision_score, recall_score

from eval.metrics import (
    f1,
    gini,
    hits_of,
    macro_f1,
    micro_f1,
    ndcg,
    precision,
    propensities,
    recall,
    reciprocal_rank,
    scored_ndcg,
    scored_precision,
    sizes_of,
)
from hangtag.errors import InvalidData

GOLD = [{"a", "b"}, {"c"}, {"d", "e", "f"}]
RANKED = [["a", "x", "b"], ["x", "c"], []]
HITS, SIZES = hits_of(GOLD, RANKED, 3), sizes_of(GOLD)


def test_by_hand() -> None:
    assert precision(HITS, 1).tolist() == [1, 0, 0]
    assert precision(HITS, 3) == pytest.approx([2 / 3, 1 / 3, 0])
    assert recall(HITS, SIZES, 2) == pytest.approx([1 / 2, 1, 0])
    assert reciprocal_rank(HITS).tolist() == [1, 1 / 2, 0]
    assert ndcg(HITS, SIZES, 3) == pytest.approx([(1 + 1 / log2(4)) / (1 + 1 / log2(3)), 1 / log2(3), 0])
    assert micro_f1(GOLD, RANKED) == pytest.approx(2 * 3 / (2 * 3 + 2 + 3))
    assert macro_f1(GOLD, RANKED) == pytest.approx(3 / 7)  # a, b and c are right; d, e and f missed; x wrong


def test_a_ranking_of_all_gold_tags_is_perfect() -> None:
    ranked = [sorted(truth) for truth in GOLD]
    hits = hits_of(GOLD, ranked, 3)
    for values in (recall(hits, SIZES, 3), ndcg(hits, SIZES, 3), ndcg(hits, SIZES, 2), reciprocal_rank(hits)):
        assert values == pytest.approx(1)
    assert micro_f1(GOLD, ranked) == macro_f1(GOLD, ranked) == 1


def _random(seed: int) -> tuple[list[set[str]], list[list[str]], list[str]]:
    generator = np.random.default_rng(seed)
    labels = [f"tag {n}" for n in range(12)]
    gold = [set(generator.choice(labels, generator.integers(1, 5), replace=False).tolist()) for _ in range(30)]
    return gold, [generator.permutation(labels).tolist() for _ in range(30)], labels


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [1, 3, 5, 12])
def test_rankings_against_scikit_learn(seed: int, k: int) -> None:
    gold, ranked, labels = _random(seed)
    hits, sizes = hits_of(gold, ranked, k), sizes_of(gold)
    truth = [[label in tags for label in labels] for tags in gold]
    scores = [[-ranking.index(label) for label in labels] for ranking in ranked]
    assert ndcg(hits, sizes, k).mean() == pytest.approx(ndcg_score(truth, scores, k=k))
    said = [[label in ranking[:k] for label in labels] for ranking in ranked]
    assert precision(hits, k).mean() == pytest.approx(precision_score(truth, said, average="samples"))
    assert recall(hits, sizes, k).mean() == pytest.approx(recall_score(truth, said, average="samples"))
    single = [{min(tags)} for tags in gold]  # with one gold tag, average precision is the reciprocal rank
    alone = [[label in tags for label in labels] for tags in single]
    expected = label_ranking_average_precision_score(alone, scores)
    assert reciprocal_rank(hits_of(single, ranked, 12)).mean() == pytest.approx(expected)


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
    assert f1(np.zeros(1), np.zeros(1), np.zeros(1)).tolist() == [0]


def test_propensities_are_those_of_the_paper() -> None:
    """For N = 1,000 rows: C = (ln 1000 - 1) * 2.5 ** 0.55."""
    c = (log(1000) - 1) * 2.5**0.55
    expected = [1 / (1 + c * (n + 1.5) ** -0.55) for n in (0, 1, 100, 1000)]
    found = propensities(np.array([0, 1, 100, 1000]), 1000)
    assert found == pytest.approx(expected)
    assert found[0] == pytest.approx(0.11332, abs=5e-6)  # by pocket calculator: C = 9.77889, times 1.5 ** -0.55 = 7.82418
    assert found[1] == pytest.approx(1 / log(1000))  # C is made so that a tag of one row has 1 / ln N
    assert propensities(np.array([0, 1]), 2).tolist() == [1, 1]  # too few rows to say anything
    assert propensities(np.array([0]), 0).tolist() == [1]


def test_propensity_scored_metrics_by_hand() -> None:
    """Two rows with inverse propensities 4 and 2 (hit: the 2, in the second place) and 3 (missed)."""
    gains, best = np.array([[0.0, 2.0], [0.0, 0.0]]), np.array([[4.0, 2.0], [3.0, 0.0]])
    above, below = scored_precision(gains, best, 2)
    assert above.tolist() == [1, 0]
    assert below.tolist() == [3, 1.5]
    above, below = scored_ndcg(gains, best, np.array([2, 1]), 2)
    second, both = 1 / log2(3), 1 + 1 / log2(3)
    assert above == pytest.approx([2 * second / both, 0])
    assert below == pytest.approx([(4 + 2 * second) / both, 3])


def test_with_equal_propensities_the_quotient_is_that_of_plain_precision() -> None:
    hits = HITS[:, :2]
    best = np.array([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    above, below = scored_precision(hits * 7.0, best * 7.0, 2)
    assert above.sum() / below.sum() == pytest.approx(precision(hits, 2).sum() / (1 + 1 / 2 + 1))


def test_gini_by_hand() -> None:
    assert gini(np.array([3.0, 3.0]), 2) == pytest.approx(0)
    assert gini(np.array([6.0]), 4) == pytest.approx(3 / 4)  # all to one of four
    assert gini(np.array([1.0, 2.0, 3.0]), 3) == pytest.approx(2 / 9)
    assert gini(np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]), 3) == pytest.approx([2 / 9, 0])
    counts = np.array([5.0, 1.0, 2.0])
    differences = np.abs(np.subtract.outer([5, 1, 2, 0], [5, 1, 2, 0])).sum()
    assert gini(counts, 4) == pytest.approx(differences / (2 * 4 * counts.sum()))  # the definition by mean difference


def test_what_has_no_answer_is_refused() -> None:
    with pytest.raises(InvalidData, match="1 rankings for 3 gold sets"):
        micro_f1(GOLD, [["a"]])
    with pytest.raises(InvalidData, match="0 rankings for 0 gold sets"):
        hits_of([], [], 1)
    with pytest.raises(InvalidData, match="ranking 1 has a tag twice: 'a'"):
        hits_of([{"a"}], [["b", "a", "a"]], 3)
    with pytest.raises(InvalidData, match="k is 0"):
        hits_of(GOLD, RANKED, 0)
    with pytest.raises(InvalidData, match="gold set 2 is empty"):
        sizes_of([{"a"}, set()])
