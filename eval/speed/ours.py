"""hangtag's own constraint as benchmarks see it, with every rule switched on: no tag twice, a facet limited to one tag, a prior
over 50 tags, quotations held to the listing. It knows how the scalar form is used, no tensors and no clock.

Every request brings a listing and a prior of its own, so nothing that belongs to a request is kept from one to the next.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import astuple, replace
from time import perf_counter

import numpy as np
import torch

from eval.speed.engine import MOST_TAGS_OF_ANSWER, Batch, Matcher, OneByOne, Prepared, Task, Words
from eval.speed.tags import FEWEST_TAGS, LIMITED_FACET
from hangtag.answer import Answer, AnswerCodec
from hangtag.constraint import AnswerConstraint
from hangtag.explanation import ExplanationGrammar
from hangtag.masks import Scratch
from hangtag.prior import TagPrior
from hangtag.quotes import QuotableText
from hangtag.rules import AnswerRules
from hangtag.trie import TokenTrie

TAGS_IN_PRIOR = 50
RULES = AnswerRules(min_tags=1, max_tags=MOST_TAGS_OF_ANSWER, facet_limits={LIMITED_FACET: 1})


class Hangtag:
    """What both forms share: the compiled vocabulary, and a constraint a request."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.grammar = ExplanationGrammar(task.tokenizer)

    def prepare(self) -> Prepared:
        start = perf_counter()
        self.codec = AnswerCodec(self.task.tokenizer, self.task.vocabulary, "en", self.grammar)
        whole = perf_counter() - start
        sequences = [self.codec.trie.ids(tag) for tag in range(self.task.size)]
        start = perf_counter()
        trie = TokenTrie.build(sequences)
        building = perf_counter() - start
        self.compiled = replace(self.codec.compiled, trie=trie)
        self.take_first_request()
        ready = perf_counter() - start
        return Prepared(ready, tokenising=whole - building, bytes=sum(array.nbytes for array in astuple(trie)))

    def answers(self) -> list[list[int]]:
        return [self.codec.write(Answer(sample.tags, sample.explanation)) for sample in self.task.samples]

    def constraint(self, number: int) -> AnswerConstraint:
        """What a request for sample `number` may answer; the prior names 50 tags, those of the answer among them."""
        sample = self.task.samples[number]
        chance = random.Random(number)
        weights = {tag: chance.uniform(0.5, 4.0) for tag in chance.sample(range(FEWEST_TAGS), TAGS_IN_PRIOR - len(sample.tags))}
        weights |= dict.fromkeys(sample.tags, 3.0)
        return AnswerConstraint(self.compiled, RULES, QuotableText(sample.lines, self.grammar), TagPrior(weights))

    def take_first_request(self) -> None:
        self.constraint(0).start()


class ScalarHangtag(Hangtag):
    """The definition, `hangtag.constraint`."""

    ways = ("one by one",)

    def open(self, number: int, words: Words) -> Matcher:
        return _ScalarMatcher(self.constraint(number))

    def batch(self, way: str, numbers: Sequence[int]) -> Batch:
        return OneByOne(self, numbers, np.zeros((len(numbers), self.task.mask_words), np.int32), self._mask)

    @staticmethod
    def _mask(logits: torch.Tensor, words: Words) -> None:
        """Row by row and bit by bit: numpy has nothing better."""
        width = logits.shape[1]
        for row, scores in zip(words, logits.numpy(), strict=True):
            scores[np.unpackbits(row.view(np.uint8), count=width, bitorder="little") == 0] = -np.inf


class _ScalarMatcher:
    def __init__(self, constraint: AnswerConstraint) -> None:
        self._constraint = constraint
        self._scratch = Scratch(len(constraint.grammar.written))
        self._buffer = self._scratch.words
        self._words = self._buffer.view(np.int32)
        self._state = constraint.start()

    def restart(self) -> None:
        self._state = self._constraint.start()

    def fill(self) -> Words:
        mask = self._constraint.mask(self._state, self._scratch)
        if mask is not self._buffer:  # others write into a buffer that they are given: so do we
            self._scratch.hold(mask)
        return self._words

    def accept(self, token: int) -> None:
        self._state = self._constraint.advance(self._state, token)
