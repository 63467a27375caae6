"""Baselines on a shop of sixty listings that words tell apart: each learns, each gives exactly k tags, in order."""

from __future__ import annotations

import numpy as np
import pytest

from eval.baselines import NAMES, Baseline, Ranking, TrainingSet, pick, top, train
from eval.features import Features, recipes_for
from eval.matrix import indicator
from hangtag.errors import InvalidInput
from hangtag.listing import Listing
from tests.fakes import vocabulary_of

VOCABULARY = vocabulary_of("linen", "shirt", "mug", "ceramic", "material: steel", "unused")
KINDS = [("Linen shirt, number {}", (0, 1)), ("Ceramic mug, number {}", (2, 3)), ("Steel mug, number {}", (2, 4))]
TRAINING = TrainingSet(
    [Listing(text.format(n), id=f"{kind}.{n}") for n in range(20) for kind, (text, _) in enumerate(KINDS)],
    [gold for _ in range(20) for _, gold in KINDS],
    VOCABULARY,
)
ASKED = [Listing("A shirt of linen", id="x"), Listing("Mug of steel", id="y"), Listing("☕", id="z")]


def _trained(name: str, training: TrainingSet = TRAINING) -> Baseline:
    if name == "omikuji":
        pytest.importorskip("omikuji")
    return train(name, training, 2)


@pytest.mark.parametrize("name", NAMES)
def test_each_gives_exactly_k_tags_with_descending_confidence(name: str) -> None:
    done: list[float] = []
    ranking = _trained(name).rank(ASKED, 3, done.append)
    assert ranking.tags.shape == ranking.confidences.shape == (3, 3)
    for tags, confidences in zip(ranking.tags.tolist(), ranking.confidences.tolist(), strict=True):
        assert len(set(tags)) == 3
        assert confidences == sorted(confidences, reverse=True)
        assert all(0 <= confidence <= 1 for confidence in confidences)
    assert done[-1] == 1


@pytest.mark.parametrize("name", ["tfidf", "logistic", "omikuji"])
def test_those_that_learn_tell_listings_apart(name: str) -> None:
    trained = _trained(name)
    tags = trained.rank(ASKED, 2, lambda _: None).tags.tolist()
    assert set(tags[0]) == {0, 1}
    assert set(tags[1]) == {2, 4}
    assert "features" in trained.picked


def test_a_smaller_vocabulary_is_given_whole() -> None:
    assert _trained("popularity").rank(ASKED, 50, lambda _: None).tags.shape == (3, 6)


def test_popularity_counts_and_says_how_often() -> None:
    ranking = _trained("popularity").rank(ASKED[:1], 3, lambda _: None)
    assert ranking.tags.tolist() == [[2, 0, 1]]  # of equals the first
    assert ranking.confidences == pytest.approx(np.array([[2 / 3, 1 / 3, 1 / 3]]))


def test_alias_match_finds_values_of_attributes_and_knows_how_often_that_was_right() -> None:
    ranking = _trained("alias").rank(ASKED[1:2], 2, lambda _: None)
    assert set(ranking.tags[0].tolist()) == {2, 4}
    assert (ranking.confidences > 0.9).all()
    wrong = TrainingSet(TRAINING.listings, [(5,)] * len(TRAINING.gold), VOCABULARY)
    found = _trained("alias", wrong).rank(ASKED[1:2], 2, lambda _: None)
    assert found.tags[0, 0] == 5  # a mug was never tagged mug: what is popular comes first
    assert found.confidences[0, 1] < 0.1


def test_chinese_values_need_no_spaces() -> None:
    training = TrainingSet([Listing("蓝牙耳机", id="1")], [(0,)], vocabulary_of("耳机", "衬衫"))
    ranking = train("alias", training, 1).rank([Listing("高品质蓝牙耳机", id="2")], 1, lambda _: None)
    assert ranking.tags.tolist() == [[0]]


def test_recipes_suit_the_language_of_most_listings() -> None:
    assert recipes_for([Listing("蓝牙耳机"), Listing("亚麻衬衫"), Listing("Mug")]) == ("characters 1-2", "characters 1-3")
    assert all(recipe.startswith("word") for recipe in recipes_for([Listing("Mug")]))


def test_features_have_length_one_and_survive_texts_without_any() -> None:
    features, matrix = Features.fit("words 1-2, word parts 3-5", [Listing("Linen shirt"), Listing("Blue mug"), Listing("A mug")])
    assert np.sqrt(matrix.multiply(matrix).sum(axis=1)) == pytest.approx(1)
    assert features([Listing("☕")]).shape == (1, matrix.shape[1])
    _, nothing = Features.fit("words", [Listing("☕"), Listing("!")])
    assert nothing.shape == (2, 1)


class _Constant:
    """Always gives one tag."""

    def __init__(self, tag: int) -> None:
        self.tag = tag
        self.picked: dict[str, object] = {}

    def rank(self, listings: list[Listing], k: int, tick: object) -> Ranking:
        return Ranking(np.full((len(listings), 1), self.tag), np.ones((len(listings), 1)))


def test_the_setting_that_is_best_on_held_out_rows_is_picked() -> None:
    sizes: list[int] = []

    def trained(part: TrainingSet, tag: int) -> _Constant:
        sizes.append(len(part.listings))
        return _Constant(tag)

    best, tried = pick(TRAINING, [5, 2, 0], trained, 1)  # type: ignore[arg-type]
    assert best == 2
    assert [tag for tag, _ in tried] == [5, 2, 0]
    assert sizes == [48] * 3
    few = TRAINING.part(range(10))
    assert pick(few, [5, 2], trained, 1) == (5, [])  # type: ignore[arg-type]


def test_top_breaks_ties_by_popularity_and_never_rises() -> None:
    labels = indicator([[1], [1], [0]], 3)
    ranking = top(np.array([[0, 0, 0.1]], dtype=np.float32), 3, labels)
    assert ranking.tags.tolist() == [[2, 1, 0]]
    assert ranking.confidences == pytest.approx(np.array([[0.1, 0.1, 0.1]]))


def test_an_unknown_baseline_is_refused() -> None:
    with pytest.raises(InvalidInput, match="unknown baseline 'magic'; use popularity, tfidf"):
        train("magic", TRAINING, 1)
