"""The local engine's processor under a model that wants everything alike; ANSWERS=100000 in the environment asks for more."""

import os
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hangtag.answer import AnswerCodec
from hangtag.influence import prior_influence
from hangtag.prior import TagPrior
from hangtag.rules import AnswerRules
from hangtag.state import Phase
from hangtag.vocabulary import Tag, TagVocabulary
from serve.decoding.outlines import ConstraintProcessor
from tests.cases import codecs, constraints
from tests.fakes import codec_of, constraint_of, vocabulary_of

ANSWERS = int(os.environ.get("ANSWERS", "2000"))
BATCH = 100
LISTING = {
    "en": ["A soft linen shirt, breathable.", "Made for summer “days”"],
    "zh": ["高品质蓝牙耳机，降噪效果显著", "亚麻衬衫"],
}


def prefixes(language: str) -> AnswerCodec:
    """Tags that are prefixes of others, and of others still."""
    labels = [
        ("linen", "亚麻"),
        ("linen shirt", "亚麻衬衫"),
        ("linen shirts", "亚麻衬衫裙"),
        ("shirt", "衬衫"),
        ("shirt dress", "衬衫裙"),
    ]
    tags = [Tag(id=en, labels={"en": en, "zh": zh}) for en, zh in labels]
    words = ["lin", "linen", " shirt", "shirt", "s", " dress", "亚麻", "衬衫", "裙", "“", "”", "”。", "on“", "\n\n", "shirt\n"]
    return codec_of(TagVocabulary("prefixes", tags), words, language)


def large(language: str) -> AnswerCodec:
    """Two thousand tags of a few words."""
    words = [f"{a}{b}" for a in ("soft", "dry", "warm", "cool", "light") for b in ("wear", "ness", "er", "ly")]
    labels = [f"{words[i % 20]} {words[i // 20 % 20]} {i // 400}" for i in range(2000)]
    return codec_of(vocabulary_of(*labels), [*words, *(f" {word}" for word in words), "“", "”"], language)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("make", [prefixes, large])
def test_uniform_logits_never_leave_the_rules(make, language):
    codec, chance = make(language), random.Random(7)
    sampler = torch.Generator().manual_seed(7)
    for _ in range(max(1, ANSWERS // 4 // BATCH)):
        constraints = []
        for _ in range(BATCH):
            least = chance.randint(0, 3)
            rules = AnswerRules(least, chance.randint(max(least, 1), 5), chance.random() < 0.5, chance.choice([2, 9, 24]))
            prior = TagPrior({chance.randrange(len(codec.trie)): chance.uniform(-5, 5) for _ in range(3)})
            constraints.append(constraint_of(codec, rules, listing=LISTING[language], prior=prior))
        processor = ConstraintProcessor(constraints)
        ids = torch.zeros((BATCH, 1), dtype=torch.long)
        logits = torch.zeros((BATCH, codec.tokenizer.size + 7))
        while not all(processor.is_done(row) for row in range(BATCH)):
            chosen = torch.multinomial(processor(ids, logits).softmax(-1), 1, generator=sampler)
            ids = torch.cat([ids, chosen], dim=1)
            processor.observe(chosen[:, 0].tolist())
        for row, constraint in enumerate(constraints):
            answer = codec.read(processor.ids[row])  # raises on what is no tag, and on a repeated one
            assert constraint.rules.min_tags <= len(answer.tags) <= constraint.rules.max_tags
            assert processor.states[row].phase is Phase.DONE
            assert len(processor.ids[row]) == len(processor.logprobs[row]) == len(processor.unbiased[row])
            assert np.all(np.array(processor.logprobs[row]) <= 0)


def test_the_padded_tail_of_the_logits_is_masked_and_probabilities_are_those_after_the_mask():
    codec = codec_of(vocabulary_of("a", "b"))
    processor = ConstraintProcessor([constraint_of(codec, prior=TagPrior({1: 2.0}))])
    logits = torch.full((1, codec.tokenizer.size + 50), 9.0)
    masked = processor(torch.zeros((1, 3), dtype=torch.long), logits)
    a, b = codec.tokenizer.encode("ab")
    assert torch.isfinite(masked).sum() == 2
    expected = np.log(np.exp(2.0) / (1 + np.exp(2.0)))
    assert masked[0, b].item() == pytest.approx(expected)
    processor.observe([b])
    assert processor.logprobs == [[pytest.approx(expected)]]
    assert masked[0, a].item() < masked[0, b].item()


def test_a_cancelled_row_ends_while_its_neighbour_goes_on():
    codec, cancelled = codec_of(vocabulary_of("aaaa", "bbbb")), set()
    processor = ConstraintProcessor([constraint_of(codec), constraint_of(codec)], cancelled.__contains__)
    ids = torch.zeros((2, 1), dtype=torch.long)
    logits = torch.zeros((2, codec.tokenizer.size))
    processor(ids, logits)
    cancelled.add(0)
    chosen = torch.tensor([[codec.tokenizer.encode("a")[0]]] * 2)
    masked = processor(torch.cat([ids, chosen], dim=1), logits)
    assert torch.isfinite(masked[0]).nonzero().flatten().tolist() == [codec.eos_id]
    assert processor.is_done(0)
    assert not processor.is_done(1)


def greedy(constraint, logits):
    """The processor after an answer of a model that always wants the same."""
    processor, ids = ConstraintProcessor([constraint]), torch.zeros((1, 1), dtype=torch.long)
    while not processor.is_done(0):
        chosen = processor(ids, logits).argmax(-1, keepdim=True)
        ids = torch.cat([ids, chosen], dim=1)
        processor.observe(chosen[:, 0].tolist())
    return processor


@settings(max_examples=150, deadline=None)
@given(constraints(), st.integers(0, 2**32), st.sampled_from([0.0, 1e-6, 3.0]))
def test_what_would_have_won_is_what_wins_without_the_biases(constraint, seed, spread):
    chance = torch.Generator().manual_seed(seed)
    logits = torch.randn((1, constraint.compiled.tokenizer_size + 5), generator=chance) * spread
    processor = greedy(constraint, logits)
    state = constraint.start()
    for token, other in zip(processor.ids[0], processor.unbiased[0], strict=True):
        allowed = constraint.allowed(state)
        plain = dict(zip(allowed.tokens.tolist(), logits[0, allowed.tokens].tolist(), strict=True))
        assert plain[other] == max(plain.values()) or not np.ptp(allowed.bias)
        assert token == other or plain[token] < plain[other]
        state = constraint.advance(state, token)


@settings(max_examples=100, deadline=None)
@given(codecs(), st.integers(0, 2**32), st.sampled_from([0.0, 1e-6, 3.0]))
def test_without_a_prior_nothing_is_due_to_it(codec, seed, spread):
    logits = torch.randn((1, codec.tokenizer.size), generator=torch.Generator().manual_seed(seed)) * spread
    processor = greedy(constraint_of(codec), logits)
    assert processor.unbiased == processor.ids


def test_a_strong_prior_is_the_reason_and_says_what_would_have_come():
    codec = codec_of(vocabulary_of("linen", "silk", "wool"))
    logits = torch.zeros((1, codec.tokenizer.size))
    logits[0, codec.tokenizer.encode("s")] = 3.0
    rules = AnswerRules(max_tags=1, explain=False)
    for weight, tag, instead in ((9.0, 2, (1,)), (1.0, 1, ()), (0.0, 1, ())):
        constraint = constraint_of(codec, rules, prior=TagPrior({2: weight}))
        processor = greedy(constraint, logits)
        (found,) = prior_influence(constraint, processor.ids[0], processor.unbiased[0])
        assert (found.tag, found.instead, found.is_due_to_prior) == (tag, instead, bool(instead))
