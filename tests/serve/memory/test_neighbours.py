from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.kernel_ridge import KernelRidge

from hangtag.listing import Listing
from serve.memory.neighbours import RIDGE, VOTERS, Floats, _numbered, neighbourhood, say
from serve.memory.terms import Packed, Terms, pack

LETTERS = 0.3


def same(places: Packed) -> Floats:
    return np.ones(len(places))


def packed(*titles: str) -> list[Packed]:
    return [pack(Terms.of(Listing(title))) for title in titles]


def test_the_nearest_come_first_and_strangers_are_left_out() -> None:
    query, *others = packed("linen shirt", "wool socks", "linen shirt navy", "linen trousers", "linen shirt")
    near, order = neighbourhood(query, others, same, LETTERS)
    assert order.tolist() == [3, 1, 2]
    assert near.near.tolist() == sorted(near.near, reverse=True)
    assert near.near[0] == pytest.approx(1, abs=1e-6)
    assert np.diag(near.among) == pytest.approx(np.ones(3), abs=1e-6)


def test_a_listing_without_letters_is_compared_by_words_alone() -> None:
    query, other = packed("蓝牙耳机", "蓝牙耳机")
    near, _ = neighbourhood(query, [other], same, LETTERS)
    assert near.near[0] == pytest.approx(1, abs=1e-6)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["linen", "shirt", "wool", "socks", "navy", "airy"]), min_size=1), min_size=1, max_size=12),
    st.floats(0, 1),
)
def test_cosines_are_cosines(texts: Sequence[Sequence[str]], letters: float) -> None:
    near, order = neighbourhood(*packed("linen navy socks"), packed(*map(" ".join, texts)), same, letters)
    assert np.all((near.near > 0) & (near.near <= 1 + 1e-5))
    assert np.all(np.diff(near.near) <= 1e-6)
    assert len(set(order.tolist())) == len(order) <= len(texts)
    assert np.allclose(near.among, near.among.T, atol=1e-5)


def test_what_neighbours_say_is_kernel_ridge_and_votes() -> None:
    query, *others = packed("linen shirt navy", "linen shirt", "linen trousers navy", "navy socks", "shirt")
    tags = [[0, 5], [0], [7], [5]]
    near, order = neighbourhood(query, others, same, LETTERS)
    ordered = [tags[place] for place in order]
    said = say(near, ordered)
    assert said.tags.tolist() == [0, 5, 7]
    given = np.array([[tag in group for tag in (0, 5, 7)] for group in ordered], dtype=float)
    peer = KernelRidge(alpha=RIDGE, kernel="precomputed").fit(near.among, given)
    assert said.ridge == pytest.approx(peer.predict(near.near[None])[0], abs=1e-6)
    assert said.vote == pytest.approx(given.T @ near.near / near.near.sum())
    assert said.cubes == pytest.approx(given.T @ near.near**3 / (near.near**3).sum())
    assert said.nearest == pytest.approx([near.near[column > 0].max() for column in given.T])
    assert said.first.tolist() == given[0].tolist()
    assert said.covered == pytest.approx(near.near @ np.linalg.solve(near.among + RIDGE * np.eye(len(order)), near.near))
    assert said.faded(0.5).ridge == pytest.approx(said.ridge / 2)


def test_only_the_nearest_vote() -> None:
    query, *others = packed("linen", *["linen"] * VOTERS, "linen shirt")
    near, order = neighbourhood(query, others, same, LETTERS)
    said = say(near, [[int(place == VOTERS)] for place in order])
    assert said.vote.tolist() == pytest.approx([1, 0])


def test_listings_that_say_the_same_count_about_once() -> None:
    query, copied, other = packed("linen shirt", "linen airy", "shirt collar")
    near, order = neighbourhood(query, [copied] * 10 + [other], same, LETTERS)
    said = say(near, [[0] if place < 10 else [1] for place in order])
    assert said.vote[0] == pytest.approx(10 * said.vote[1], rel=0.3)
    assert said.ridge[0] < 3 * said.ridge[1]


def test_nobody_says_nothing() -> None:
    near, _ = neighbourhood(*packed("linen"), packed("wool"), same, LETTERS)
    assert (say(near, []).tags.tolist(), say(near, []).covered) == ([], 0)


@given(st.lists(st.integers(0, 40), max_size=60), st.lists(st.integers(0, 40), max_size=60))
def test_equal_columns_have_one_number(before: list[int], columns: list[int]) -> None:
    _numbered(np.array(before, dtype=np.uint32))  # what it leaves behind is not taken for this one's
    found = np.array(columns, dtype=np.uint32)
    place, different = _numbered(found)
    assert different[place].tolist() == columns
    assert len(set(different.tolist())) == len(different) == len(set(columns))
