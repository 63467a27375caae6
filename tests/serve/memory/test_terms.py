import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hangtag.listing import Listing
from serve.memory.terms import LETTER_MARK, MOST_COUNTED, WIDTH, Terms, column, columns, counts, pack


def test_words_are_stemmed_and_parts_of_joined_names_count() -> None:
    terms = Terms.of(Listing("JetBrains dotPeek2 shirts", "A shirt."))
    assert terms.words["shirt"] == 2
    assert {"jetbrain", "jet", "brain", "dotpeek2", "peek"} <= set(terms.words)


def test_chinese_gives_ideographs_and_pairs() -> None:
    assert set(Terms.of(Listing("蓝牙耳机")).words) == {"蓝", "牙", "耳", "机", "蓝牙", "牙耳", "耳机"}


def test_letters_come_from_the_title_only_and_can_be_no_word() -> None:
    terms = Terms.of(Listing("Linen", "cotton"))
    assert set(terms.letters) == {
        LETTER_MARK + gram for gram in ("<li", "lin", "ine", "nen", "en>", "<lin", "line", "inen", "nen>")
    }
    assert not any(word.startswith(LETTER_MARK) for word in Terms.of(Listing("~tilde ~~~ shop", "~lin")).words)


def test_values_of_attributes_are_words() -> None:
    assert "navy" in Terms.of(Listing("Shirt", attributes=(("colour", "navy"),))).words


@given(st.text(min_size=1).filter(str.strip), st.text())
def test_packing_keeps_each_column_once_with_its_count(title: str, description: str) -> None:
    try:
        listing = Listing(title, description)
    except Exception:
        return
    terms = Terms.of(listing)
    packed = pack(terms)
    found = dict(zip(columns(packed).tolist(), counts(packed).tolist(), strict=True))
    assert len(found) == len(packed)
    assert np.all(np.diff(columns(packed).astype(np.int64)) > 0)
    for group in (terms.words, terms.letters):
        for term, count in group.items():
            assert 0 <= column(term) < WIDTH
            assert found[column(term)] >= min(count, MOST_COUNTED)
