"""Events going into the store, each once however often it comes, and what a product's tags are when an event does not say. They
know rows, no vocabulary.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from hangtag.errors import InvalidHistory
from hangtag.history import Event, microseconds
from serve.store import profiles
from serve.store.tables import events, learned_tags, products

BOUND = 500
"""Values in one look-up."""


@dataclass(frozen=True, slots=True)
class UserEvent:
    """An event of a user. Events of one user with the same `key` are one event; without a key, those that are equal are."""

    user: str
    event: Event
    key: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """How many events were new, and how many had come before."""

    added: int
    repeated: int


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    event: Event
    key: bytes
    content: bytes

    @classmethod
    def of(cls, name: str, given: UserEvent) -> _Row:
        event = given.event
        content = digest([event.type, microseconds(event.at), event.product, *sorted(event.tags)])
        return cls(name, event, digest([given.key]) if given.key else content, content)

    def values(self, user: int) -> dict[str, Any]:
        return {
            "user_id": user,
            "key": self.key,
            "content": self.content,
            "type": self.event.type,
            "at": microseconds(self.event.at),
            "product": self.event.product,
            "tags": json.dumps(self.event.tags),
        }


def add(connection: Connection, tenant: str, given: Sequence[tuple[str, UserEvent]]) -> Taken:
    """Take in events with the users' names in the store. Raises `InvalidHistory` naming the first that can't be taken in; then
    nothing may be kept."""
    rows = [_Row.of(name, event) for name, event in given]
    tags = product_tags(connection, tenant, {row.event.product for row in rows if not row.event.tags})
    for position, row in enumerate(rows):
        if not row.event.tags and row.event.product not in tags:
            message = f"the product {row.event.product!r} is unknown; add it to the catalogue first, or send its tags"
            raise InvalidHistory(f"events[{position}]: {message}", field=f"events[{position}].product")
    locked = profiles.lock(connection, tenant, {row.name for row in rows}, make=True)
    known = _known(connection, [user.id for user in locked.values()], {row.key for row in rows})
    new: list[dict[str, Any]] = []
    latest: dict[str, list[profiles.Recent]] = defaultdict(list)
    for position, row in enumerate(rows):
        place = (locked[row.name].id, row.key)
        if place in known:
            if known[place] != row.content:
                message = "the idempotency key was used for another event; give each event its own"
                raise InvalidHistory(f"events[{position}]: {message}", field=f"events[{position}].idempotency_key")
            continue
        known[place] = row.content
        event = row.event if row.event.tags else replace(row.event, tags=tags[row.event.product])
        values = replace(row, event=event).values(place[0])
        new.append(values)
        if event.tags:
            latest[row.name].append((event.type, values["at"], event.tags))
    if new:
        connection.execute(insert(events), new)
        profiles.extend(connection, tenant, [(locked[name], recent) for name, recent in latest.items()])
    return Taken(len(new), len(rows) - len(new))


def product_tags(connection: Connection, tenant: str, names: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The tags of products: the catalogue's, else those that were suggested or accepted before. Unknown products are left out."""
    found: dict[str, tuple[str, ...]] = {}
    for table in (products, learned_tags):
        found |= _tags_in(connection, table, tenant, sorted({name for name in names if name} - set(found)))
    return found


def _tags_in(connection: Connection, table: Table, tenant: str, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found = {}
    for start in range(0, len(names), BOUND):
        rows = connection.execute(
            select(table.c.product, table.c.tags).where(
                table.c.tenant == tenant, table.c.product.in_(names[start : start + BOUND])
            )
        )
        found.update({product: tuple(json.loads(tags)) for product, tags in rows})
    return found


def _known(connection: Connection, ids: Sequence[int], keys: Collection[bytes]) -> dict[tuple[int, bytes], bytes]:
    """The contents of events of these users that have one of the keys."""
    known: dict[tuple[int, bytes], bytes] = {}
    wanted = sorted(keys)
    for start in range(0, len(wanted), BOUND):
        rows = connection.execute(
            select(events.c.user_id, events.c.key, events.c.content).where(
                events.c.user_id.in_(ids), events.c.key.in_(wanted[start : start + BOUND])
            )
        )
        known.update({(user, bytes(key)): bytes(content) for user, key, content in rows})
    return known


def digest(parts: Sequence[Any]) -> bytes:
    """A number of 16 bytes for these parts."""
    return blake2b(json.dumps(parts).encode(), digest_size=16).digest()
