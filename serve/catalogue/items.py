"""`Item`: something of a catalogue to be tagged, with the rows that it stands in, and what tables of any kind have to say about
it. It knows no model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hangtag.listing import Listing
from hangtag.vocabulary import TagVocabulary
from serve.catalogue.answer import Answer
from serve.catalogue.tables import BrokenRecord, Record


@dataclass(frozen=True, slots=True)
class Item:
    """A listing, its rows, and the tags that the merchant's own column has (where answers are written into that)."""

    listing: Listing
    records: tuple[Record, ...]
    tags: tuple[str, ...] = ()

    @property
    def line(self) -> int:
        """Where it begins."""
        return self.records[0].line


@dataclass(frozen=True, slots=True)
class BadItem:
    """Rows of which no listing can be made, and why."""

    records: tuple[Record | BrokenRecord, ...]
    reason: str

    @property
    def line(self) -> int:
        """Where it begins."""
        return self.records[0].line

    @property
    def undecodable(self) -> bool:
        """Whether the reason is bytes that are no text."""
        return any(isinstance(record, BrokenRecord) and record.undecodable for record in self.records)


class Layout(Protocol):
    """How a kind of table says what is to be tagged, and where answers go."""

    @property
    def unit(self) -> str:
        """What an item is called, in the plural."""
        ...

    @property
    def merges(self) -> bool:
        """Whether answers are merged with tags of the merchant."""
        ...

    @property
    def added(self) -> Mapping[str, str]:
        """The columns that answers are written to, and their kinds (`serve.catalogue.writing`)."""
        ...

    def check(self, vocabulary: TagVocabulary) -> None:
        """Raises `InvalidVocabulary` for a tag that can't be written."""
        ...

    def items(self) -> Iterator[Item | BadItem]:
        """All of the table, in its order. Raises `InvalidData` where it can't be read on."""
        ...

    def earlier(self, item: Item, key: str) -> Sequence[Mapping[str, Any]] | None:
        """The cells of an answer with this key, where the rows have one already."""
        ...

    def cells(self, item: Item, key: str, answer: Answer, own: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """What the answer adds to each of the item's rows. `own` are those of its tags that are the merchant's."""
        ...
