"""Candidates and their prior: whole words, parts of words, Chinese, places, languages, meanings; offline, with fakes."""

from __future__ import annotations

import sys
import time
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hangtag.errors import EngineError
from hangtag.listing import MAX_CHARACTERS, Listing
from hangtag.vocabulary import ANY_LANGUAGE, Tag, TagVocabulary
from serve.candidates import COSINE_WEIGHT, LEXICAL_WEIGHT, Candidates, candidate_prior
from serve.semantic import SentenceTransformerEncoder


def plain(*labels: str) -> TagVocabulary:
    return TagVocabulary("test", [Tag(id=label, labels={ANY_LANGUAGE: label}) for label in labels])


def found(vocabulary: TagVocabulary, listing: Listing, count: int = 32) -> list[str]:
    return [vocabulary.tags[candidate.tag].id for candidate in Candidates(vocabulary).find(listing, count)]


def test_chinese_example() -> None:
    vocabulary = plain("手机壳", "降噪", "高品质", "蓝牙音箱", "蓝牙耳机", "连衣裙")
    assert set(found(vocabulary, Listing(title="高品质蓝牙耳机，降噪效果显著"))[:3]) == {"蓝牙耳机", "高品质", "降噪"}
    assert found(vocabulary, Listing(title="高品质蓝牙耳机，降噪效果显著"))[3:] == ["蓝牙音箱", "手机壳"]


def test_chinese_noun_is_named_by_its_end() -> None:
    assert found(plain("毛毯", "被套"), Listing(title="澳洲羊毛被")) == ["被套", "毛毯"]


@pytest.mark.parametrize("title", ["Linen SHIRT", "linen shirts", "ＬＩＮＥＮ shirt", "Shirt made of linen"])
def test_case_width_and_plural_do_not_count(title: str) -> None:
    assert found(plain("socks", "Linen Shirts"), Listing(title=title))[0] == "Linen Shirts"


def test_whole_phrase_beats_scattered_words() -> None:
    together, apart = (
        Candidates(plain("table lamp")).find(Listing(title=title))[0] for title in ("oak table lamp", "lamp, oak table")
    )
    assert together.score > apart.score


def test_prefix_label_comes_after_the_longer_one() -> None:
    vocabulary = plain("shirt", "shirt dress", "shirt dress pattern")
    assert found(vocabulary, Listing(title="Blue shirt dress"))[0] == "shirt dress"
    assert found(vocabulary, Listing(title="Blue shirt"))[0] == "shirt"


def test_part_of_a_word_counts_less_than_the_word() -> None:
    candidates = Candidates(plain("glasses", "cable"))
    (part,) = candidates.find(Listing(title="Retro sunglasses"))
    (whole,) = candidates.find(Listing(title="Retro glasses"))
    assert part.tag == whole.tag == 0
    assert 0 < part.score < whole.score <= 1


def test_title_before_description_before_attributes() -> None:
    vocabulary = plain("cotton", "linen", "wool")
    listing = Listing(title="wool scarf", description="with linen", attributes=(("lining", "cotton"),))
    assert found(vocabulary, listing) == ["wool", "linen", "cotton"]


def test_earlier_counts_more() -> None:
    assert found(plain("green", "brown"), Listing(title="brown and green")) == ["brown", "green"]


def test_symbols_that_tell_names_apart_are_kept() -> None:
    assert found(plain("c", "c#", "c++"), Listing(title="Learn C++ in a day"))[0] == "c++"


def test_equal_scores_in_the_order_of_the_vocabulary_even_past_what_is_rescored() -> None:
    vocabulary = TagVocabulary("test", [Tag(id=str(i), labels={ANY_LANGUAGE: "mug"}, facet=str(i)) for i in range(500)])
    assert found(vocabulary, Listing(title="a mug"), count=5) == ["0", "1", "2", "3", "4"]


def test_count_and_empty_result() -> None:
    vocabulary = plain("red mug", "blue mug", "green mug")
    assert len(found(vocabulary, Listing(title="mug"), count=2)) == 2
    assert found(vocabulary, Listing(title="四件套")) == []
    assert found(vocabulary, Listing(title="***")) == []
    assert found(plain("★", "!!"), Listing(title="★ !!")) == []


def test_alias_definition_and_other_language() -> None:
    vocabulary = TagVocabulary(
        "test",
        [
            Tag(id="phone", labels={"en": "phone", "zh": "手机"}, aliases={"en": ("mobile",)}),
            Tag(id="bag", labels={"en": "bag", "zh": "包"}, definition="carries things, such as a rucksack"),
            Tag(id="iphone", labels={"en": "iphone", "zh": "苹果"}),
        ],
    )
    assert found(vocabulary, Listing(title="Mobile with camera"))[0] == "phone"
    assert found(vocabulary, Listing(title="Alpine rucksack"))[0] == "bag"
    assert found(vocabulary, Listing(title="iPhone 保护套，颜色很多"))[0] == "iphone"


def test_the_value_of_an_attribute_is_what_a_listing_states() -> None:
    tags = [Tag(label, {"en": label}) for label in ("Flavour: dark roast", "Flavour: mild", "Brand: Roast & Co")]
    found = Candidates(TagVocabulary("attributes", tags)).find(Listing("Dark Roast coffee, 500 g"))
    assert (found[0].tag, found[0].stated) == (0, True)
    assert not any(each.stated for each in found[1:])


def test_own_language_comes_first() -> None:
    tags = [Tag(id="other", labels={"zh": "chat", "en": "talk"}), Tag(id="own", labels={"en": "chat", "zh": "聊天"})]
    assert found(TagVocabulary("test", tags), Listing(title="chat")) == ["own", "other"]


def test_prior_is_monotone_and_the_literal_label_wins_clearly() -> None:
    candidates = Candidates(plain("scarf", "card", "carpet")).find(Listing(title="Houndstooth scarf"))
    weights = [candidate_prior(candidates).weights[candidate.tag] for candidate in candidates]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] > weights[1] + 3
    assert candidate_prior([]).weights == {}


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="ab 蓝牙耳+#.", min_size=1, max_size=40).filter(lambda text: bool(text.strip())))
def test_scores_are_ordered_and_bounded(title: str) -> None:
    candidates = Candidates(plain("ab", "aba ab", "蓝牙", "b 耳", "a+")).find(Listing(title=title))
    assert candidates == sorted(candidates, key=lambda candidate: (-candidate.score, candidate.tag))
    assert all(0 < candidate.score <= 1 for candidate in candidates)


@pytest.mark.parametrize("text", ["降噪效果", "a", "ab cd "])
def test_longest_listing_is_quick(text: str) -> None:
    candidates = Candidates(plain("降噪", "ab", "cd"))
    listing = Listing(title=(text * MAX_CHARACTERS)[:MAX_CHARACTERS])
    start = time.perf_counter()
    candidates.find(listing)
    assert time.perf_counter() - start < 1  # 0.03 s on an idle core


class Colours:
    """A meaning is which of three colours, or what is of that colour, a text names."""

    model = "colours"

    def __init__(self) -> None:
        self.read: list[str] = []

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        self.read += texts
        groups = ["red crimson 红", "green grass 绿", "blue sky 蓝"]
        rows = np.array([[any(w in text for w in group.split()) for group in groups] for text in texts], dtype=np.float32)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)
        return rows


def test_encoder_finds_what_shares_no_letters() -> None:
    vocabulary = plain("red", "green", "blue")
    assert found(vocabulary, Listing(title="Like the sky")) == []
    (candidate,) = Candidates(vocabulary, encoder=Colours()).find(Listing(title="Like the sky"))
    assert candidate.tag == 2
    assert candidate.score == pytest.approx(COSINE_WEIGHT)


@pytest.mark.parametrize("language", ["EN", "en_GB", "en-Latn-US"])
def test_a_language_counts_however_it_is_written(language: str) -> None:
    candidates = Candidates(TagVocabulary("test", [Tag(id="1", labels={"en": "linen"})]))
    (expected,), (candidate,) = (candidates.find(Listing(title="Linen", language=given)) for given in ("en", language))
    assert candidate == expected


def test_encoder_and_words_are_blended() -> None:
    candidates = Candidates(plain("crimson", "red"), encoder=Colours()).find(Listing(title="Crimson dress, crimson belt"))
    assert [candidate.tag for candidate in candidates] == [0, 1]
    assert candidates[0].score > candidates[1].score


def test_encoder_reads_labels_in_a_sentence_and_definitions_as_they_are() -> None:
    encoder = Colours()
    tag = Tag(id="r", labels={"en": "red", "zh": "红"}, aliases={"en": ("crimson",)}, definition="What is red.")
    Candidates(TagVocabulary("test", [tag]), encoder=encoder).find(Listing(attributes=(("colour", "red"),)))
    sentences = ["A description of red.", "关于红的描述。", "A description of crimson.", "What is red."]
    assert encoder.read == [*sentences, "colour: red", "colour: red"]


def test_thesaurus_lends_wordings_and_its_own_tags_do_without() -> None:
    thesaurus = TagVocabulary("rich", [Tag(id="lamp", labels={"en": "lamps", "zh": "灯具"}, aliases={"zh": ("吊灯",)})])
    listing = Listing(title="北欧吊灯")
    assert found(plain("灯具"), Listing(title="Oak lamp")) == []
    (borrowed,) = Candidates(plain("床品", "灯具"), thesaurus=thesaurus).find(listing)
    (own,) = Candidates(thesaurus, thesaurus=thesaurus).find(listing)
    assert borrowed.tag == 1
    assert 0 < borrowed.score < own.score
    assert Candidates(thesaurus).find(listing) == [own]


def test_own_wording_wins_over_a_borrowed_one() -> None:
    thesaurus = TagVocabulary("rich", [Tag(id="lamp", labels={"en": "lighting"}, aliases={"en": ("lamp",)})])
    vocabulary = TagVocabulary("test", [Tag(id="l", labels={"en": "lighting"}), Tag(id="own", labels={"zh": "lamp"})])
    for title in ("oak lamp", "橡木 lamp 现代风格"):
        first, second = Candidates(vocabulary, thesaurus=thesaurus).find(Listing(title=title))
        assert (first.tag, second.tag) == (1, 0)
        assert first.score > second.score > 0


def test_borrowed_wordings_and_meanings_are_blended() -> None:
    thesaurus = TagVocabulary("rich", [Tag(id="lamp", labels={"en": "lighting"}, aliases={"en": ("lamp",)})])
    vocabulary = plain("red", "lighting")
    scores = [
        {candidate.tag: candidate.score for candidate in candidates.find(Listing(title="red lamp"))}
        for candidates in (
            Candidates(vocabulary, encoder=Colours(), thesaurus=thesaurus),
            Candidates(vocabulary, thesaurus=thesaurus),
        )
    ]
    assert scores[0][1] == pytest.approx(LEXICAL_WEIGHT * scores[1][1])
    assert scores[0][0] == pytest.approx(LEXICAL_WEIGHT * scores[1][0] + COSINE_WEIGHT)


def test_sentence_transformers_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(EngineError, match="install the extra `semantic`") as caught:
        SentenceTransformerEncoder("any").encode(["a"])
    assert isinstance(caught.value.__cause__, ImportError)


def test_sentence_transformers_failures_and_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    class Model:
        def __init__(self, name: str, device: str | None) -> None:
            if name == "absent":
                raise OSError("no such model")

        def encode(self, texts: list[str], *, normalize_embeddings: bool, **options: object) -> NDArray[np.float64]:
            assert normalize_embeddings
            if "too long" in texts:
                raise RuntimeError("out of memory")
            return np.ones((len(texts), 1))

    fake = ModuleType("sentence_transformers")
    fake.SentenceTransformer = Model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", fake)
    rows = SentenceTransformerEncoder("present").encode(["a", "b"])
    assert rows.shape == (2, 1)
    assert rows.dtype == np.float32
    with pytest.raises(EngineError, match="'absent' can't be loaded: no such model"):
        SentenceTransformerEncoder("absent").encode(["a"])
    with pytest.raises(EngineError, match="out of memory"):
        SentenceTransformerEncoder("present").encode(["too long"])


@pytest.mark.parametrize(
    ("title", "stated"),
    [
        ("Dress shoes, size 9", {"Dress shoes"}),
        ("Dress shoes and a matching dress", {"Dress shoes", "Dress"}),
        ("Dressing gown", set()),
        ("高品质蓝牙耳机，降噪效果显著", {"蓝牙耳机"}),
        ("棉", set()),  # one ideograph is a part of too many words
    ],
)
def test_what_a_listing_states_is_not_a_part_of_something_longer(title: str, stated: set[str]) -> None:
    labels = ("Dress", "Dress shoes", "Shoes", "耳机", "蓝牙耳机", "棉")
    vocabulary = TagVocabulary("shop", [Tag(id=label, labels={ANY_LANGUAGE: label}) for label in labels])
    found = Candidates(vocabulary).find(Listing(title))
    assert {labels[candidate.tag] for candidate in found if candidate.stated} == stated
    prior, plain = candidate_prior(found, stated=2.0), candidate_prior(found)
    for candidate in found:
        assert prior.weights[candidate.tag] - plain.weights[candidate.tag] == pytest.approx(2.0 * candidate.stated)


def test_among_some_tags_the_others_are_as_if_they_were_not_there() -> None:
    vocabulary = plain("running shoes", "shoes", "linen", "shirt")
    candidates = Candidates(vocabulary)
    listing = Listing(title="Linen shirt and running shoes")
    assert [c.stated for c in sorted(candidates.find(listing), key=lambda c: c.tag)] == [True, False, True, True]
    among = np.array([False, True, True, False])
    few = candidates.find(listing, among=among)
    assert {c.tag: c.stated for c in few} == {1: True, 2: True}
    assert candidates.find(listing, 1, among=among)[0].tag in (1, 2)
    assert candidates.find(listing, among=np.ones(4, np.bool_)) == candidates.find(listing)
    assert candidates.find(listing, among=np.zeros(4, np.bool_)) == []
