"""`Corpus`: training and test rows whose labels have become tags of one vocabulary, fit to be compared. It knows rows and a
vocabulary; no system, no metric, and nothing of where files come from but their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from scipy.sparse import csr_array

from eval.labels import labels_of
from eval.matrix import indicator
from eval.rows import Row, RowFile, Skipped
from eval.splits import draw
from hangtag.errors import InvalidData, InvalidInput, InvalidVocabulary
from hangtag.history import Event, InterestProfile
from hangtag.history_formats import with_ids
from hangtag.lookup import tag_named
from hangtag.vocabulary import TagVocabulary

MERGED_SHOWN = 10
"""Merged labels that are named in the notes; all of them are counted."""

Gold = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Corpus:
    """T tags; `gold` and `training_gold` are indexes into the vocabulary, in the order of the rows. `events` are the users'
    events with ids of tags. What was left out or merged is in `skipped` and `notes`."""

    vocabulary: TagVocabulary
    test: RowFile
    gold: tuple[Gold, ...]
    events: tuple[tuple[Event, ...], ...]
    train: RowFile | None = None
    training_gold: tuple[Gold, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Every line that was left out, training rows first."""
        return (*(self.train.skipped if self.train else ()), *self.test.skipped)

    @cached_property
    def training_labels(self) -> csr_array:
        """1 where a training row has a tag, shape (training rows, T)."""
        return indicator(self.training_gold, len(self.vocabulary))

    def profile(self, position: int) -> InterestProfile:
        """What the user of a test row did before it, as old as it was at the row's time, or else at the last event."""
        events = self.events[position]
        now = self.test.rows[position].at or max((event.at for event in events), default=None)
        return InterestProfile.from_events(events, self.vocabulary, now=now) if now else InterestProfile()

    def limited(self, limit: int | None) -> Corpus:
        """With at most `limit` test rows, drawn by a hash of their ids: a larger limit keeps the rows of a smaller one."""
        if limit is None or limit >= len(self.gold):
            return self
        drawn = sorted(range(len(self.gold)), key=lambda position: draw(self.test.rows[position].listing.id))[:limit]
        kept = sorted(drawn)
        test = replace(
            self.test,
            rows=tuple(self.test.rows[position] for position in kept),
            lines=tuple(self.test.lines[position] for position in kept),
        )
        note = f"{limit:,} of {len(self.gold):,} test rows, drawn by a hash of their ids"
        return replace(self._with(test, kept), notes=(*self.notes, note))

    def refusing(self, reasons: Mapping[int, str]) -> Corpus:
        """Without the test rows at some positions; the reason is kept for each. Raises `InvalidData` where no row is left."""
        if len(reasons) == len(self.gold):
            raise InvalidData(f"{self.test.path}: no row can be asked: {next(iter(reasons.values()))}")
        kept = [position for position in range(len(self.gold)) if position not in reasons]
        return self._with(self.test.without(reasons), kept)

    def _with(self, test: RowFile, kept: Sequence[int]) -> Corpus:
        gold, events = [self.gold[position] for position in kept], [self.events[position] for position in kept]
        return replace(self, test=test, gold=tuple(gold), events=tuple(events))


def prepare(
    train: RowFile | None,
    test: RowFile,
    vocabulary: TagVocabulary | None = None,
    *,
    skip_bad: bool = False,
    known_tags: bool = False,
) -> Corpus:
    """Rows whose tags are looked up in `vocabulary`, or in the labels of both files together. Raises `InvalidData` naming file
    and line for a test row whose id is in training too, an unknown tag or event, and for no test rows; with `skip_bad` such lines
    are left out (a shared id: from training). `known_tags` drops unknown tags first, and rows that then have none."""
    notes: list[str] = []
    if train is not None:
        train = _apart(train, test, skip_bad)
    if not test.rows:
        raise InvalidData(f"{test.path}: the file has no rows{' left' if test.skipped else ''}")
    if train is not None and not train.rows:
        raise InvalidData(f"{train.path}: the file has no rows{' left' if train.skipped else ''}")
    files = [file for file in (train, test) if file is not None]
    if vocabulary is None:
        vocabulary, merged = labels_of(files, "labels of training and test rows")
        if merged:
            notes.append(f"{sum(len(group.forms) - 1 for group in merged):,} labels merged into one that differs only in case")
            notes += [f"merged: {group.line()}" for group in merged[:MERGED_SHOWN]]
    training_gold: list[Gold] = []
    if train is not None:
        train, training_gold = looked_up(train, vocabulary, notes, skip_bad, known_tags)
    test, gold = looked_up(test, vocabulary, notes, skip_bad, known_tags)
    tags = {}
    if train is not None:
        for row, found in zip(train.rows, training_gold, strict=True):
            tags[row.product_id or row.listing.id] = tuple(vocabulary.tags[tag].id for tag in found)
        shared = len(tags.keys() & {row.product_id or row.listing.id for row in test.rows})
        if shared:
            notes.append(f"{shared:,} products are in training and test under different row ids")
    test, gold, events = _with_events(test, gold, vocabulary, tags, notes, skip_bad)
    return Corpus(vocabulary, test, tuple(gold), tuple(events), train, tuple(training_gold), tuple(notes))


def _apart(train: RowFile, test: RowFile, skip_bad: bool) -> RowFile:
    """The training rows whose ids are not in test."""
    tested = {row.listing.id: test.place(position) for position, row in enumerate(test.rows)}
    shared = {
        position: f"the id {row.listing.id!r} is in training and test: {tested[row.listing.id]} has it too"
        for position, row in enumerate(train.rows)
        if row.listing.id in tested
    }
    if shared and not skip_bad:
        position, reason = next(iter(shared.items()))
        raise InvalidData(f"{train.place(position)}: {reason}; {len(shared):,} rows are shared", field="id")
    return train.without(shared)


def looked_up(
    file: RowFile, vocabulary: TagVocabulary, notes: list[str], skip_bad: bool, known_tags: bool
) -> tuple[RowFile, list[Gold]]:
    """The rows with their tags by index; `notes` says what was dropped. Unknown tags as `prepare` takes them."""
    gold: list[Gold] = []
    bad: dict[int, str] = {}
    dropped: set[str] = set()
    without_any = 0
    for position, row in enumerate(file.rows):
        found: dict[int, None] = {}
        reason = ""
        for label in row.tags:
            try:
                found[tag_named(label, vocabulary)] = None
            except InvalidVocabulary as error:
                reason = reason or str(error)
                dropped.add(label)
        if reason and not known_tags and not skip_bad:
            raise InvalidData(f"{file.place(position)}: row {row.listing.id!r}: {reason}", field="tags")
        if (reason and not known_tags) or not found:
            bad[position] = reason
            without_any += known_tags
        else:
            gold.append(tuple(found))
    if known_tags and dropped:
        left_out = f"{without_any:,} rows and {len(dropped):,} labels"
        notes.append(f"left out of {file.path.name}, since the vocabulary lacks their tags: {left_out}")
    if len(bad) == len(file.rows):
        raise InvalidData(f"{file.path}: no row has a tag of the vocabulary {vocabulary.name!r}")
    return file.without(bad), gold


def _with_events(
    test: RowFile,
    gold: list[Gold],
    vocabulary: TagVocabulary,
    tags: dict[str, tuple[str, ...]],
    notes: list[str],
    skip_bad: bool,
) -> tuple[RowFile, list[Gold], list[tuple[Event, ...]]]:
    """Events that name a product only get the tags that its training row has: what a shop knows of its own products."""
    events: list[tuple[Event, ...]] = []
    bad: dict[int, str] = {}
    mute = 0
    for position, row in enumerate(test.rows):
        try:
            found = tuple(_event(event, vocabulary, tags) for event in row.events)
        except InvalidInput as error:
            if not skip_bad:
                raise InvalidData(f"{test.place(position)}: row {row.listing.id!r}: {error}", field=error.field) from error
            bad[position] = str(error)
        else:
            mute += sum(not event.tags for event in found)
            events.append(found)
    if mute:
        notes.append(f"{mute:,} events say nothing: they have no tags, and their products are not in training")
    kept = [found for position, found in enumerate(gold) if position not in bad]
    if not kept:
        raise InvalidData(f"{test.path}: the file has no rows left")
    return test.without(bad), kept, events


def _event(event: Event, vocabulary: TagVocabulary, tags: dict[str, tuple[str, ...]]) -> Event:
    return with_ids(with_tags_of_product(event, tags), vocabulary)


def with_tags_of_product(event: Event, tags: Mapping[str, tuple[str, ...]]) -> Event:
    """An event that names a product only gets the product's tags, as far as they are known."""
    return event if event.tags else replace(event, tags=tags.get(event.product, ()))


def label_count(rows: Iterable[Row]) -> int:
    """How many different labels the rows have, as they are written."""
    return len({tag for row in rows for tag in row.tags})
