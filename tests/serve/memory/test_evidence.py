import numpy as np
import pytest

from serve.candidates import Candidate
from serve.memory.evidence import COLUMNS, CONSIDERED, Integers, StatedRates, gather
from serve.memory.neighbours import Said


def said(tags: list[int], ridge: list[float]) -> Said:
    values = np.array(ridge)
    return Said(np.array(tags), values, values / 2, values**3, values, np.zeros(len(tags)), covered=0.5)


def test_neighbours_and_words_are_joined_by_tag() -> None:
    def used(tags: Integers) -> Integers:
        return np.where(tags == 9, 0, 4)

    words = [Candidate(7, 0.5, True), Candidate(9, 0.25, True)]
    found = gather(said([2, 7], [0.4, 0.8]), words, used, lambda tag: 0.6)
    assert found.tags.tolist() == [2, 7, 9]
    table = {name: found.table[:, place].tolist() for place, name in enumerate(COLUMNS)}
    assert table["ridge"] == pytest.approx([0.4, 0.8, 0])
    assert table["word"] == pytest.approx([0, 0.5, 0.25])
    assert table["word, by ridge"] == pytest.approx([0, 0.4, 0])
    assert table["stated and given"] == pytest.approx([0, 0.6, 0.6])
    assert (table["unused"], table["unused and stated"]) == ([0, 0, 1], [0, 0, 1])
    assert table["log times used"] == pytest.approx(np.log([4.5, 4.5, 0.5]))
    assert np.isfinite(found.table).all()


def test_of_many_tags_the_likeliest_are_looked_at_and_all_that_words_suggest() -> None:
    many = said(list(range(CONSIDERED * 2)), list(np.linspace(0, 1, CONSIDERED * 2)))
    found = gather(many, [Candidate(0, 0.1, False)], lambda tags: tags * 0, lambda tag: 0.0)
    assert found.tags.tolist() == [0, *range(CONSIDERED, CONSIDERED * 2)]


def test_nothing_known_is_no_evidence() -> None:
    found = gather(said([], []), [], lambda tags: tags, lambda tag: 0.0)
    assert found.table.shape == (0, len(COLUMNS))


def test_what_neighbours_say_can_be_faded_and_words_stay() -> None:
    words = [Candidate(7, 0.5, True), Candidate(9, 0.25, False)]
    found = gather(said([2, 7], [0.4, 0.8]), words, lambda tags: tags, lambda tag: 0.6)
    assert found.covered == 0.5
    assert np.array_equal(found.faded(1.0), found.table)
    half = dict(zip(COLUMNS, found.faded(0.5).T.tolist(), strict=True))
    whole = dict(zip(COLUMNS, found.table.T.tolist(), strict=True))
    assert half["ridge"] == pytest.approx([0.2, 0.4, 0])
    assert half["log vote"] == pytest.approx(np.log1p([0.1 / 0.02, 0.2 / 0.02, 0]))
    for name in ("word", "stated", "log stated and given", "unused", "log times used"):
        assert half[name] == whole[name]
    alone = gather(said([], []), words, lambda tags: tags, lambda tag: 0.6)
    assert np.allclose(found.faded(0.0)[1:], alone.table)


def test_a_rate_is_drawn_to_the_mean_and_leaves_out_the_listing_that_is_held_out() -> None:
    rates = StatedRates({"often": (9, 10), "never": (0, 10)})
    assert rates.mean == pytest.approx(9.3 / 21)
    assert rates.of("often") == pytest.approx((9 + 2 * rates.mean) / 12)
    assert rates.of("often", given=1, stated=1) == pytest.approx((8 + 2 * rates.mean) / 11)
    assert rates.of("unknown") == rates.of("unknown", given=1, stated=1) == pytest.approx(rates.mean)
