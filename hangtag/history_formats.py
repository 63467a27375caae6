"""A user's history from outside: single events from whatever edge they come in at, and JSONL files of them. It knows tags by any
name the vocabulary has for them, and no user and no store.

JSONL: an object a line with `type`, `at` (ISO 8601 with a zone), and optionally `tags` (labels or ids) and `product`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from hangtag.errors import InvalidHistory, InvalidVocabulary
from hangtag.history import Event
from hangtag.lookup import tag_named
from hangtag.text import first_control
from hangtag.vocabulary import TagVocabulary

_FIELDS = ("type", "at", "tags", "product")


def make_event(type: str, at: str, tags: Iterable[str], product: str, vocabulary: TagVocabulary) -> Event:
    """The event, its tags as ids. Raises `InvalidHistory`; its `field` says which part is at fault."""
    try:
        time = datetime.fromisoformat(at)
    except ValueError:
        raise InvalidHistory(f"{at!r} is no time; write it like 2026-01-31T18:00:00Z", field="at") from None
    if first_control(product) is not None:
        raise InvalidHistory(f"the product {product!r} has a control character; remove it", field="product")
    try:
        ids = tuple(vocabulary.tags[tag_named(tag, vocabulary)].id for tag in tags)
    except InvalidVocabulary as error:
        raise InvalidHistory(str(error), field="tags") from error
    return Event(type=type, at=time, tags=ids, product=product)


def read_history(path: Path, vocabulary: TagVocabulary) -> list[Event]:
    """The events of a JSONL file. Raises `InvalidHistory` naming file and line; nothing is skipped."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidHistory(f"{path}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        number = error.object[: error.start].count(b"\n") + 1
        raise InvalidHistory(f"{path}: line {number}: not UTF-8 (byte 0x{error.object[error.start]:02x})") from error
    events = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            events.append(make_event(**_fields(line), vocabulary=vocabulary))
        except InvalidHistory as error:
            raise InvalidHistory(f"{path}: line {number}: {error}", field=error.field) from error
    return events


def _fields(line: str) -> dict[str, Any]:
    """The arguments of `make_event` that a line has, of the right types."""
    try:
        given = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidHistory(f"not valid JSON: {error}") from error
    if not isinstance(given, dict):
        raise InvalidHistory("not a JSON object")
    if unknown := set(given) - set(_FIELDS):
        raise InvalidHistory(f"unknown field {min(unknown)!r}; use {', '.join(_FIELDS)}", field=min(unknown))
    fields = {"tags": [], "product": "", **given}
    for name in ("type", "at", "product"):
        if not isinstance(fields.get(name), str):
            raise InvalidHistory(f"`{name}` is missing or not a string", field=name)
    if not isinstance(fields["tags"], list) or not all(isinstance(tag, str) for tag in fields["tags"]):
        raise InvalidHistory("`tags` is not a list of strings", field="tags")
    return fields
