"""Events going into the store, each once however often it comes, and what a product's tags are when an event does not say. They
know rows, no vocabulary.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, Table, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

from hangtag.errors import InvalidHistory
from hangtag.history import Event, microseconds
from serve.store import profiles
from serve.store.profiles import NONE_LOST
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

    @classmethod
    def of(cls, fresh: Sequence[bool]) -> Taken:
        """Of events by whether each was new."""
        return cls(sum(fresh), len(fresh) - sum(fresh))


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    event: Event
    at: int
    key: bytes
    content: bytes

    @classmethod
    def of(cls, name: str, given: UserEvent) -> _Row:
        event, at = given.event, microseconds(given.event.at)
        content = digest(event.type, str(at), event.product, *sorted(event.tags))
        return cls(name, event, at, digest(given.key) if given.key else content, content)

    def values(self, user: int, tags: Sequence[str]) -> dict[str, Any]:
        return {
            "user_id": user,
            "key": self.key,
            "content": self.content,
            "type": self.event.type,
            "at": self.at,
            "product": self.event.product,
            "tags": json.dumps(tags),
        }


def add(
    connection: Connection, tenant: str, given: Sequence[tuple[str, UserEvent]], lost: Mapping[str, int] = NONE_LOST
) -> list[bool]:
    """Take in events with the users' names in the store; for each whether it was new. `lost` as for `profiles.extend`. Raises
    `InvalidHistory` naming the first that can't be taken in; then nothing may be kept."""
    rows = [_Row.of(name, event) for name, event in given]
    tags = product_tags(connection, tenant, {row.event.product for row in rows if not row.event.tags})
    for position, row in enumerate(rows):
        if not row.event.tags and row.event.product not in tags:
            message = f"the product {row.event.product!r} is unknown; add it to the catalogue first, or send its tags"
            raise InvalidHistory(f"events[{position}]: {message}", field=f"events[{position}].product")
    locked = profiles.lock(connection, tenant, {row.name for row in rows}, make=True)
    values = [row.values(locked[row.name].id, row.event.tags or tags[row.event.product]) for row in rows]
    new = {(user, bytes(key)) for user, key in connection.execute(_insert(connection.dialect.name), values)}
    latest: dict[str, list[profiles.Recent]] = defaultdict(list)
    again: dict[int, list[int]] = defaultdict(list)
    fresh = []
    for position, (row, value) in enumerate(zip(rows, values, strict=True)):
        place = (value["user_id"], row.key)
        fresh.append(place in new)
        if place not in new:
            again[place[0]].append(position)
            continue
        new.remove(place)
        if mine := row.event.tags or tags[row.event.product]:
            latest[row.name].append((row.event.type, row.at, mine))
    _check_equal(connection, rows, again)
    profiles.extend(connection, tenant, [(locked[name], recent) for name, recent in latest.items()], lost)
    return fresh


@cache
def _insert(dialect: str) -> ReturningInsert[Any]:
    """What is there already stays as it is; what is new is returned."""
    statement = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(events)
    return statement.on_conflict_do_nothing(index_elements=["user_id", "key"]).returning(events.c.user_id, events.c.key)


def _check_equal(connection: Connection, rows: Sequence[_Row], again: Mapping[int, Sequence[int]]) -> None:
    """Raises `InvalidHistory` where rows that came again, by user and position, are other events than those that are there."""
    for user, positions in again.items():
        found = connection.execute(_CONTENTS, {"user": user, "keys": list({rows[position].key for position in positions})})
        contents = {bytes(key): bytes(content) for key, content in found}
        for position in positions:
            if contents[rows[position].key] != rows[position].content:
                message = "the idempotency key was used for another event; give each event its own"
                raise InvalidHistory(f"events[{position}]: {message}", field=f"events[{position}].idempotency_key")


_CONTENTS = select(events.c.key, events.c.content).where(
    events.c.user_id == bindparam("user"), events.c.key.in_(bindparam("keys", expanding=True))
)


def product_tags(connection: Connection, tenant: str, names: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The tags of products: the catalogue's, else those that were suggested or accepted before. Unknown products are left out."""
    found: dict[str, tuple[str, ...]] = {}
    for table in (products, learned_tags):
        found |= _tags_in(connection, table, tenant, sorted({name for name in names if name} - set(found)))
    return found


def _tags_in(connection: Connection, table: Table, tenant: str, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found = {}
    for start in range(0, len(names), BOUND):
        rows = connection.execute(_TAGS[table], {"tenant": tenant, "names": names[start : start + BOUND]})
        found.update({product: tuple(json.loads(tags)) for product, tags in rows})
    return found


_TAGS = {
    table: select(table.c.product, table.c.tags).where(
        table.c.tenant == bindparam("tenant"), table.c.product.in_(bindparam("names", expanding=True))
    )
    for table in (products, learned_tags)
}


def digest(*parts: str) -> bytes:
    """A number of 16 bytes for these parts, none of which has a line feed."""
    return blake2b("\n".join(parts).encode(), digest_size=16).digest()
