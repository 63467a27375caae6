"""Suggestions for rows with known tags, through the same `Suggester` that serves, and what they are worth. It knows how a run is
resumed and compares tags by id; it shows nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from eval.metrics import micro_f1, ndcg_at_k, precision_at_k, recall_at_k
from eval.rows import Row
from hangtag.errors import InvalidData, InvalidInput, InvalidVocabulary
from hangtag.history import InterestProfile
from hangtag.history_formats import with_ids
from hangtag.listing import Listing
from hangtag.lookup import tag_named
from hangtag.vocabulary import TagVocabulary
from serve.suggester import Suggester, SuggestionRequest

QUOTATION = re.compile("“([^”]*)”")
CONCURRENCY = 32
"""Requests under way at a time: what the local engine takes in one batch."""


@dataclass(frozen=True, slots=True)
class Question:
    """A row made into a request. `gold` are ids of tags; `key` is a hash over everything that decides the answer."""

    key: str
    id: str
    gold: tuple[str, ...]
    request: SuggestionRequest


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was answered to the question with the same key: ids of tags in the answer's order, and their confidences; the
    candidates that words alone gave, best first; how many quotations the explanation has, and how many stand nowhere."""

    key: str
    id: str
    gold: tuple[str, ...]
    tags: tuple[str, ...]
    confidences: tuple[float, ...]
    explanation: str
    language: str
    candidates: tuple[str, ...]
    quotes: int
    false_quotes: int


def with_known_tags(rows: Iterable[Row], vocabulary: TagVocabulary) -> list[Row]:
    """The rows with only those of their tags that the vocabulary has, by id, label, path or alias; rows without any are left
    out. For measuring a model on labels that are not its own: say how many rows and tags are left."""

    def known(tag: str) -> bool:
        try:
            tag_named(tag, vocabulary)
        except InvalidVocabulary:
            return False
        return True

    shortened = [(row, tuple(filter(known, row.tags))) for row in rows]
    return [replace(row, tags=tags) for row, tags in shortened if tags]


def make_questions(rows: Iterable[Row], suggester: Suggester, *, k: int) -> list[Question]:
    """A question for each row, at most k tags. A user's events count as old as they were at the row's time, or else at the
    last event. Raises `InvalidData` naming the row whose tags the vocabulary lacks."""
    vocabulary = suggester.vocabulary
    most = min(k, len(vocabulary))
    questions = []
    for row in rows:
        try:
            gold = _ids(row.tags, vocabulary)
            events = [with_ids(event, vocabulary) for event in row.events]
            now = row.at or max((event.at for event in events), default=None)
            profile = InterestProfile.from_events(events, vocabulary, now=now) if now else InterestProfile()
        except InvalidInput as error:
            raise InvalidData(f"row {row.listing.id!r}: {error}", field=error.field) from error
        decisive = [suggester.identity, most, repr(row)]
        key = hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:32]
        questions.append(Question(key, row.listing.id, gold, SuggestionRequest(row.listing, profile, max_tags=most)))
    return questions


async def predict(suggester: Suggester, questions: Sequence[Question]) -> AsyncIterator[Prediction]:
    """The predictions as they come, CONCURRENCY at a time. Raises `InvalidData` naming a row that can't be asked."""
    slots = asyncio.Semaphore(CONCURRENCY)
    tasks = [asyncio.create_task(_predict(suggester, question, slots)) for question in questions]
    try:
        for task in asyncio.as_completed(tasks):
            yield await task
    finally:
        for left in tasks:
            left.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def measure(predictions: Sequence[Prediction], *, k: int) -> dict[str, dict[str, float]]:
    """For what is served ("hangtag") and for the candidates alone: name of each metric -> its value; see `eval.metrics`."""
    gold = [prediction.gold for prediction in predictions]
    candidates = [prediction.candidates for prediction in predictions]
    reach = max(map(len, candidates))
    return {
        "hangtag": _metrics(gold, [prediction.tags for prediction in predictions], k),
        "candidates": {
            **_metrics(gold, [found[:k] for found in candidates], k),
            "R@32": recall_at_k(gold, candidates, max(1, reach)),
        },
    }


def _metrics(gold: Sequence[Sequence[str]], ranked: Sequence[Sequence[str]], k: int) -> dict[str, float]:
    return {
        "P@1": precision_at_k(gold, ranked, 1),
        f"P@{k}": precision_at_k(gold, ranked, k),
        f"R@{k}": recall_at_k(gold, ranked, k),
        "micro-F1": micro_f1(gold, ranked),
        f"nDCG@{k}": ndcg_at_k(gold, ranked, k),
    }


def stands_in(listing: Listing, quote: str) -> bool:
    """Whether the listing has the quotation as it was written, within a line."""
    return any(quote in line for line in listing.quotable())


def append_prediction(prediction: Prediction, path: Path) -> None:
    """One line more in a file that `read_predictions` reads."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(prediction), ensure_ascii=False) + "\n")


def read_predictions(path: Path) -> dict[str, Prediction]:
    """The predictions of an earlier run, by key; none where there is no file. A last line that an interruption cut off is
    removed from the file. Raises `InvalidData` naming the line for anything else."""
    if not path.exists():
        return {}
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    found: dict[str, Prediction] = {}
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            given = json.loads(line).items()
            fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given}
            prediction = Prediction(**fields)
            found[prediction.key] = prediction
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidData(f"{path}: line {number}: no prediction of this version; move the file away") from error
    return found


async def _predict(suggester: Suggester, question: Question, slots: asyncio.Semaphore) -> Prediction:
    listing = question.request.listing
    async with slots:
        try:
            suggestion = await suggester.suggest(question.request)
        except InvalidInput as error:
            raise InvalidData(f"row {question.id!r}: {error}", field=error.field) from error
        found = await asyncio.to_thread(suggester.candidates.find, listing)
    quotes = QUOTATION.findall(suggestion.explanation)
    return Prediction(
        key=question.key,
        id=question.id,
        gold=question.gold,
        tags=tuple(found.tag.id for found in suggestion.tags),
        confidences=tuple(found.confidence for found in suggestion.tags),
        explanation=suggestion.explanation,
        language=suggestion.language,
        candidates=tuple(suggester.vocabulary.tags[candidate.tag].id for candidate in found),
        quotes=len(quotes),
        false_quotes=sum(not stands_in(listing, quote) for quote in quotes),
    )


def _ids(names: Iterable[str], vocabulary: TagVocabulary) -> tuple[str, ...]:
    return tuple(dict.fromkeys(vocabulary.tags[tag_named(name, vocabulary)].id for name in names))
