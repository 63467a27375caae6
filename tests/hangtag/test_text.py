import pytest
from hypothesis import given
from hypothesis import strategies as st

from hangtag.text import (
    attribute_value,
    detect_language,
    first_control,
    fold,
    is_word_boundary,
    match_language,
    normalise,
    sentence_ends,
    word_edges,
)


def test_a_language_is_matched_from_its_beginning_however_long_it_is():
    available = ["en", "zh", "zh-Hant"]
    for wanted, found in (("zh-Hant-TW-x", "zh-Hant"), ("ZH_cn", "zh"), ("fr-zh", None), ("en" + "-a" * 500_000, "en")):
        assert match_language(wanted, available) == found
    assert match_language("en", []) is None


def test_normalise_folds_widths_and_white_space_but_not_case():
    assert normalise("  Ｌinen\u3000 shirt\n") == "Linen shirt"
    assert fold("LINEN  Shirt") == "linen shirt"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("高品质蓝牙耳机，降噪效果显著", "zh"),
        ("Sony WH-1000XM5 蓝牙耳机", "zh"),
        ("Noise cancelling headphones", "en"),
        ("A long English text about the one character 茶 and what it means to the people", "en"),
        ("12345", "en"),
        ("茶 123 456 789 ½ ²", "zh"),  # numbers are no words
    ],
)
def test_detect_language(text, language):
    assert detect_language(text) == language


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("Flavour: dark roast", "dark roast"),
        ("颜色：藏青", "藏青"),
        ("Brand: A: B", "A: B"),
        ("3:2", "3:2"),
        ("Colour: ", "Colour: "),
        (": red", ": red"),
        ("linen shirt", "linen shirt"),
        (f"{'long ' * 9}: red", f"{'long ' * 9}: red"),
    ],
)
def test_attribute_value(label, value):
    assert attribute_value(label) == value


@pytest.mark.parametrize(
    ("text", "offset"), [("a\x00b", 1), ("a\u202eb", 1), ("\ud800", 0), ("a\nb\tc", None), ("ab\x85", 2), ("降噪🎧", None)]
)
def test_first_control(text, offset):
    assert first_control(text) == offset


def test_words_end_where_letters_do_and_every_ideograph_is_a_word():
    text = "ANC降噪 3.5mm"
    assert [offset for offset in range(len(text) + 1) if is_word_boundary(text, offset)] == [0, 3, 4, 5, 6, 7, 8, 11]


def test_sentence_ends_know_both_languages_and_decimal_points():
    assert sentence_ends("It is 3.5 mm. Good! 很好。完") == [13, 19, 23, 24]


@given(st.text(alphabet="ab1 x亚麻🎧é\u0301“.\t-", max_size=30))
def test_the_edges_of_words_are_boundaries(text):
    starts, ends = word_edges(text)
    offsets = range(len(text) + 1)
    assert starts.tolist() == [o for o in offsets if is_word_boundary(text, o) and text[o : o + 1].isalnum()]
    assert ends.tolist() == [o for o in offsets if o and is_word_boundary(text, o) and not text[o - 1].isspace()]
