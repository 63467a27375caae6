import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.ranking import cosines, diversified, importance, intra_list_diversity, shares, tag_scores

TAGS = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4, unique=True), min_size=1, max_size=12)


def test_importance_grows_with_each_of_its_parts() -> None:
    assert importance(0.5, 0.5, 2.0) == 0.5
    assert importance(0.9) > importance(0.8)


def test_shares_are_of_what_is_positive() -> None:
    assert shares({1: 3.0, 2: 1.0, 3: -5.0}) == {1: 0.75, 2: 0.25}
    assert shares({1: -1.0}) == {}


def test_a_users_tag_counts_the_more_the_more_it_goes_with_the_product() -> None:
    interests = {1: 1.0, 2: 1.0}
    scores = tag_scores(interests, given={3: 1.0}, around={1: 1.0, 4: 0.5})
    assert scores[1] > scores[2] > 0
    assert scores[3] == pytest.approx(0.45)
    assert 0 < scores[4] < scores[3]


def test_tags_that_a_user_turned_down_are_not_suggested_for_it() -> None:
    assert 1 not in tag_scores({1: -2.0}, given={}, around={2: 0.5})


def test_nothing_known_is_nothing_suggested() -> None:
    assert tag_scores({}, {}, {}) == {}


def test_cosines_of_products_by_hand() -> None:
    alike = cosines([[0, 1], [0], [2]], [1.0, 1.0, 3.0])
    assert alike[0, 1] == pytest.approx(2**-0.5)
    assert alike[0, 2] == 0
    assert np.diag(alike) == pytest.approx(1)


def test_a_likely_double_makes_room() -> None:
    relevance = np.array([1.0, 0.9, 0.5])
    alike = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1.0]])
    assert diversified(relevance, alike, 2, 0.0) == [0, 1]
    assert diversified(relevance, alike, 2, 0.5) == [0, 2]


@given(TAGS, st.integers(1, 6), st.floats(0, 1), st.data())
def test_a_diversified_list_has_what_was_asked_once_each(tags, count, diversity, data) -> None:
    relevance = np.array(data.draw(st.lists(st.floats(0, 10), min_size=len(tags), max_size=len(tags))))
    alike = cosines(tags, [1.0] * 6)
    chosen = diversified(relevance, alike, count, diversity)
    assert len(set(chosen)) == len(chosen) == min(count, len(tags))
    assert -1e-9 <= intra_list_diversity(alike[np.ix_(chosen, chosen)]) <= 1 + 1e-9
    if diversity == 0:
        assert relevance[chosen].tolist() == sorted(relevance, reverse=True)[:count]
