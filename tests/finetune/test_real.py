from eval.rows import Row
from finetune.real import explanation, training_rows
from hangtag.listing import Listing
from hangtag.vocabulary import Tag, TagVocabulary

VOCABULARY = TagVocabulary(
    "shop",
    [
        Tag("shoes", {"en": "Shoes", "zh": "鞋"}),
        Tag("red", {"en": "Red", "zh": "红色"}, aliases={"en": ("crimson",)}),
        Tag("leather", {"en": "Leather", "zh": "皮革"}),
    ],
)


def test_tags_are_those_that_the_vocabulary_has_and_reasons_quote_the_listing():
    row = Row(Listing("Ellie CRIMSON shoes, size 9", id="1"), ("Material: Leather", "Colour: crimson", "Size: 9", "Shoes"))
    (made,) = training_rows([row], VOCABULARY)
    assert made.tags == ("red", "shoes", "leather")
    assert made.explanation in {"It says “CRIMSON” and “shoes”.", "The listing mentions “CRIMSON” and “shoes”."}


def test_rows_without_a_known_tag_are_left_out_and_reasons_without_words_say_so():
    rows = [Row(Listing("Ellie boots", id="1"), ("Boots",)), Row(Listing("艾莉", id="2"), ("红色",))]
    (made,) = training_rows(rows, VOCABULARY)
    assert (made.tags, made.explanation) == (("red",), "根据整体内容判断。")


def test_explanations_join_quotes_as_the_language_does():
    assert explanation(["a", "b", "c"], "en", 0) == "It says “a”, “b” and “c”."
    assert explanation(["a"], "en", 1) == "The listing mentions “a”."
    assert explanation(["甲", "乙"], "zh", 0) == "写到“甲”“乙”。"
