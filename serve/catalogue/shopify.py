"""Shopify's product CSV, recognised by its header: a product is all the rows of its handle (variants, images), and suggested tags
are merged into the Tags of its first one. It knows the columns that Shopify exports, in its older and its newer template.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from html.parser import HTMLParser
from itertools import groupby
from typing import Any

from hangtag.errors import InvalidInput, InvalidListing, InvalidVocabulary
from hangtag.listing import Listing
from hangtag.text import fold
from hangtag.vocabulary import TagVocabulary
from serve.catalogue.answer import Answer
from serve.catalogue.items import BadItem, Item
from serve.catalogue.tables import BrokenRecord, CsvTable, Record, Table
from serve.catalogue.writing import TEXT

HANDLES = ("handle", "url handle")
BODIES = ("body (html)", "description")
TITLE, TAGS = "title", "tags"
ATTRIBUTES = ("vendor", "type", "product category")
OPTIONS = (1, 2, 3)
NO_OPTION = "Title"
"""What Shopify calls the option of a product that has none."""

SEPARATOR = ","
MOST_TAGS = 250
"""Of a product, Shopify's limit."""

BLOCKS = frozenset(("p", "div", "br", "li", "ul", "ol", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "dd", "dt", "hr", "blockquote"))
UNSEEN = frozenset(("script", "style", "template", "noscript"))

Row = Record | BrokenRecord


class ShopifyLayout:
    """See `Layout`; for a table that is `recognised`. `language` is that of every product."""

    unit, merges = "products", True

    def __init__(self, table: Table, *, language: str | None = None) -> None:
        self._table, self._language = table, language
        names = {column.casefold(): column for column in table.columns}
        self._handle = next(names[name] for name in HANDLES if name in names)
        self._body = next(names[name] for name in BODIES if name in names)
        self._title, self._tags = names[TITLE], names[TAGS]
        self._attributes = [names[name] for name in ATTRIBUTES if name in names]
        pairs = [(f"option{number} name", f"option{number} value") for number in OPTIONS]
        self._options = [(names[name], names[value]) for name, value in pairs if name in names and value in names]
        self.added = {self._tags: TEXT}

    @staticmethod
    def recognised(table: Table) -> bool:
        """Whether the header is that of Shopify's product CSV."""
        names = {column.casefold() for column in table.columns}
        old, new = {HANDLES[0], BODIES[0], TITLE, TAGS}, {HANDLES[1], BODIES[1], TITLE, TAGS}
        return isinstance(table, CsvTable) and (old <= names or new <= names)

    def check(self, vocabulary: TagVocabulary) -> None:
        """See `Layout`."""
        for tag in vocabulary:
            for label in tag.labels.values():
                if SEPARATOR in label:
                    raise InvalidVocabulary(
                        f"the tag {tag.id!r} ({label}) has a comma, which Shopify takes for the end of a tag; change its label,"
                        " or say with --column what the columns are, to have answers in columns of their own"
                    )

    def items(self) -> Iterator[Item | BadItem]:
        """See `Layout`. A product is taken whole or not at all, since Shopify may remove variants that a file leaves out."""
        for (handle, _), rows, following in self._products():
            (first, *_), lines = rows, self._handles.get(fold(handle), [])
            if isinstance(first, BrokenRecord):
                yield BadItem(rows, first.reason)
            elif len(lines) > 1:
                places = ", ".join(map(str, lines[:5]))
                yield BadItem(rows, f"rows of {handle!r} begin in lines {places}; the rows of a product must follow each other")
            elif isinstance(following, BrokenRecord):
                yield BadItem(rows, f"line {following.line}, which may belong to this product, can't be read")
            else:
                records = tuple(row for row in rows if isinstance(row, Record))
                try:
                    yield Item(self._listing(handle, records), records, tuple(tags_of(self._cell(records, self._tags))))
                except InvalidInput as error:
                    yield BadItem(rows, str(error))

    @cached_property
    def _handles(self) -> dict[str, list[int]]:
        """The lines in which rows of a handle begin."""
        lines: dict[str, list[int]] = {}
        for (handle, _), rows, _ in self._products():
            if handle:
                lines.setdefault(fold(handle), []).append(rows[0].line)
        return lines

    def _products(self) -> Iterator[tuple[tuple[str, int], tuple[Row, ...], Row | None]]:
        """Rows that follow each other and belong together, and the row behind them. What they share is the handle; a row without
        one, or that is broken, stands for itself."""

        def shared(row: Row) -> tuple[str, int]:
            handle = str(row.cells[self._handle]).strip() if isinstance(row, Record) else ""
            return handle, 0 if handle else row.line

        groups = ((key, tuple(rows)) for key, rows in groupby(self._table.rows(), key=shared))
        held = next(groups, None)
        while held is not None:
            following = next(groups, None)
            yield *held, following[1][0] if following is not None else None
            held = following

    def earlier(self, item: Item, key: str) -> Sequence[Mapping[str, Any]] | None:
        """See `Layout`: Tags do not say where they come from."""
        return None

    def cells(self, item: Item, key: str, answer: Answer, own: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """See `Layout`: the merchant's tags, then those of the answer that are not among them, in the product's first row."""
        merged: dict[str, str] = {}
        for tag in (*own, *(found.label for found in answer.tags)):
            merged.setdefault(fold(tag), tag)
        return [{self._tags: ", ".join(list(merged.values())[:MOST_TAGS])}, *({} for _ in item.records[1:])]

    def _listing(self, handle: str, rows: Sequence[Record]) -> Listing:
        if not (title := str(rows[0].cells[self._title]).strip()):
            raise InvalidListing("the first row of a product has no Title; give it one", field="title")
        attributes = {column: self._cell(rows, column) for column in self._attributes}
        for name, value in self._options:
            option = self._cell(rows, name)
            if option and option != NO_OPTION:
                values = dict.fromkeys(str(row.cells[value]).strip() for row in rows)
                attributes.setdefault(option, ", ".join(filter(None, values)))
        return Listing(
            title=title,
            description=seen_text(self._cell(rows, self._body)),
            attributes=tuple((name, value) for name, value in attributes.items() if value),
            language=self._language,
            id=handle,
        )

    @staticmethod
    def _cell(rows: Sequence[Record], column: str) -> str:
        """That of the first row that has something there."""
        return next(filter(None, (str(row.cells[column]).strip() for row in rows)), "")


def tags_of(cell: str) -> list[str]:
    """The tags in a cell of Tags, each once."""
    return list(dict.fromkeys(filter(None, (tag.strip() for tag in cell.split(SEPARATOR)))))


def seen_text(html: str) -> str:
    """What a reader of the page sees: text without elements, a line for each block."""
    reader = _Text()
    reader.feed(html)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.parts).split("\n"))
    return "\n".join(filter(None, lines))


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._unseen = 0

    def parse_html_declaration(self, i: int) -> int:
        """A marked section is a comment, as for browsers: an unknown one would end the parser."""
        if self.rawdata.startswith("<![", i):
            return self.parse_bogus_comment(i)
        return super().parse_html_declaration(i)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in UNSEEN
        self._end_line(tag)

    def handle_endtag(self, tag: str) -> None:
        self._unseen = max(0, self._unseen - (tag in UNSEEN))
        self._end_line(tag)

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(data)

    def _end_line(self, tag: str) -> None:
        if tag in BLOCKS:
            self.parts.append("\n")
