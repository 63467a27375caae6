"""`Row`: a listing and its true tags, read from JSONL and written back. It knows no data set, no metric and no model.

One row a line: `id`, `tags` (labels), and optionally `product_id`, `title`, `description`, `attributes` (an object of
strings), `language`, `category`, `user_id`, `events` (objects with `type`, `at`, and `tags` or `product`), `at` (ISO 8601).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hangtag.errors import InvalidData, InvalidInput
from hangtag.history import Event
from hangtag.history_formats import event_of
from hangtag.jsonl import parse_objects, read_text
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
        if self.at is not None and any(event.at > self.at for event in self.events):
            raise InvalidData(f"an event is later than the row's own time {self.at.isoformat()}", field="events")


@dataclass(frozen=True, slots=True)
class Skipped:
    """A line of a file that was left out, and why."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class RowFile:
    """The rows of a file, the line of each, its SHA-256 ("" for rows that come from no file), and what was left out of it."""

    path: Path
    rows: tuple[Row, ...]
    lines: tuple[int, ...]
    sha256: str = ""
    skipped: tuple[Skipped, ...] = ()

    def place(self, position: int) -> str:
        """File and line of a row, as messages name it."""
        return f"{self.path}: line {self.lines[position]}"

    def without(self, reasons: Mapping[int, str]) -> RowFile:
        """Without the rows at some positions; the reason is kept for each."""
        kept = [position for position in range(len(self.rows)) if position not in reasons]
        left_out = [Skipped(str(self.path), self.lines[position], reason) for position, reason in sorted(reasons.items())]
        return replace(
            self,
            rows=tuple(self.rows[position] for position in kept),
            lines=tuple(self.lines[position] for position in kept),
            skipped=(*self.skipped, *left_out),
        )


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSONL file (`.gz` too). Raises `InvalidData` naming file and line; nothing is skipped."""
    return list(read_file(path).rows)


def read_file(path: Path, *, skip_bad: bool = False) -> RowFile:
    """The rows of a JSONL file (`.gz` too) with their lines. Raises `InvalidData` naming file and line of what is no row, or with
    `skip_bad` leaves it out and says so; a file that can't be read at all is an error either way."""
    rows: list[Row] = []
    lines: dict[str, int] = {}
    skipped: list[Skipped] = []
    for number, line in enumerate(_text(path, skip_bad).split("\n"), start=1):
        try:
            for _, given in parse_objects(line, str(path), InvalidData, first=number):
                row = _placed(given, lines, f"{path}: line {number}")
                lines[row.listing.id] = number
                rows.append(row)
        except InvalidData as error:
            if not skip_bad:
                raise
            skipped.append(Skipped(str(path), number, str(error).removeprefix(f"{path}: line {number}: ")))
    return RowFile(path, tuple(rows), tuple(lines.values()), hashlib.sha256(path.read_bytes()).hexdigest(), tuple(skipped))


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """The rows as JSONL, read back by `read_rows` to equal rows. Raises `InvalidData` for an id that stands twice."""
    given = list(rows)
    id, count = max(Counter(row.listing.id for row in given).items(), key=lambda item: item[1], default=("", 0))
    if count > 1:
        raise InvalidData(f"{path}: {count} rows have the id {id!r}; ids must differ", field="id")
    path.write_text("".join(json.dumps(object_of(row), ensure_ascii=False) + "\n" for row in given), encoding="utf-8")


def _text(path: Path, tolerant: bool) -> str:
    """The file's text. If tolerant, bytes that are not UTF-8 become lone surrogates, which no row may contain: only their lines
    are bad then."""
    try:
        return read_text(path, InvalidData)
    except InvalidData as error:
        if not tolerant or not isinstance(error.__cause__, UnicodeDecodeError):
            raise
        return error.__cause__.object.decode("utf-8-sig", "surrogateescape")


def _placed(given: dict[str, Any], lines: Mapping[str, int], place: str) -> Row:
    try:
        row = row_of(given)
    except (InvalidInput, ValueError) as error:
        raise InvalidData(f"{place}: {error}", field=getattr(error, "field", None)) from error
    if row.listing.id in lines:
        other = lines[row.listing.id]
        raise InvalidData(f"{place}: the id {row.listing.id!r} stands in line {other} already; ids must differ", field="id")
    return row


def row_of(given: dict[str, Any]) -> Row:
    """The row of a JSON object. Raises `InvalidData`, or what its listing and events raise."""
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


def object_of(row: Row) -> dict[str, Any]:
    """The JSON object of a row, read back by `row_of` to an equal one."""
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
