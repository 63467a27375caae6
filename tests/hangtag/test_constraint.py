import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hangtag.answer import Answer
from hangtag.constraint import AnswerConstraint
from hangtag.errors import InvalidRules
from hangtag.evidence import Evidence
from hangtag.explanation import CLOSE_QUOTE, OPEN_QUOTE
from hangtag.masks import Scratch
from hangtag.prior import TagPrior
from hangtag.quotes import QuotableText
from hangtag.rules import AnswerRules
from hangtag.state import Phase
from tests.cases import codecs, constraints
from tests.fakes import codec_of, constraint_of, random_answer, vocabulary_of

QUOTATION = re.compile(f"{OPEN_QUOTE}([^{CLOSE_QUOTE}]*){CLOSE_QUOTE}")


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_whatever_the_model_wants_the_answer_keeps_to_the_rules(data):
    codec = data.draw(codecs())
    constraint = data.draw(constraints(codec))
    ids = random_answer(constraint, random.Random(data.draw(st.integers())))
    answer = codec.read(ids)  # raises on a repeated tag and on anything outside the vocabulary
    rules, tags = constraint.rules, codec.vocabulary.tags
    chosen = set(answer.tags)
    assert rules.min_tags <= len(answer.tags) <= rules.max_tags
    assert not chosen & rules.banned
    assert rules.only is None or chosen <= rules.only
    assert all(sum(tags[tag].facet == facet for tag in chosen) <= limit for facet, limit in rules.facet_limits.items())
    assert all(len(chosen & group) <= 1 for group in rules.exclusions)
    assert not rules.parent_or_child or not {tags[tag].parent for tag in chosen} & {tags[tag].id for tag in chosen}
    assert len(ids) <= sum(len(codec.trie.ids(tag)) + 1 for tag in answer.tags) + 2 + rules.max_explanation_tokens
    assert bool(answer.explanation) == rules.explain
    assert not re.search(r"[\x00-\x1f\x7f<]|\]\(|://|www\.", answer.explanation, re.IGNORECASE)
    quotes = QUOTATION.findall(answer.explanation)
    assert all(any(quote in line for line in constraint.quotable.lines) for quote in quotes)
    assert OPEN_QUOTE not in QUOTATION.sub("", answer.explanation)
    assert CLOSE_QUOTE not in QUOTATION.sub("", answer.explanation)
    assert codec.write(Answer(answer.tags, ""))[:-1] == ids[: len(codec.write(Answer(answer.tags, ""))) - 1]


@settings(max_examples=300, deadline=None)
@given(constraints(), st.randoms(use_true_random=False))
def test_the_biases_along_a_path_add_up_to_the_weight_of_its_tag(constraint, chance):
    state, total = constraint.start(), 0.0
    while state.phase is Phase.TAGS:
        allowed = constraint.allowed(state)
        choice = chance.randrange(len(allowed.tokens))
        following = constraint.advance(state, int(allowed.tokens[choice]))
        total += float(allowed.bias[choice])
        if len(following.used) > len(state.used):
            assert total == pytest.approx(constraint.weight(following.used[-1]), abs=1e-4)
            total = 0.0
        state = following


@settings(max_examples=300, deadline=None)
@given(constraints(), st.randoms(use_true_random=False))
def test_the_packed_mask_is_what_is_allowed(constraint, chance):
    state, scratch = constraint.start(), Scratch(len(constraint.grammar.written))
    while state.phase is not Phase.DONE:
        words = constraint.mask(state, scratch)
        tokens = constraint.allowed(state).tokens
        assert np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")).tolist() == sorted(tokens.tolist())
        state = constraint.advance(state, int(chance.choice(tokens)))


@given(constraints(), st.integers())
def test_replay_leads_to_the_same_state(constraint, seed):
    ids = random_answer(constraint, random.Random(seed))
    assert constraint.replay(ids).phase is Phase.DONE


def tokens(constraint, state):
    return {constraint.grammar.written[int(token)].decode(errors="replace") for token in constraint.allowed(state).tokens}


def test_a_tag_that_is_used_closes_its_branch():
    codec = codec_of(vocabulary_of("linen", "linen shirt", "cotton"), ["linen", " shirt", "cotton"])
    constraint = constraint_of(codec, AnswerRules(min_tags=3, max_tags=3))
    assert tokens(constraint, constraint.start()) == {"linen", "cotton"}
    state = constraint.replay(codec.tokenizer.encode("linen"))
    assert tokens(constraint, state) == {"\n", " shirt"}
    state = constraint.replay([*codec.tokenizer.encode("linen\n"), *codec.tokenizer.encode("linen")])
    assert tokens(constraint, state) == {" shirt"}
    state = constraint.replay(codec.tokenizer.encode("linen\nlinen shirt\n"))
    assert tokens(constraint, state) == {"cotton"}


def test_the_prior_looks_ahead():
    codec = codec_of(vocabulary_of("linen", "linen shirt", "cotton"), ["linen", " shirt", "cotton"])
    constraint = constraint_of(codec, prior=TagPrior({1: 3.0, 2: 1.0}), rules=AnswerRules(max_tags=3))
    first = constraint.allowed(constraint.start())
    by_text = {codec.tokenizer.token_bytes(int(t)).decode(): float(b) for t, b in zip(first.tokens, first.bias, strict=True)}
    assert by_text == {"linen": 3.0, "cotton": 1.0}
    second = constraint.allowed(constraint.replay(codec.tokenizer.encode("linen")))
    by_text = {codec.tokenizer.token_bytes(int(t)).decode(): float(b) for t, b in zip(second.tokens, second.bias, strict=True)}
    assert by_text == {"\n": -3.0, " shirt": 0.0}


def quotable(text, listing):
    """Whether a quotation of exactly `text` can be written."""
    codec = codec_of(vocabulary_of("a"), [OPEN_QUOTE, CLOSE_QUOTE])
    constraint = constraint_of(codec, listing=listing)
    state = constraint.start()
    for token in codec.write(Answer((0,), f"x{OPEN_QUOTE}{text}{CLOSE_QUOTE}")):
        if token not in constraint.allowed(state).tokens:
            return False
        state = constraint.advance(state, token)
    return state.phase is Phase.DONE


@pytest.mark.parametrize(
    ("text", "possible"),
    [
        ("soft linen", True),
        ("linen", True),
        ("line", False),
        ("inen", False),
        ("Linen", False),
        ("linen shirt", False),  # across lines
        ("", False),
        (" linen", False),
        ("降噪", True),
        ("噪效", True),
        ("é", True),
        ("http", True),
        ("http://a", False),
        ("<xb", False),
        ("xb", True),
        ("x.com", False),
    ],
)
def test_what_can_be_quoted(text, possible):
    assert quotable(text, ["soft linen", "shirt 降噪效果 é http://a.b", "<xb>", "www.x.comb"]) is possible


def test_no_place_is_quoted_twice():
    codec = codec_of(vocabulary_of("a"), [OPEN_QUOTE, CLOSE_QUOTE, "soft", " linen", "linen"])
    constraint = constraint_of(codec, listing=["soft linen", "soft"])
    once = codec.write(Answer((0,), f"{OPEN_QUOTE}soft{CLOSE_QUOTE}"))[:-1]
    state = constraint.replay([*once, *codec.tokenizer.encode(OPEN_QUOTE)])
    assert tokens(constraint, state) == {"l", "linen"}
    twice = codec.write(Answer((0,), f"{OPEN_QUOTE}soft linen{CLOSE_QUOTE}"))[:-1]
    state = constraint.replay([*twice, *codec.tokenizer.encode(OPEN_QUOTE)])
    assert tokens(constraint, state) == {"s", "soft"}  # the other place
    over = codec.write(Answer((0,), f"{OPEN_QUOTE}linen{CLOSE_QUOTE}{OPEN_QUOTE}soft"))[:-1]
    assert not {" ", " linen"} & tokens(constraint, constraint.replay(over))
    both = codec.write(Answer((0,), f"{OPEN_QUOTE}soft{CLOSE_QUOTE}{OPEN_QUOTE}linen{CLOSE_QUOTE}"))[:-1]
    assert OPEN_QUOTE not in tokens(constraint, constraint.replay(both))


def test_a_quotation_leans_towards_the_evidence_of_the_answers_tags():
    codec = codec_of(vocabulary_of("a", "b"), [OPEN_QUOTE, CLOSE_QUOTE, "soft", " linen", " shirt"])
    evidence = Evidence({0: "linen shirt", 1: "soft"}, 3.0)
    constraint = AnswerConstraint(
        codec.compiled, AnswerRules(max_tags=2), QuotableText(["soft linen shirt"], codec.grammar), evidence=evidence
    )

    def leaning(text):
        allowed = constraint.allowed(constraint.replay(codec.tokenizer.encode(text)))
        found = zip(allowed.tokens, allowed.bias, strict=True)
        texts = {codec.tokenizer.token_bytes(int(token)).decode(errors="replace"): float(bias) for token, bias in found}
        return {text: bias for text, bias in texts.items() if "\ufffd" not in text}

    assert leaning(f"a\n\n{OPEN_QUOTE}") == {"soft": 0.0, "s": 0.0, "l": 3.0}
    assert leaning(f"a\n\n{OPEN_QUOTE}linen") == {" shirt": 3.0, " ": 3.0, CLOSE_QUOTE: 0.0}
    assert leaning(f"a\n\n{OPEN_QUOTE}linen shirt") == {CLOSE_QUOTE: 3.0}
    assert leaning(f"b\n\n{OPEN_QUOTE}") == {"soft": 3.0, "s": 3.0, "l": 0.0}
    assert leaning(f"b\n\n{OPEN_QUOTE}soft{CLOSE_QUOTE}{OPEN_QUOTE}") == {"l": 0.0, "s": 0.0}


def test_without_a_listing_nothing_can_be_quoted():
    codec = codec_of(vocabulary_of("a"), [OPEN_QUOTE, CLOSE_QUOTE])
    constraint = constraint_of(codec)
    state = constraint.replay(codec.tokenizer.encode("a\n\nx"))
    assert OPEN_QUOTE not in tokens(constraint, state)


@pytest.mark.parametrize(
    "text", ["a\x07", "<b", "x](", "http:/", "http://", "WwW.", '"', "»", "‘", "‹", "｢", "a  b", " a", "\u202e", "\x85", "a\n"]
)
def test_what_an_explanation_cannot_contain(text):
    codec = codec_of(vocabulary_of("a"))
    constraint = constraint_of(codec)
    state = constraint.replay(codec.tokenizer.encode("a\n\n"))
    allowed = True
    for token in codec.tokenizer.encode(text):
        allowed = token in constraint.allowed(state).tokens
        if not allowed:
            break
        state = constraint.advance(state, token)
    assert allowed is (text == "http:/")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_tags": 3, "max_tags": 2}, r"max_tags \(2\) is below min_tags \(3\)"),
        ({"min_tags": -1}, "negative"),
        ({"max_tags": 51}, "between 1 and 50"),
        ({"max_tags": 0, "min_tags": 0}, "between 1 and 50"),
        ({"max_explanation_tokens": 1}, "between 2 and 256"),
    ],
)
def test_rules_that_contradict_themselves(options, message):
    with pytest.raises(InvalidRules, match=message):
        AnswerRules(**options)


def test_more_tags_than_there_are():
    codec = codec_of(vocabulary_of("a", "b"))
    with pytest.raises(InvalidRules, match="min_tags is 3, but the vocabulary has only 2 tags"):
        constraint_of(codec, AnswerRules(min_tags=3, max_tags=3))
    with pytest.raises(InvalidRules, match="the prior names tag 2"):
        constraint_of(codec, prior=TagPrior({2: 1.0}))
