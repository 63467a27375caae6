"""A plain table: a row is a listing, columns have the meanings that are said or that their names say, and answers go to columns
of their own, so that the merchant's stay what they are. It knows no file format.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hangtag.errors import InvalidData, InvalidInput, InvalidVocabulary
from hangtag.listing import Listing
from hangtag.text import fold
from hangtag.vocabulary import TagVocabulary
from serve.catalogue.answer import Answer
from serve.catalogue.items import BadItem, Item
from serve.catalogue.tables import BrokenRecord, Record, Table
from serve.catalogue.writing import NUMBERS, SEPARATOR, TEXT, TEXTS, harmless, text_of

MEANINGS = ("id", "title", "description", "language", "attribute")
OBJECT = "attributes"
"""The column that is taken for an object of attributes, where its cells are objects."""

TAGS, IDS, CONFIDENCES, AUTO, EXPLANATION, MODEL, NOTICES, KEY = (
    f"hangtag_{name}" for name in ("tags", "ids", "confidences", "auto", "explanation", "model", "notices", "key")
)
ADDED = {
    TAGS: TEXTS,
    IDS: TEXTS,
    CONFIDENCES: NUMBERS,
    AUTO: TEXTS,
    EXPLANATION: TEXT,
    MODEL: TEXT,
    NOTICES: TEXTS,
    KEY: TEXT,
}
"""The columns of an answer, and their kinds; `hangtag_auto` are the labels of which a precision is promised."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column means what; "" where none does."""

    id: str = ""
    title: str = ""
    description: str = ""
    language: str = ""
    attributes: tuple[str, ...] = ()

    @classmethod
    def of(cls, table: Table, said: Sequence[str] = ()) -> Columns:
        """As `said`, each "meaning=column"; a meaning that nobody gives a column has the one of its name, if there is one. Raises
        `InvalidData` for a meaning or a column that does not exist, and where nothing is left to be tagged."""
        by_name = {fold(column): column for column in reversed(table.columns)}
        given: dict[str, list[str]] = {meaning: [] for meaning in MEANINGS}
        for text in said:
            meaning, equals, column = text.partition("=")
            if not equals or meaning not in given:
                raise InvalidData(f"--column {text!r} is not MEANING=COLUMN; meanings: {', '.join(MEANINGS)}", field="column")
            if column not in table.columns:
                near = difflib.get_close_matches(column, table.columns, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}? " if near else ""
                message = f"{table.path}: there is no column {column!r} for {meaning}; {hint}columns: {_listed(table)}"
                raise InvalidData(message, field="column")
            if given[meaning] and meaning != "attribute":
                raise InvalidData(f"--column says two columns for {meaning}; say one", field="column")
            given[meaning].append(column)
        single = {meaning: (given[meaning] or [by_name.get(meaning, "")])[0] for meaning in MEANINGS[:-1]}
        columns = cls(**single, attributes=tuple(given["attribute"]))
        if not (columns.title or columns.description or columns.attributes or OBJECT in table.columns):
            raise InvalidData(
                f"{table.path}: no column is called title or description; say which one is, such as --column title=COLUMN;"
                f" columns: {_listed(table) or 'none'}",
                field="column",
            )
        return columns


def _listed(table: Table) -> str:
    return ", ".join(column for column in table.columns if column not in ADDED)


class PlainLayout:
    """See `Layout`. `language` is that of rows that say none; `joined`, whether lists are to become texts, as CSV has them."""

    unit, merges, added = "rows", False, ADDED

    def __init__(self, table: Table, columns: Columns, *, language: str | None = None, joined: bool = False) -> None:
        self._table, self._columns, self._language, self._joined = table, columns, language, joined
        singles = (columns.id, columns.title, columns.description, columns.language)
        self._wanted = {*filter(None, singles), *columns.attributes, OBJECT, *ADDED}

    def check(self, vocabulary: TagVocabulary) -> None:
        """See `Layout`."""
        if self._joined:
            for tag in vocabulary:
                if any(SEPARATOR in text for text in (tag.id, *tag.labels.values())):
                    label = next(iter(tag.labels.values()))
                    raise InvalidVocabulary(
                        f"the tag {tag.id!r} ({label}) has a {SEPARATOR!r}, which separates tags in a cell; write JSONL instead"
                    )

    def items(self) -> Iterator[Item | BadItem]:
        """See `Layout`. A row whose id stood in another one before is bad."""
        lines: dict[str, int] = {}
        for record in self._table.rows(self._wanted):
            if isinstance(record, BrokenRecord):
                yield BadItem((record,), record.reason)
                continue
            try:
                listing = self._listing(record)
            except InvalidInput as error:
                yield BadItem((record,), str(error))
                continue
            first = lines.setdefault(listing.id, record.line) if listing.id else record.line
            if first != record.line:
                yield BadItem((record,), f"the id {listing.id!r} stands in line {first} already; ids must differ")
            else:
                yield Item(listing, (record,))

    def earlier(self, item: Item, key: str) -> Sequence[Mapping[str, Any]] | None:
        """See `Layout`."""
        cells = item.records[0].cells
        same = cells.get(KEY) == key and isinstance(cells.get(TAGS), str) == self._joined
        return [{name: cells.get(name) for name in ADDED}] if same else None

    def cells(self, item: Item, key: str, answer: Answer, own: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """See `Layout`."""
        cells: dict[str, Any] = {
            TAGS: [tag.label for tag in answer.tags],
            IDS: [tag.id for tag in answer.tags],
            CONFIDENCES: [tag.confidence for tag in answer.tags],
            AUTO: [tag.label for tag in answer.tags if tag.auto],
            EXPLANATION: answer.explanation,
            MODEL: answer.model,
            NOTICES: list(answer.notices),
            KEY: key,
        }
        return [{name: harmless(text_of(value)) for name, value in cells.items()} if self._joined else cells]

    def _listing(self, record: Record) -> Listing:
        columns, cells = self._columns, record.cells

        def text(column: str) -> str:
            value = cells.get(column) if column else None
            return "" if value is None else str(value).strip()

        attributes = [(name, text(name)) for name in columns.attributes if text(name)]
        given = cells.get(OBJECT)
        if isinstance(given, dict) and OBJECT not in columns.attributes:
            attributes += [(str(name), str(value)) for name, value in given.items() if value is not None]
        return Listing(
            title=text(columns.title),
            description=text(columns.description),
            attributes=tuple(attributes),
            language=text(columns.language) or self._language,
            id=text(columns.id),
        )
