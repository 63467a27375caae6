import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hangtag.errors import InvalidRules
from hangtag.rules import AnswerRules
from hangtag.vocabulary import ANY_LANGUAGE, Tag, TagVocabulary
from tests.cases import codecs, rules
from tests.fakes import codec_of


def shop(*tags):
    """A vocabulary of (label, facet, parent)."""
    return codec_of(
        TagVocabulary("shop", [Tag(label, {ANY_LANGUAGE: label}, facet, parent=parent) for label, facet, parent in tags])
    ).compiled


COLOURS = shop(("red", "colour", None), ("blue", "colour", None), ("linen", "fabric", None), ("silk", "fabric", None))


def left(compiled, **options):
    """Tags that rules leave, by index."""
    return sorted(compiled.branches(AnswerRules(max_tags=2, **options)).ruled.trie.leaf_tag.tolist())


def test_what_rules_leave():
    assert left(COLOURS) == [0, 1, 2, 3]
    assert left(COLOURS, banned=frozenset({1})) == [0, 2, 3]
    assert left(COLOURS, only=frozenset({1, 2})) == [1, 2]
    assert left(COLOURS, only=frozenset({1, 2}), banned=frozenset({1})) == [2]
    assert left(COLOURS, facet_limits={"colour": 0}) == [2, 3]


def test_a_tag_rules_out_what_it_excludes_and_its_parent_or_child():
    family = shop(("shirt", "", None), ("polo", "", "shirt"), ("tee", "", "shirt"), ("hat", "", None))
    ruled = family.branches(AnswerRules(min_tags=0, max_tags=1, exclusions=(frozenset({2, 3}),), parent_or_child=True)).ruled
    out = {
        int(ruled.trie.leaf_tag[leaf]): {int(ruled.trie.leaf_tag[other]) for other in ruled.rules_out(leaf)} for leaf in range(4)
    }
    assert out == {0: {1, 2}, 1: {0}, 2: {0, 3}, 3: {2}}


@pytest.mark.parametrize(
    ("options", "message", "field"),
    [
        ({"banned": {9}}, "banned names tag 9, the vocabulary has 4 tags", "banned"),
        ({"only": {-1}}, "only names tag -1", "only"),
        ({"exclusions": ({0, 7},)}, "exclusions names tag 7", "exclusions"),
        ({"facet_limits": {"size": 1}}, "the facet 'size'; the vocabulary has: colour, fabric", "facet_limits"),
        ({"banned": {0, 1, 2, 3}}, "leave no tag at all", "banned"),
        ({"only": {0}, "banned": {0}}, "leave no tag at all", "only"),
        (
            {"min_tags": 3, "facet_limits": {"colour": 1, "fabric": 1}},
            "but the rules leave room for only 2",
            "min_tags",
        ),
        ({"min_tags": 3, "exclusions": ({0, 1}, {2, 3})}, "only 2 tags were found that can stand together", "min_tags"),
        ({"min_tags": 2, "only": {0}}, "leave room for only 1", "min_tags"),
    ],
)
def test_rules_that_leave_too_little(options, message, field):
    options = {name: frozenset(value) if isinstance(value, set) else value for name, value in options.items()}
    if "exclusions" in options:
        options["exclusions"] = tuple(map(frozenset, options["exclusions"]))
    with pytest.raises(InvalidRules, match=message) as caught:
        COLOURS.branches(AnswerRules(**{"max_tags": 4, **options}))
    assert caught.value.field == field


def test_more_classes_than_a_batch_can_tell_apart_are_refused():
    facets = [f"facet{number}" for number in range(63)]
    compiled = shop(*((f"{facet} {place}", facet, None) for facet in facets for place in range(2)))
    assert left(compiled, facet_limits=dict.fromkeys(facets[:62], 1))
    with pytest.raises(InvalidRules, match="make 63 classes of tags, at most 62 are possible; limit fewer"):
        left(compiled, facet_limits=dict.fromkeys(facets, 1))


def test_a_tag_that_takes_two_places_waits_until_one_more_is_enough():
    compiled = shop(("a", "", None), ("b", "", "a"), ("c", "", "a"), ("d", "", None))
    ruled = compiled.branches(AnswerRules(min_tags=3, max_tags=3, parent_or_child=True)).ruled
    waiting = {int(ruled.trie.leaf_tag[leaf]) for leaf in range(4) if ruled.leaf_class[leaf] >= 0}
    assert waiting == {0}  # b, c and d can stand together; a would leave only d
    assert ruled.closed((), 0) == ruled.closed((), 1) == 1
    assert ruled.closed((), 2) == 0


@settings(deadline=None)
@given(st.data())
def test_restricting_a_trie_keeps_its_form(data):
    codec = data.draw(codecs())
    trie = codec.compiled.branches(data.draw(rules(codec))).ruled.trie
    assert [trie.ids(int(tag)) for tag in trie.leaf_tag] == [codec.trie.ids(int(tag)) for tag in trie.leaf_tag]
    assert (trie.tag_leaf[trie.leaf_tag] == np.arange(len(trie))).all()
    assert (trie.tag_leaf >= 0).sum() == len(trie)
    for leaf in range(len(trie)):
        for node in trie.path(leaf):
            assert trie.leaf_start[node] <= leaf < trie.leaf_end[node]


def room(compiled, **options):
    return compiled.branches(AnswerRules(min_tags=0, max_tags=1, **options)).ruled.room


def test_room_is_what_the_limits_of_facets_leave():
    assert room(COLOURS) == 4
    assert room(COLOURS, facet_limits={"colour": 1}) == 3
    assert room(COLOURS, facet_limits={"colour": 1, "fabric": 0}) == 1
    assert room(COLOURS, facet_limits={"colour": 9}, banned=frozenset({0})) == 3
    assert room(shop(("a", "", None), ("b", "f", None)), facet_limits={"f": 1}) == 2


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 8), st.integers(4, 60), st.booleans())
def test_only_the_longest_labels_have_to_go(lengths, most, tokens, explain):
    compiled = shop(*((chr(97 + place) * length, "", None) for place, length in enumerate(lengths)))  # a byte is a token
    rules = AnswerRules(max_tags=min(most, len(lengths)), explain=explain, max_explanation_tokens=8)
    ruled = compiled.branches(rules).ruled

    def needed(tags):
        return sum(sorted((lengths[tag] for tag in tags), reverse=True)[: rules.max_tags]) + rules.max_tags + 2 + 8 * explain

    assert ruled.most_tokens(rules) == needed(range(len(lengths)))
    try:
        gone = ruled.too_long(rules, tokens)
    except InvalidRules:
        assert needed(sorted(range(len(lengths)), key=lengths.__getitem__)[: rules.max_tags]) > tokens
        return
    stay = [tag for tag in range(len(lengths)) if tag not in gone]
    assert len(stay) >= rules.max_tags
    assert needed(stay) <= tokens
    assert all(lengths[tag] >= lengths[other] for tag in gone for other in stay)
    assert all(needed([*stay, tag]) > tokens for tag in gone)
