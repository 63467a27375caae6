"""Rows as the requests that serving would make of them, and the answers that should follow. It knows the `Suggester`, which makes
every request, and no optimiser: a prompt here is the prompt of serving because nothing else writes one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from eval.corpus import Corpus
from eval.run import make_questions
from finetune.real import FRAMES, MOST_QUOTES, explanation
from hangtag.answer import Answer
from hangtag.constraint import AnswerConstraint
from hangtag.errors import InvalidData, InvalidInput
from hangtag.evidence import stated_span
from hangtag.listing import Listing
from hangtag.masks import Scratch
from hangtag.quotes import QuotableText
from serve.engines.engine import Generation, GenerationRequest
from serve.suggester import Suggester

Tick = Callable[[int], object]


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """What the engine would be asked, and the answer: tags (indexes) in the order of their importance, and the explanation, ""
    where only tags are learned. `position` is the row's in its corpus; `is_cut` where the listing did not fit."""

    request: GenerationRequest
    tags: tuple[int, ...]
    explanation: str
    position: int
    is_cut: bool

    def answer_ids(self, tags: Sequence[int]) -> tuple[list[int], int]:
        """The answer with its tags in this order, and how many of its ids are learned: all, or without an explanation those up to
        the empty line, so that what the model says afterwards stays as it was."""
        ids = self.request.codec.write(Answer(tuple(tags), self.explanation))
        return ids, len(ids) if self.explanation else len(ids) - 1

    @property
    def length(self) -> int:
        """Tokens of prompt and answer; the order of the tags does not change it."""
        return len(self.request.prompt) + len(self.answer_ids(self.tags)[0])

    def constraint(self) -> AnswerConstraint:
        """The decoder's state machine for this answer, as the engine would make it."""
        request = self.request
        quotable = QuotableText(request.quotable, request.codec.grammar)
        return AnswerConstraint(request.codec.compiled, request.rules, quotable, request.prior, request.evidence)


class Listener:
    """An engine that remembers what it was asked first, and answers the first tags there are. What a suggester asks after that is
    not the request: it wants to know what the answer owes to interests."""

    def __init__(self) -> None:
        self.heard: GenerationRequest | None = None

    async def generate(self, request: GenerationRequest) -> Generation:
        """See `Engine`."""
        self.heard = self.heard or request
        ids = request.codec.write(Answer(tuple(range(request.rules.min_tags))))
        return Generation(tuple(ids), (0.0,) * len(ids))

    async def close(self) -> None:
        """See `Engine`."""


def make_examples(
    suggester: Suggester, corpus: Corpus, *, max_tags: int, explain: bool, tick: Tick = lambda done: None
) -> list[Example]:
    """An example for each row of the corpus; the suggester's engine must be a `Listener`. Of more than `max_tags` tags the first
    are kept; a memory says what it would say if it did not hold the row. Raises `InvalidData` naming file and line for a row that
    can't be asked."""
    return asyncio.run(_make(suggester, corpus, max_tags, explain, tick))


async def _make(suggester: Suggester, corpus: Corpus, max_tags: int, explain: bool, tick: Tick) -> list[Example]:
    listener = suggester.engine
    assert isinstance(listener, Listener)
    examples: list[Example] = []
    for question in make_questions(corpus, suggester, k=max_tags, at_most=True, explain=explain):
        listener.heard = None
        try:
            suggestion = await suggester.suggest(replace(question.request, hold_out=True))
        except InvalidInput as error:
            place = corpus.test.place(question.position)
            raise InvalidData(f"{place}: row {question.id!r}: {error}", field=error.field) from error
        assert listener.heard is not None
        request, tags = listener.heard, corpus.gold[question.position][: listener.heard.rules.max_tags]
        examples.append(
            Example(request, tags, _explanation(request, tags) if explain else "", question.position, bool(suggestion.notices))
        )
        tick(len(examples))
    return examples


def _explanation(request: GenerationRequest, tags: Sequence[int]) -> str:
    """A sentence that quotes the words which state tags; "" where none are stated, or the decoder would not let it through."""
    codec = request.codec
    if codec.language not in FRAMES or not request.quotable:
        return ""
    listing = Listing(description="\n".join(request.quotable))
    spans = [stated_span(listing, codec.vocabulary.tags[tag].wordings(codec.language)) for tag in tags]
    quotes = list(dict.fromkeys(filter(None, spans)))[:MOST_QUOTES]
    while quotes:
        text = explanation(quotes, codec.language, len(listing.description))
        example = Example(request, tuple(tags), text, 0, False)
        if is_allowed(example):
            return text
        quotes.pop()  # two of them overlap, or it is too long
    return ""


def is_allowed(example: Example) -> bool:
    """Whether the decoder lets what is learned of the answer through, token by token."""
    constraint = example.constraint()
    state, scratch = constraint.start(), Scratch(constraint.compiled.tokenizer_size)
    ids, learned = example.answer_ids(example.tags)
    for token in ids[:learned]:
        words = constraint.mask(state, scratch)
        if not (int(words[token >> 5]) >> (token & 31)) & 1:
            return False
        state = constraint.advance(state, token)
    return True
