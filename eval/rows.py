"""`Row`: a listing and its true tags, read from JSONL and written back, and how rows are split for training and testing. It
knows no data set, no metric and no model.

One row a line: `id`, `tags` (labels), and optionally `product_id`, `title`, `description`, `attributes` (an object of
strings), `language`, `category`, `user_id`, `events` (objects with `type`, `at`, `tags`, `product`), `at` (ISO 8601).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hangtag.errors import InvalidData, InvalidInput
from hangtag.history import Event
from hangtag.history_formats import event_of
from hangtag.jsonl import read_objects
from hangtag.listing import Listing
from hangtag.text import first_control

_STRINGS = ("id", "product_id", "title", "description", "language", "category", "user_id", "at")
_FIELDS = {*_STRINGS, "attributes", "tags", "events"}


@dataclass(frozen=True, slots=True)
class Row:
    """A listing with the labels that people gave it; `listing.id` names the row, rows of one product share `product_id`.
    `events` are what the user did before `at`. Raises `InvalidData` for no id, no tags, an attribute given twice."""

    listing: Listing
    tags: tuple[str, ...]
    product_id: str = ""
    category: str = ""
    user_id: str = ""
    events: tuple[Event, ...] = ()
    at: datetime | None = None

    def __post_init__(self) -> None:
        if not self.listing.id:
            raise InvalidData("the row has no id", field="id")
        if not self.tags or not all(tag.strip() for tag in self.tags) or len(set(self.tags)) != len(self.tags):
            raise InvalidData("the row has no tags, an empty tag or a tag twice", field="tags")
        for text in (*self.tags, self.product_id, self.category, self.user_id):
            if first_control(text) is not None:
                raise InvalidData(f"{text!r} has a control character; remove it")
        if len(dict(self.listing.attributes)) != len(self.listing.attributes):
            raise InvalidData("an attribute stands twice; join its values", field="attributes")
        if self.at is not None and self.at.tzinfo is None:
            raise InvalidData(f"the time {self.at.isoformat()} has no zone", field="at")


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSONL file (`.gz` too). Raises `InvalidData` naming file and line; nothing is skipped."""
    rows: list[Row] = []
    lines: dict[str, int] = {}
    for number, given in read_objects(path, InvalidData):
        place = f"{path}: line {number}"
        try:
            row = _row(given)
        except (InvalidInput, ValueError) as error:
            raise InvalidData(f"{place}: {error}", field=getattr(error, "field", None)) from error
        if (other := lines.setdefault(row.listing.id, number)) != number:
            raise InvalidData(f"{place}: the id {row.listing.id!r} stands in line {other} already; ids must differ", field="id")
        rows.append(row)
    return rows


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """The rows as JSONL, read back by `read_rows` to equal rows. Raises `InvalidData` for an id that stands twice."""
    given = list(rows)
    id, count = max(Counter(row.listing.id for row in given).items(), key=lambda item: item[1], default=("", 0))
    if count > 1:
        raise InvalidData(f"{path}: {count} rows have the id {id!r}; ids must differ", field="id")
    path.write_text("".join(json.dumps(_object(row), ensure_ascii=False) + "\n" for row in given), encoding="utf-8")


def split(rows: Iterable[Row], share: float = 0.2) -> tuple[list[Row], list[Row]]:
    """(train, test), `share` of the products in test, by SHA-256 of the product's id (of the row's, where it has none): the
    same whatever the order, and no product, in whatever language, is on both sides."""
    halves: tuple[list[Row], list[Row]] = ([], [])
    for row in rows:
        digest = hashlib.sha256((row.product_id or row.listing.id).encode()).digest()
        halves[int.from_bytes(digest[:8], "big") < share * 2**64].append(row)
    return halves


def _row(given: dict[str, Any]) -> Row:
    if unknown := set(given) - _FIELDS:
        raise InvalidData(f"unknown field {min(unknown)!r}; use {', '.join(sorted(_FIELDS))}", field=min(unknown))
    texts = {name: given[name] for name in _STRINGS if given.get(name) is not None}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise InvalidData(f"`{name}` is not a string", field=name)
    attributes = given.get("attributes") or {}
    if not isinstance(attributes, dict) or not all(isinstance(value, str) for value in attributes.values()):
        raise InvalidData("`attributes` is not an object of strings", field="attributes")
    events = given.get("events") or []
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise InvalidData("`events` is not a list of objects", field="events")
    return Row(
        listing=Listing(
            title=texts.get("title", ""),
            description=texts.get("description", ""),
            attributes=tuple(attributes.items()),
            language=texts.get("language"),
            id=texts.get("id", ""),
        ),
        tags=_labels(given.get("tags")),
        product_id=texts.get("product_id", ""),
        category=texts.get("category", ""),
        user_id=texts.get("user_id", ""),
        events=tuple(map(event_of, events)),
        at=datetime.fromisoformat(texts["at"]) if "at" in texts else None,
    )


def _labels(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise InvalidData("`tags` is missing or not a list of strings", field="tags")
    return tuple(value)


def _object(row: Row) -> dict[str, Any]:
    listing = row.listing
    events = [{"type": e.type, "at": e.at.isoformat(), "tags": list(e.tags), "product": e.product} for e in row.events]
    optional = {
        "language": listing.language,
        "category": row.category,
        "user_id": row.user_id,
        "events": events,
        "at": row.at and row.at.isoformat(),
    }
    return {
        "id": listing.id,
        "product_id": row.product_id,
        "title": listing.title,
        "description": listing.description,
        "attributes": dict(listing.attributes),
        "tags": list(row.tags),
    } | {name: value for name, value in optional.items() if value}
