import pytest

from hangtag.errors import InvalidRules
from hangtag.rules import MOST_TAGS, AnswerRules
from hangtag.tag_rules import TagRules
from hangtag.vocabulary import Tag, TagVocabulary

VOCABULARY = TagVocabulary(
    "shop",
    [
        Tag(id="category/shirts", labels={"en": "Shirts", "zh": "衬衫"}, facet="category"),
        Tag(id="category/shoes", labels={"en": "Shoes"}, facet="category", aliases={"en": ("sneakers",)}),
        Tag(id="material/linen", labels={"en": "Linen"}, facet="material"),
    ],
)


def answer_rules(rules: TagRules) -> AnswerRules:
    return rules.answer_rules(VOCABULARY, min_tags=1, max_tags=2, explain=False)


def test_ids_become_indexes() -> None:
    rules = TagRules(
        banned=("material/linen", "material/linen"),
        only=("category/shoes", "category/shirts"),
        facet_limits={"category": 1, "material": 10**30},
        exclusions=(("category/shirts", "material/linen"),),
        parent_or_child=True,
    )
    assert answer_rules(rules) == AnswerRules(
        min_tags=1,
        max_tags=2,
        explain=False,
        banned=frozenset({2}),
        only=frozenset({0, 1}),
        facet_limits={"category": 1, "material": MOST_TAGS},
        exclusions=(frozenset({0, 2}),),
        parent_or_child=True,
    )
    assert answer_rules(TagRules()) == AnswerRules(min_tags=1, max_tags=2, explain=False)


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("Linen", "did you mean 'material/linen' (Linen)?"),
        ("LINEN ", "did you mean 'material/linen' (Linen)?"),
        ("衬衫", "did you mean 'category/shirts' (Shirts)?"),
        ("sneakers", "did you mean 'category/shoes' (Shoes)?"),
        ("material/linnen", "did you mean 'material/linen' (Linen)?"),
        ("Shrits", "did you mean 'category/shirts' (Shirts)?"),
        ("velvet", "rules name tags by their ids"),
        ("", "rules name tags by their ids"),
        ("x" * 100_000, "rules name tags by their ids"),
    ],
)
def test_an_unknown_id_is_named_with_what_was_probably_meant(written: str, hint: str) -> None:
    with pytest.raises(InvalidRules) as raised:
        answer_rules(TagRules(banned=("category/shoes", written)))
    message = str(raised.value)
    assert message.startswith(f"banned: the vocabulary 'shop' has no tag with the id {written[:80]!r}")
    assert message.endswith(hint)
    assert len(message) < 250
    assert raised.value.field == "banned[1]"


@pytest.mark.parametrize(
    ("rules", "field", "message"),
    [
        (TagRules(only=("nothing",)), "only[0]", "only: "),
        (TagRules(exclusions=(("category/shirts", "category/shoes"), ("category/shirts", "no"))), "exclusions[1][1]", "'no'"),
        (TagRules(exclusions=(("category/shirts", "category/shirts"),)), "exclusions[0]", "two of them at least"),
        (TagRules(exclusions=((),)), "exclusions[0]", "two of them at least"),
        (TagRules(facet_limits={"colour": 1}), "facet_limits", "no facet 'colour'; facets: category, material"),
        (TagRules(facet_limits={"category": -1}), "facet_limits", "can't be negative"),
    ],
)
def test_rules_that_say_nothing_sensible_are_refused(rules: TagRules, field: str, message: str) -> None:
    with pytest.raises(InvalidRules) as raised:
        answer_rules(rules)
    assert raised.value.field == field
    assert message in str(raised.value)


def test_of_many_facets_some_are_shown() -> None:
    vocabulary = TagVocabulary("many", [Tag(str(n), {"en": str(n)}, f"facet {n:03}") for n in range(500)])
    with pytest.raises(InvalidRules, match=r"facet 019, …$"):
        TagRules(facet_limits={"x": 1}).answer_rules(vocabulary, min_tags=1, max_tags=1, explain=True)
