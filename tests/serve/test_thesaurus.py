"""What tags borrow from a small thesaurus: same and similar labels, broad and narrow tags, many borrowers."""

from __future__ import annotations

import pytest

from hangtag.text import fold, is_han
from hangtag.vocabulary import ANY_LANGUAGE, Tag, TagVocabulary
from serve.thesaurus import BORROWED_WEIGHT, CHILD_WEIGHT, LINKS, Thesaurus

RICH = TagVocabulary(
    "rich",
    [
        Tag(id="kitchen", labels={"en": "Kitchen & dining", "zh": "餐厨用品"}, aliases={"en": ("kitchens",)}),
        Tag(id="pots", labels={"en": "cookware", "zh": "锅具"}, parent="kitchen"),
        Tag(id="woks", labels={"en": "woks", "zh": "炒锅"}, parent="pots"),
        Tag(id="decor", labels={"en": "home decor", "zh": "家居装饰"}, aliases={"zh": ("软装",)}),
        Tag(id="bedding", labels={"en": "bedding", "zh": "床品"}, aliases={"zh": ("四件套", "床品套件")}),
        Tag(id="lamps", labels={"en": "lamps", "zh": "灯具"}, definition="Things like mirrors, but bright."),
    ],
)


def pieces(text: str) -> list[str]:
    return [word if is_han(word[0]) else word.removesuffix("s") for word in fold(text).replace("&", " ").split()]


def borrowed(labels: list[str], thesaurus: TagVocabulary, scores: dict[str, float]) -> list[float]:
    """What tags with these labels borrow when tags of the thesaurus have these scores."""
    vocabulary = TagVocabulary(
        "test", [Tag(id=f"{n}", labels={ANY_LANGUAGE: label}, facet=f"{n}") for n, label in enumerate(labels)]
    )
    found = Thesaurus(thesaurus, vocabulary, pieces).borrowed((thesaurus.index(tag), score) for tag, score in scores.items())
    return [float(value) for value in found]


@pytest.mark.parametrize("label", ["灯具", "Lamp", "ＬＡＭＰＳ", "lamps"])
def test_same_label_borrows_most(label: str) -> None:
    assert borrowed([label], RICH, {"lamps": 0.5}) == pytest.approx([BORROWED_WEIGHT * 0.5])


@pytest.mark.parametrize(("label", "tag"), [("床品件套", "bedding"), ("布艺软装", "decor"), ("homedecor", "decor")])
def test_similar_label_borrows_less_than_the_same(label: str, tag: str) -> None:
    similar, other = borrowed([label, "socks"], RICH, {tag: 1})
    assert 0 < similar < 0.9 * BORROWED_WEIGHT
    assert other == 0


def test_nothing_in_common_nothing_borrowed() -> None:
    everything = {tag.id: 1.0 for tag in RICH}
    assert borrowed(["zebra", "魔兽", "★", "mirror"], RICH, everything) == [0, 0, 0, 0]
    assert borrowed(["zebra"], RICH, {}) == [0]
    assert borrowed(["zebra"], TagVocabulary("mute", [Tag(id="star", labels={"en": "★"})]), {"star": 1}) == [0]


def test_what_is_the_same_is_not_also_similar() -> None:
    assert borrowed(["home decor"], RICH, {"decor": 1})[0] > 0
    two = TagVocabulary("two", [Tag(id="lamp", labels={"en": "lamp"}), Tag(id="oil", labels={"en": "lamp oil"})])
    assert borrowed(["lamp"], two, {"oil": 1}) == [0]
    assert borrowed(["oil"], two, {"oil": 1})[0] > 0


def test_words_the_thesaurus_does_not_know_keep_apart() -> None:
    near, far = borrowed(["home", "home zebra"], RICH, {"decor": 1})
    assert near > far


def test_broad_tags_borrow_from_narrow_ones_and_not_the_reverse() -> None:
    broad, middle, narrow = borrowed(["kitchen", "cookware", "炒锅"], RICH, {"woks": 1})
    assert narrow == pytest.approx(BORROWED_WEIGHT)
    assert middle == pytest.approx(BORROWED_WEIGHT * CHILD_WEIGHT)
    assert broad == pytest.approx(BORROWED_WEIGHT * CHILD_WEIGHT**2)
    assert borrowed(["kitchen", "cookware", "炒锅"], RICH, {"kitchen": 1})[1:] == [0, 0]


def test_best_score_counts_in_any_order() -> None:
    assert borrowed(["kitchen"], RICH, {"kitchen": 0.9, "woks": 0.5}) == borrowed(
        ["kitchen"], RICH, {"woks": 0.5, "kitchen": 0.9}
    )
    assert (
        borrowed(["kitchen"], RICH, {"kitchen": 0.1, "woks": 1})
        == borrowed(["kitchen"], RICH, {"woks": 1, "kitchen": 0.1})
        == borrowed(["kitchen"], RICH, {"woks": 1})
    )


def test_what_many_borrow_counts_less_but_not_for_closer_ones() -> None:
    one, four = borrowed(["lamp"], RICH, {"lamps": 1})[0], borrowed(["lamp", "lamps", "LAMP", "灯具"], RICH, {"lamps": 1})
    assert four == pytest.approx([one / 2] * 4)
    same, *similar = borrowed(["lamp", "desk lamp", "floor lamp"], RICH, {"lamps": 1})
    assert same == pytest.approx(one)
    assert similar[0] < borrowed(["desk lamp"], RICH, {"lamps": 1})[0]


def test_borrows_from_few() -> None:
    many = TagVocabulary("many", [Tag(id=f"t{n}", labels={"en": f"lamp {'x' * n}y"}) for n in range(3 * LINKS)])
    assert sum(borrowed(["lamp"], many, {f"t{n}": 1})[0] > 0 for n in range(3 * LINKS)) == LINKS
