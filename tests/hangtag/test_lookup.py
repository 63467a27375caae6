import pytest

from hangtag.errors import InvalidVocabulary
from hangtag.lookup import tag_named
from hangtag.vocabulary import Tag, TagVocabulary

VOCABULARY = TagVocabulary(
    "shop",
    [
        Tag(id="clothes", labels={"en": "Clothes", "zh": "服装"}),
        Tag(id="linen-shirt", labels={"en": "Linen"}, parent="clothes", aliases={"en": ("flax", "shirts")}),
        Tag(id="home", labels={"en": "Home"}),
        Tag(id="linen-sheet", labels={"en": "Linen"}, parent="home"),
        Tag(id="shirts", labels={"en": "Tops"}),
        Tag(id="tee", labels={"en": "Shirts"}),
    ],
)


@pytest.mark.parametrize(
    ("text", "tag_id"),
    [("home", "home"), ("服装", "clothes"), ("CLOTHES", "clothes"), ("flax", "linen-shirt"), ("Home > Linen", "linen-sheet")],
)
def test_a_tag_is_named_by_id_label_alias_or_path(text: str, tag_id: str) -> None:
    assert VOCABULARY.tags[tag_named(text, VOCABULARY)].id == tag_id


def test_an_id_goes_before_a_label_and_a_label_before_an_alias() -> None:
    assert VOCABULARY.tags[tag_named("shirts", VOCABULARY)].id == "shirts"
    assert VOCABULARY.tags[tag_named("Shirts", VOCABULARY)].id == "tee"


def test_what_may_be_two_tags_is_an_error_that_names_them() -> None:
    with pytest.raises(InvalidVocabulary, match=r"'linen' may mean any of 2 tags.*'linen-shirt', 'linen-sheet'"):
        tag_named("linen", VOCABULARY)


def test_an_unknown_tag_is_an_error_that_names_it() -> None:
    with pytest.raises(InvalidVocabulary, match="'shop' has no tag 'velvet'"):
        tag_named("velvet", VOCABULARY)
