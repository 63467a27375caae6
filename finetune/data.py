"""Training and validation rows of a recipe: read, split without leaks, their labels looked up in one vocabulary. It knows rows,
users and tags, and neither prompts nor models.

No product is on both sides. What a user did counts only where it is earlier than the row, is about another product, and that
product is a training one: what a shop would have known.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from eval.corpus import Corpus, prepare, with_tags_of_product
from eval.labels import labels_of
from eval.rows import Row
from eval.splits import draw, split_by_time
from finetune.config import Data
from finetune.feedback import Feedback
from finetune.sources import RowFiles, Source, read_sources
from hangtag.errors import InvalidData, InvalidVocabulary
from hangtag.formats import read_vocabulary
from hangtag.history import Event
from hangtag.lookup import tag_named
from hangtag.vocabulary import TagVocabulary

SALT = "validation:"
"""Put before ids: without it, rows that `hangtag eval split` left for training would give no validation rows."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """`learn` holds the training rows as its test rows, so that their requests are made as evaluation makes them; `held` the
    validation rows, with the training rows as what is known. `feedback` is by the id of a row. `notes` say what was left out and
    why."""

    vocabulary: TagVocabulary
    learn: Corpus
    held: Corpus
    notes: tuple[str, ...]
    feedback: Mapping[str, Feedback]

    @property
    def known(self) -> tuple[Row, ...]:
        """The training rows with tags that are right."""
        return self.held.train.rows if self.held.train is not None else ()

    @property
    def tag_counts(self) -> list[int]:
        """Training rows of each tag, by its index."""
        counts = Counter(tag for gold in self.learn.gold for tag in gold)
        return [counts[tag] for tag in range(len(self.vocabulary))]


def read_data(data: Data, name: str, *, preferences: bool = False) -> TrainingData:
    """The data of a recipe; the vocabulary is called `name`. With `preferences` the training rows are those that merchants gave
    feedback on, whether or not a tag was right. Raises `InvalidData`, `InvalidVocabulary` for what can't be read, and for sides
    without rows."""
    source = read_sources(data.files, data.feedback, skip_bad=data.skip_bad)
    notes: list[str] = []
    if source.rows.skipped:
        first = source.rows.skipped[0]
        notes.append(f"{len(source.rows.skipped):,} lines left out; {first.file}: line {first.line}: {first.reason}")
    if data.validation.file is not None:
        given = read_sources([data.validation.file], skip_bad=data.skip_bad)
        train, held, source = _given_apart(source, given, notes)
    else:
        train, held = _split(source.rows, data, notes)
    known = {_product(row) for row in train.rows}
    right, held = (_right(side, source.feedback) for side in (train, held))
    if preferences:
        learned = train.only(place for place, row in enumerate(train.rows) if row.listing.id in source.feedback)
    else:
        learned = right
        if wrong := len(train.rows) - len(right.rows):
            notes.append(f"{wrong:,} feedback rows left out: no tag is right; methods kto and dpo learn from them")
    for side, rows in (("training", learned), ("validation", held)):
        if not rows.rows:
            raise InvalidData(f"{rows.path}: no {side} rows; change data.validation.share, or give data.validation.file")
    learned, right, held = (_with_history(side, source, known, data.history) for side in (learned, right, held))
    if data.vocabulary is not None:
        vocabulary = read_vocabulary(data.vocabulary, name=name)
    else:
        vocabulary, merged = labels_of([right, held, _mentioned(source)], name)
        notes += [f"merged: {each.line()}" for each in merged[:5]]
    learned = _with_tags_of_products(learned, right)
    is_dropping = data.unknown_tags == "drop"
    if is_dropping:
        learned, right, held = (_with_known_events(side, vocabulary) for side in (learned, right, held))
    try:
        learn = prepare(None, learned, vocabulary, skip_bad=data.skip_bad, known_tags=is_dropping)
        corpus = prepare(right if right.rows else None, held, vocabulary, skip_bad=data.skip_bad, known_tags=is_dropping)
    except InvalidData as error:
        if error.field == "tags" and not is_dropping:
            raise InvalidData(f"{error}; add it to {data.vocabulary}, or set data.unknown_tags: drop", field="tags") from error
        raise
    return TrainingData(vocabulary, learn, corpus, (*notes, *learn.notes, *corpus.notes), source.feedback)


def _right(side: RowFiles, feedback: Mapping[str, Feedback]) -> RowFiles:
    """Without feedback that leaves no tag."""
    said = (feedback.get(row.listing.id) for row in side.rows)
    return side.only(place for place, each in enumerate(said) if each is None or each.right)


def _mentioned(source: Source) -> RowFiles:
    """Rows of feedback with every tag that it names."""
    rows = (replace(each.row, tags=(*each.suggested, *each.added)) for each in source.feedback.values())
    return source.rows.with_rows(rows)


def _product(row: Row) -> str:
    return row.product_id or row.listing.id


def _split(rows: RowFiles, data: Data, notes: list[str]) -> tuple[RowFiles, RowFiles]:
    share = data.validation.share
    if data.validation.by == "product":
        is_held = [draw(SALT + _product(row)) < share for row in rows.rows]
    else:
        try:
            _, latest = split_by_time(rows.rows, share)
        except InvalidData as error:
            raise InvalidData(f"{rows.path}: {error}", field="at") from error
        late = {row.listing.id for row in latest}
        is_held = [row.listing.id in late for row in rows.rows]
    train = rows.only(position for position, held in enumerate(is_held) if not held)
    known = {_product(row) for row in train.rows}
    kept = [position for position, held in enumerate(is_held) if held and _product(rows.rows[position]) not in known]
    if leaking := sum(is_held) - len(kept):
        notes.append(f"{leaking:,} validation rows left out: their products are training ones")
    return train, rows.only(kept)


def _given_apart(source: Source, given: Source, notes: list[str]) -> tuple[RowFiles, RowFiles, Source]:
    """Training rows without the products of a validation file."""
    held = {_product(row) for row in given.rows.rows}
    kept = [position for position, row in enumerate(source.rows.rows) if _product(row) not in held]
    if leaking := len(source.rows.rows) - len(kept):
        notes.append(f"{leaking:,} training rows left out: their products are validation ones")
    both = replace(source.rows, rows=source.rows.rows + given.rows.rows, lines=source.rows.lines + given.rows.lines)
    return source.rows.only(kept), given.rows, Source(both, {**source.behaviours, **given.behaviours}, source.feedback)


def _with_history(side: RowFiles, source: Source, known: set[str], most: int) -> RowFiles:
    """Rows of users with the events before them, at most the `most` latest; rows that bring events of their own keep them."""
    if not source.behaviours or not most:
        return side
    events: dict[str, list[tuple[datetime, str, Event]]] = defaultdict(list)
    for row in source.rows.rows:
        kind = source.behaviours.get(row.listing.id)
        if kind is not None and row.at is not None and _product(row) in known:
            events[row.user_id].append((row.at, _product(row), Event(kind, row.at, row.tags, _product(row))))
    for of_user in events.values():
        of_user.sort(key=lambda item: item[0])

    def earlier(row: Row) -> tuple[Event, ...]:
        if row.events or row.at is None or not row.user_id:
            return row.events
        of_user = events[row.user_id]
        before = of_user[: bisect_left(of_user, row.at, key=lambda item: item[0])]
        return tuple(event for _, product, event in before if product != _product(row))[-most:]

    return side.with_rows(replace(row, events=earlier(row)) for row in side.rows)


def _with_tags_of_products(side: RowFiles, known: RowFiles) -> RowFiles:
    """Events that name a product only get the tags that its training row has, as `eval.corpus` gives them to validation rows, but
    not those of the row itself, which are to be learned."""
    tags = {_product(row): row.tags for row in known.rows}

    def told(row: Row, event: Event) -> Event:
        return event if event.product == _product(row) else with_tags_of_product(event, tags)

    return side.with_rows(replace(row, events=tuple(told(row, event) for event in row.events)) for row in side.rows)


def _with_known_events(side: RowFiles, vocabulary: TagVocabulary) -> RowFiles:
    def is_known(tag: str) -> bool:
        try:
            tag_named(tag, vocabulary)
        except InvalidVocabulary:
            return False
        return True

    def kept(events: Sequence[Event]) -> tuple[Event, ...]:
        return tuple(replace(event, tags=tuple(filter(is_known, event.tags))) for event in events)

    return side.with_rows(replace(row, events=kept(row.events)) for row in side.rows)
