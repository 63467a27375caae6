"""A whole catalogue through the `Suggester`: what is tagged already is left alone, the engine is kept full, every answer is kept
the moment it comes, and the file is written when all are there. It knows no command and no progress bar.

Killed at any moment and run again, it goes on: answers are in the journal beside the file that is to be, `OUT.hangtag.jsonl`.
Rows that can't be tagged are in `OUT.bad.jsonl`, each with its line and the reason.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from hangtag.errors import InvalidAnswer, InvalidData, InvalidInput, InvalidRules, OutputError
from hangtag.files import whole
from hangtag.tag_rules import TagRules
from hangtag.text import fold
from serve.catalogue.answer import Answer
from serve.catalogue.items import BadItem, Item, Layout
from serve.catalogue.journal import Journal, key_of
from serve.catalogue.tables import BrokenRecord, Table
from serve.catalogue.writing import check_endings, writing
from serve.engines.choice import LOCAL
from serve.suggester import Suggester, SuggestionRequest

FORMAT = 2
"""Raised when the same answer is written in another way, so that what was tagged before is tagged again."""

IN_FLIGHT = 64
"""Requests under way at a time: two batches of the local engine, so that the next one is ready when one ends."""

VLLM_IN_FLIGHT = 384
"""The same for vLLM, which works on 256 at once unless it is told otherwise: as many, and half of them waiting."""

WINDOW = 2048
"""Items that are asked in the order of their length: batches of rows alike waste least."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What every answer of a catalogue is to be like; see `SuggestionRequest`."""

    min_tags: int = 1
    max_tags: int | None = None
    explain: bool = True
    rules: TagRules = field(default_factory=TagRules)
    min_confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """How many items a catalogue has, how many of them are tagged already, and how many can't be read."""

    items: int
    tagged: int
    bad: int


@dataclass(frozen=True, slots=True)
class Result:
    """How many items were written with tags, how many could not be tagged, where those are, and why the first is one."""

    tagged: int
    bad: int
    bad_file: Path
    first_reason: str


def journal_file(out: Path) -> Path:
    """Where answers are kept for the catalogue that is written to `out`."""
    return out.with_name(f"{out.name}.hangtag.jsonl")


def bad_file(out: Path) -> Path:
    """Where rows go that can't be tagged."""
    return out.with_name(f"{out.name}.bad.jsonl")


def rows_in_flight(engine: str, servers: str | None = None) -> int:
    """As many requests at a time as keep an engine full; `servers` are the addresses of a remote one, with commas between."""
    if engine == LOCAL:
        return IN_FLIGHT
    return VLLM_IN_FLIGHT * len((servers or "one").split(","))


def check_files(source: Table, out: Path) -> None:
    """Raises `InvalidData`, `OutputError` for a file that is not to be written to, before anything is."""
    check_endings(source, out)
    if not out.parent.is_dir():
        raise OutputError(f"{out}: there is no directory {out.parent}; make it first")
    if out.exists() and out.samefile(source.path):
        raise OutputError(f"{out}: would be written over what is read; name another file")
    if out.exists() and not journal_file(out).exists():
        raise OutputError(f"{out}: is there already and was not written by hangtag batch; name another file, or remove it")


class Batch:
    """A catalogue on its way from `table` to `out`. In turn: `survey`, `ask`, `write`. Raises `InvalidVocabulary` for a tag that
    `out` can't hold, `InvalidRules` for rules with tags that do not exist."""

    def __init__(
        self, table: Table, layout: Layout, out: Path, journal: Journal, suggester: Suggester, wishes: Wishes = Wishes()
    ) -> None:
        layout.check(suggester.vocabulary)
        least = wishes.min_tags
        wishes.rules.answer_rules(suggester.vocabulary, min_tags=least, max_tags=wishes.max_tags or least, explain=wishes.explain)
        self._table, self._layout, self._out, self._journal = table, layout, out, journal
        self._suggester, self._wishes = suggester, wishes
        self._stamp = _stamp(table.path)
        self._refused: dict[int, str] = {}
        """By line, why an item could not be tagged."""

    def survey(self) -> Survey:
        """Reads the catalogue through. Raises `InvalidData` where nothing in it can be tagged, or most of it is no text."""
        items = tagged = bad = undecodable = 0
        first = ""
        for item in self._layout.items():
            items += 1
            if isinstance(item, BadItem):
                bad += 1
                undecodable += item.undecodable
                first = first or f"line {item.line}: {item.reason}"
            else:
                tagged += self._is_tagged(item)
        path = self._table.path
        if undecodable * 2 > items:
            raise InvalidData(f"{path}: {first}, or say its --encoding, such as gb18030")
        if items == bad:
            raise InvalidData(f"{path}: none of its {items:,} rows can be tagged; {first}" if items else f"{path}: has no rows")
        return Survey(items, tagged, bad)

    async def ask(self, tick: Callable[[], None], in_flight: int = IN_FLIGHT) -> None:
        """Have every item tagged that is not; `tick` is told of each. Raises `EngineError`, `OutputError`, and `InvalidRules` for
        rules that leave no answer: what came before is kept."""
        left = self._left()

        async def worker() -> None:
            for item in left:
                await self._tag(item)
                tick()

        failed = None
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(in_flight):
                    group.create_task(worker())
        except ExceptionGroup as errors:
            failed = errors.exceptions[0]
        if failed is not None:
            raise failed

    def write(self) -> Result:
        """Write the catalogue, and beside it what can't be tagged. Raises `OutputError`, `InvalidData` where the catalogue was
        changed meanwhile."""
        tagged, bad, reason = 0, 0, ""
        beside = bad_file(self._out)
        current: set[str] = set()
        with (
            whole(beside) as side,
            side.open("w", encoding="utf-8") as bad_rows,
            writing(self._table, self._out, self._layout.added) as writer,
        ):
            for item in self._layout.items():
                why = item.reason if isinstance(item, BadItem) else self._refused.get(item.line)
                if isinstance(item, BadItem) or why is not None:
                    bad += 1
                    reason = reason or f"line {item.line}: {why}"
                    bad_rows.writelines(_bad_line(record, str(why)) for record in item.records)
                    continue
                key = self._key(item)
                current.add(key)
                for record, cells in zip(item.records, self._cells(item, key), strict=True):
                    writer.write(record, cells)
                tagged += 1
            bad_rows.flush()
            self._check_unchanged()
        if not bad:
            beside.unlink(missing_ok=True)
        self._journal.tidy(current)
        return Result(tagged, bad, beside, reason)

    @cached_property
    def _system(self) -> list[Any]:
        """What of an answer is decided for the whole catalogue."""
        wishes = self._wishes
        decided = [wishes.min_tags, wishes.max_tags, wishes.explain, repr(wishes.rules), wishes.min_confidence]
        return [FORMAT, self._suggester.identity, *decided]

    def _key(self, item: Item) -> str:
        return key_of(self._system, item.listing)

    def _is_tagged(self, item: Item) -> bool:
        key = self._key(item)
        return key in self._journal or self._layout.earlier(item, key) is not None

    def _left(self) -> Iterator[Item]:
        """Items that are not tagged, windows of them by length, the longest first."""
        left = (item for item in self._layout.items() if isinstance(item, Item) and not self._is_tagged(item))
        while window := list(islice(left, WINDOW)):
            yield from sorted(window, key=lambda item: -len(item.listing.text()))

    async def _tag(self, item: Item) -> None:
        wishes = self._wishes
        request = SuggestionRequest(
            item.listing,
            min_tags=wishes.min_tags,
            max_tags=wishes.max_tags,
            explain=wishes.explain,
            rules=wishes.rules,
            min_confidence=wishes.min_confidence,
        )
        try:
            suggestion = await self._suggester.suggest(request)
        except InvalidRules:
            raise
        except (InvalidInput, InvalidAnswer) as error:
            self._refused[item.line] = str(error)
            return
        answer = Answer.of(suggestion)
        own = set(map(fold, self._own(item)))
        new = (tag.label for tag in answer.tags if fold(tag.label) not in own)
        ours = dict.fromkeys((*self._journal.ours(item.listing.id), *new)) if self._layout.merges else ()
        self._journal.append(self._key(item), item.listing.id, answer, tuple(ours))

    def _own(self, item: Item) -> list[str]:
        """The item's tags that hangtag did not give it."""
        ours = set(map(fold, self._journal.ours(item.listing.id)))
        return [tag for tag in item.tags if fold(tag) not in ours]

    def _cells(self, item: Item, key: str) -> Sequence[Any]:
        earlier = self._layout.earlier(item, key)
        if earlier is not None:
            return earlier
        if key not in self._journal:
            raise self._changed()
        return self._layout.cells(item, key, self._journal.answer(key), self._own(item))

    def _check_unchanged(self) -> None:
        if _stamp(self._table.path) != self._stamp:
            raise self._changed()

    def _changed(self) -> InvalidData:
        path = self._table.path
        return InvalidData(f"{path}: was changed while it was being tagged; run the command again, all answers are kept")


def _stamp(path: Path) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns


def _bad_line(record: Any, reason: str) -> str:
    given = record.text if isinstance(record, BrokenRecord) else record.cells
    return json.dumps({"line": record.line, "reason": reason, "row": given}, default=str) + "\n"
