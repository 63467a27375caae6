import pytest

from hangtag.errors import InvalidListing, ListingTooLong, UnknownLanguage
from hangtag.listing import MAX_CHARACTERS, Listing


def test_lines_are_what_a_model_sees_and_quotable_what_was_written():
    listing = Listing(" Mug ", "Blue.\n\n\tDishwasher  safe ", (("Colour", "blue"), ("Size", " ")))
    assert listing.lines() == ["Mug", "Blue.", "Dishwasher  safe", "Colour: blue"]
    assert listing.quotable() == ["Mug", "Blue.", "Dishwasher  safe", "blue"]


def test_full_width_punctuation_stays_as_it_was_written():
    assert Listing("蓝牙耳机，降噪").quotable() == ["蓝牙耳机，降噪"]


@pytest.mark.parametrize("empty", ["", "   ", "\n\t\n"])
def test_an_empty_listing_is_refused(empty):
    with pytest.raises(InvalidListing, match="empty"):
        Listing(empty)


def test_control_characters_are_refused_with_their_place():
    with pytest.raises(InvalidListing, match=r"description has the control character U\+0007 at offset 3") as caught:
        Listing("Mug", "abc\x07")
    assert caught.value.field == "description"


def test_too_long_a_listing_is_refused_with_its_length():
    with pytest.raises(ListingTooLong, match="100,003 characters"):
        Listing("Mug", "x" * 100_000)
    Listing("x" * MAX_CHARACTERS)


def test_an_attribute_needs_a_name():
    with pytest.raises(InvalidListing, match="attribute 1 has no name"):
        Listing("Mug", attributes=((" ", "blue"),))


def test_a_language_is_no_essay():
    assert Listing("a", language="a" * 100).language
    with pytest.raises(UnknownLanguage, match="over 100 characters"):
        Listing("a", language="a" * 101)


def test_the_language_said_wins():
    assert Listing("蓝牙耳机", language="en").resolved_language() == "en"
    assert Listing("蓝牙耳机").resolved_language() == "zh"
