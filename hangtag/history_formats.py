"""A user's history from outside: single events from whatever edge they come in at, and JSONL files of them. It knows tags by any
name the vocabulary has for them, and no user and no store.

JSONL: an object a line with `type`, `at` (ISO 8601 with a zone), and optionally `tags` (labels or ids) and `product`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hangtag.errors import InvalidHistory, InvalidVocabulary
from hangtag.history import Event
from hangtag.jsonl import read_objects
from hangtag.lookup import tag_named
from hangtag.text import first_control
from hangtag.vocabulary import TagVocabulary

_FIELDS = ("type", "at", "tags", "product")


def event_of(given: Mapping[str, Any]) -> Event:
    """The event of a JSON object, its tags as they are written there. Raises `InvalidHistory`; its `field` says which part is
    at fault."""
    if unknown := set(given) - set(_FIELDS):
        raise InvalidHistory(f"unknown field {min(unknown)!r}; use {', '.join(_FIELDS)}", field=min(unknown))
    type, at, tags, product = given.get("type"), given.get("at"), given.get("tags", []), given.get("product", "")
    for name, value in (("type", type), ("at", at), ("product", product)):
        if not isinstance(value, str):
            raise InvalidHistory(f"`{name}` is missing or not a string", field=name)
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise InvalidHistory("`tags` is not a list of strings", field="tags")
    try:
        time = datetime.fromisoformat(at)  # type: ignore[arg-type]
    except ValueError:
        raise InvalidHistory(f"{at!r} is no time; write it like 2026-01-31T18:00:00Z", field="at") from None
    if first_control(product) is not None:
        raise InvalidHistory(f"the product {product!r} has a control character; remove it", field="product")
    return Event(type=type, at=time, tags=tuple(tags), product=product)  # type: ignore[arg-type]


def with_ids(event: Event, vocabulary: TagVocabulary) -> Event:
    """The event with ids for what its tags are called, each once. Raises `InvalidHistory` for a name that is none or several."""
    try:
        ids = dict.fromkeys(vocabulary.tags[tag_named(tag, vocabulary)].id for tag in event.tags)
    except InvalidVocabulary as error:
        raise InvalidHistory(str(error), field="tags") from error
    return replace(event, tags=tuple(ids))


def read_history(path: Path, vocabulary: TagVocabulary) -> list[Event]:
    """The events of a JSONL file. Raises `InvalidHistory` naming file and line; nothing is skipped."""
    events = []
    for number, given in read_objects(path, InvalidHistory):
        try:
            events.append(with_ids(event_of(given), vocabulary))
        except InvalidHistory as error:
            raise InvalidHistory(f"{path}: line {number}: {error}", field=error.field) from error
    return events
