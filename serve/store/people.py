"""All that is held of a user: given out, deleted, or thinned by age. It knows rows, no vocabulary."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, delete, exists, select

from hangtag.history import Event, microseconds, moment
from serve.store import profiles, suggestions
from serve.store.tables import events, feedback, users
from serve.store.tables import suggestions as suggestion_rows

CHUNK = 200
"""Users whose profiles are made again in one transaction."""


@dataclass(frozen=True, slots=True)
class Held:
    """What is held of a user: `name` as it stands in the store, events in the order of their times, the weight of each tag, and
    suggestions with the user's interests in them."""

    name: str
    events: tuple[Event, ...]
    weights: dict[str, float]
    suggestions: tuple[tuple[suggestions.Recorded, suggestions.Feedback | None], ...]


@dataclass(frozen=True, slots=True)
class Purged:
    """How much was deleted."""

    events: int = 0
    users: int = 0
    suggestions: int = 0

    def __add__(self, other: Purged) -> Purged:
        return Purged(self.events + other.events, self.users + other.users, self.suggestions + other.suggestions)


def history(connection: Connection, tenant: str, name: str) -> Iterator[Event]:
    """The user's events in the order of their times."""
    wanted = (
        select(events.c.type, events.c.at, events.c.tags, events.c.product)
        .join(users, users.c.id == events.c.user_id)
        .where(users.c.tenant == tenant, users.c.name == name)
        .order_by(events.c.at, events.c.id)
    )
    for type, at, tags, product in connection.execute(wanted):
        yield Event(type, moment(at), tuple(json.loads(tags)), product)


def seen(connection: Connection, tenant: str, name: str) -> set[str]:
    """The products that the user's events are about."""
    wanted = select(events.c.product).join(users).where(users.c.tenant == tenant, users.c.name == name).distinct()
    return {product for (product,) in connection.execute(wanted) if product}


def held(connection: Connection, tenant: str, name: str, now: datetime) -> Held:
    """All that is held of the user, empty for one that nobody knows."""
    tags, values = profiles.read(connection, tenant, name).values(microseconds(now))
    id = connection.execute(select(users.c.id).where(users.c.tenant == tenant, users.c.name == name)).scalar_one_or_none()
    return Held(
        name,
        tuple(history(connection, tenant, name)),
        dict(zip(tags, values.tolist(), strict=True)),
        tuple(suggestions.of_user(connection, id)) if id is not None else (),
    )


def remove(connection: Connection, tenant: str, name: str) -> Purged:
    """Delete the user and everything of theirs."""
    user = profiles.lock(connection, tenant, [name], make=False).get(name)
    if user is None:
        return Purged()
    made = connection.execute(delete(suggestion_rows).where(suggestion_rows.c.user_id == user.id)).rowcount
    done = connection.execute(delete(events).where(events.c.user_id == user.id)).rowcount
    profiles.count(connection, tenant, profiles.forget(connection, user))
    return Purged(done, 1, made)


def purge_some(connection: Connection, before: int) -> Purged:
    """Delete events of earlier than `before` (µs), of up to CHUNK users of one tenant, and make their profiles again; a user that
    nothing is left of is deleted. Nothing is returned once nothing is left to do."""
    first = connection.execute(
        select(users.c.tenant).join(events, events.c.user_id == users.c.id).where(events.c.at < before).limit(1)
    ).scalar_one_or_none()
    if first is None:
        return Purged()
    wanted = select(users.c.name).where(
        users.c.tenant == first, exists().where(events.c.user_id == users.c.id, events.c.at < before)
    )
    names = connection.execute(wanted.order_by(users.c.name).limit(CHUNK)).scalars().all()
    purged, lost = Purged(), Counter[str]()
    for user in profiles.lock(connection, first, names, make=False).values():
        mine = events.c.user_id == user.id
        purged += Purged(events=connection.execute(delete(events).where(mine, events.c.at < before)).rowcount)
        lost.update(profiles.rebuild(connection, user))
        rest = select(exists().where(mine)), select(exists().where(suggestion_rows.c.user_id == user.id))
        if not any(connection.execute(each).scalar_one() for each in rest):
            lost.update(profiles.forget(connection, user))
            purged += Purged(users=1)
    profiles.count(connection, first, lost)
    return purged


def purge_suggestions(connection: Connection, before: int) -> Purged:
    """Delete suggestions of earlier than `before` (µs): those with a user's interests in them, and those that nobody gave
    feedback on; what is said of listings is kept for training. Users that nothing is left of go too."""
    judged = exists().where(feedback.c.suggestion == suggestion_rows.c.id)
    old = and_(suggestion_rows.c.at < before, (suggestion_rows.c.user_id.is_not(None)) | ~judged)
    made = connection.execute(delete(suggestion_rows).where(old)).rowcount
    empty = and_(~exists().where(events.c.user_id == users.c.id), ~exists().where(suggestion_rows.c.user_id == users.c.id))
    # locked first, then looked at again: an event that comes meanwhile keeps its user
    found = connection.execute(select(users.c.id).where(empty).order_by(users.c.tenant, users.c.name).with_for_update())
    ids, gone = found.scalars().all(), 0
    for start in range(0, len(ids), CHUNK):
        mine = users.c.id.in_(ids[start : start + CHUNK])
        gone += connection.execute(delete(users).where(mine, empty)).rowcount
    return Purged(users=gone, suggestions=made)
