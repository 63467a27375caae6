import pytest

from hangtag.errors import InvalidVocabulary, UnknownLanguage
from hangtag.vocabulary import Tag, TagVocabulary


def tag(id, label=None, **rest):
    return Tag(id=id, labels={"en": label or id}, **rest)


def test_equal_labels_are_written_by_their_shortest_unique_path():
    vocabulary = TagVocabulary(
        "shop",
        [
            tag("shirts", "Shirts"),
            tag("trousers", "Trousers"),
            tag("1", "Linen", parent="shirts"),
            tag("2", "Linen", parent="trousers"),
        ],
    )
    assert vocabulary.written("en") == ("Shirts", "Trousers", "Shirts > Linen", "Trousers > Linen")


def test_a_root_keeps_its_label_when_the_other_can_be_longer():
    vocabulary = TagVocabulary("shop", [tag("linen", "Linen"), tag("shirts", "Shirts"), tag("2", "Linen", parent="shirts")])
    assert vocabulary.written("en") == ("Linen", "Shirts", "Shirts > Linen")


def test_the_facet_is_the_last_resort():
    vocabulary = TagVocabulary("shop", [tag("c", "Orange", facet="Colour"), tag("f", "Orange", facet="Flavour")])
    assert vocabulary.written("en") == ("Colour > Orange", "Flavour > Orange")


def test_case_tells_labels_apart():
    assert TagVocabulary("shop", [tag("a", "GO"), tag("b", "Go")]).written("en") == ("GO", "Go")


def test_equal_paths_are_an_error_that_names_both():
    with pytest.raises(InvalidVocabulary, match="tag 1 and tag 3 have the same label 'Linen'"):
        TagVocabulary("shop", [tag("a", "Linen"), tag("b", "Cotton"), tag("c", "Ｌinen")])


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ([], "no tags"),
        ([tag("a"), tag("a", "B")], "the same id"),
        ([tag("a", " ")], "no label"),
        ([tag("a", "x" * 201)], "201 characters"),
        ([tag("a", "x\x00")], "control character"),
        ([tag("a", parent="b")], "parent 'b' does not exist"),
        ([tag("a", parent="b"), tag("b", parent="a")], "circle"),
    ],
)
def test_what_is_refused(tags, message):
    with pytest.raises(InvalidVocabulary, match=message):
        TagVocabulary("shop", tags)


def test_find_ignores_case_and_prefers_labels_to_aliases():
    vocabulary = TagVocabulary("shop", [tag("a", "Earphones", aliases={"en": ("Headset",)}), tag("b", "Headset")])
    assert vocabulary.find("HEADSET") == [1, 0]
    assert vocabulary.find("nothing") == []


def test_a_language_without_labels_is_unknown():
    vocabulary = TagVocabulary("shop", [tag("a")])
    assert not vocabulary.speaks("zh")
    with pytest.raises(UnknownLanguage, match="no labels in 'zh', it has: en"):
        vocabulary.written("zh")


def test_the_hash_is_of_the_content_not_of_the_name():
    one, two = TagVocabulary("one", [tag("a")]), TagVocabulary("two", [tag("a")])
    assert one.hash == two.hash != TagVocabulary("one", [tag("a", facet="f")]).hash
