"""Events of users from files: CSV, TSV, JSONL and Parquet, a row at a time. It knows columns and tags by any name, no store.

Columns: `user`, `type`, `at` (ISO 8601 with a zone), and `product` or `tags` (labels or ids; in CSV with `|` between), optionally
`idempotency_key`. Other columns are refused: they are most likely misspelt.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hangtag.errors import InvalidData, InvalidHistory
from hangtag.history_formats import event_of, with_ids
from hangtag.vocabulary import TagVocabulary
from serve.catalogue.tables import BrokenRecord, open_table
from serve.store import UserEvent

FIELDS = ("user", "type", "at", "product", "tags", "idempotency_key")
BETWEEN_TAGS = "|"


def read_events(path: Path, vocabulary: TagVocabulary) -> Iterator[tuple[int, UserEvent]]:
    """The events with their lines. Raises `InvalidData` for a file that can't be read, `InvalidHistory` naming file and line."""
    for record in open_table(path).rows():
        place = f"{path}: line {record.line}"
        if isinstance(record, BrokenRecord):
            raise InvalidData(f"{place}: {record.reason}")
        try:
            yield record.line, _event(record.cells, vocabulary)
        except InvalidHistory as error:
            raise InvalidHistory(f"{place}: {error}", field=error.field) from error


def _event(cells: dict[str, Any], vocabulary: TagVocabulary) -> UserEvent:
    given = {name: value for name, value in cells.items() if value is not None and value != ""}
    if unknown := set(given) - set(FIELDS):
        raise InvalidHistory(f"unknown column {min(unknown)!r}; use {', '.join(FIELDS)}", field=min(unknown))
    user, key = given.pop("user", None), given.pop("idempotency_key", "")
    for name, value in (("user", user), ("idempotency_key", key)):
        if not isinstance(value, str):
            raise InvalidHistory(f"`{name}` is missing or not a string", field=name)
    if isinstance(given.get("tags"), str):
        given["tags"] = [tag.strip() for tag in given["tags"].split(BETWEEN_TAGS) if tag.strip()]
    return UserEvent(user, with_ids(event_of(given), vocabulary), key)
