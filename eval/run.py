"""Rows asked through the same `Suggester` that serves. It knows how a row becomes a request and an answer a prediction; it
compares nothing and shows nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from eval.corpus import Corpus
from eval.predictions import Prediction, key_of
from hangtag.errors import InvalidData, InvalidInput
from hangtag.listing import Listing
from serve.suggester import Suggester, SuggestionRequest

QUOTATION = re.compile("“([^”]*)”")
CONCURRENCY = 64
"""Requests under way at a time: two batches of the local engine, so that the next one is ready when one ends."""


@dataclass(frozen=True, slots=True)
class Question:
    """A test row, by its position, made into a request. `gold` are ids; `key` is a hash over all that decides the answer."""

    key: str
    position: int
    id: str
    gold: tuple[str, ...]
    request: SuggestionRequest


def make_questions(
    corpus: Corpus, suggester: Suggester, *, k: int, at_most: bool = False, explain: bool = True
) -> list[Question]:
    """A question for each test row: exactly k tags (all of a smaller vocabulary), or with `at_most` one to k as the model likes.
    The suggester's vocabulary has to be the corpus's."""
    assert suggester.vocabulary.hash == corpus.vocabulary.hash, "gold tags are indexes into one vocabulary"
    most = min(k, len(corpus.vocabulary))
    least = 1 if at_most else most
    questions = []
    for position, row in enumerate(corpus.test.rows):
        try:
            profile = corpus.profile(position)
        except InvalidInput as error:
            raise InvalidData(f"{corpus.test.place(position)}: row {row.listing.id!r}: {error}", field=error.field) from error
        decisive = [suggester.identity, least, most, explain]
        key = key_of(decisive, [repr(row.listing), sorted(profile.weights.items()), corpus.gold[position]])
        gold = tuple(corpus.vocabulary.tags[tag].id for tag in corpus.gold[position])
        request = SuggestionRequest(row.listing, profile, min_tags=least, max_tags=most, explain=explain)
        questions.append(Question(key, position, row.listing.id, gold, request))
    return questions


async def predict(
    suggester: Suggester, questions: Sequence[Question]
) -> AsyncIterator[tuple[Question, Prediction | InvalidInput]]:
    """The predictions as they come, CONCURRENCY at a time; for a row that can't be asked, the error that says why. Long listings
    first: batches of rows alike waste least, and the bar ends no later than it said."""
    slots = asyncio.Semaphore(CONCURRENCY)
    ordered = sorted(questions, key=lambda question: -len(question.request.listing.text()))
    tasks = [asyncio.create_task(_asked(suggester, question, slots)) for question in ordered]
    try:
        for task in asyncio.as_completed(tasks):
            yield await task
    finally:
        for left in tasks:
            left.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def stands_in(listing: Listing, quote: str) -> bool:
    """Whether the listing has the quotation as it was written, within a line."""
    return any(quote in line for line in listing.quotable())


async def _asked(
    suggester: Suggester, question: Question, slots: asyncio.Semaphore
) -> tuple[Question, Prediction | InvalidInput]:
    async with slots:
        try:
            return question, await _predict(suggester, question)
        except InvalidInput as error:
            return question, error


async def _predict(suggester: Suggester, question: Question) -> Prediction:
    listing = question.request.listing
    suggestion = await suggester.suggest(question.request)
    found = await asyncio.to_thread(suggester.candidates.find, listing)
    quotes = QUOTATION.findall(suggestion.explanation)
    ordered = sorted(enumerate(suggestion.tags, start=1), key=lambda item: -item[1].confidence)  # of equals, the model's order
    return Prediction(
        key=question.key,
        id=question.id,
        gold=question.gold,
        tags=tuple(tag.tag.id for _, tag in ordered),
        confidences=tuple(tag.confidence for _, tag in ordered),
        places=tuple(place for place, _ in ordered),
        auto=frozenset(tag.tag.id for tag in suggestion.tags if tag.auto),
        explanation=suggestion.explanation,
        quotes=len(quotes),
        false_quotes=sum(not stands_in(listing, quote) for quote in quotes),
        candidates=tuple(suggester.vocabulary.tags[candidate.tag].id for candidate in found),
    )
