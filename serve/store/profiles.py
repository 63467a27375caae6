"""Interests in the store: each user's fading sums, and the latest events that are not in them yet. They know rows and tags by
id, no vocabulary.

A user's row carries its `recent` events, up to FOLD; then they are folded into the sums, which are kept apart since they may be
large. So an event costs a small row, whatever the user did before, and reading costs one look-up. As sums take events in any
order, so do profiles.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, delete, select, update

from hangtag.decay import TERMS, DecayedSums
from hangtag.history import EVENT_WEIGHTS
from serve.store.tables import events, profiles, tag_users, users
from serve.store.upsert import upsert

FOLD = 32
"""Events on a user's row before they are folded into the sums."""

EVERY_TAG = ""

NONE_LOST: Mapping[str, int] = {}

Recent = tuple[str, int, Sequence[str]]
"""Type, time (µs), tags."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredProfile:
    """The interests of one user: `sums` are of the `tags`, `recent` events are in addition."""

    tags: tuple[str, ...] = ()
    sums: DecayedSums = field(default_factory=DecayedSums.empty)
    recent: Sequence[Recent] = ()

    @classmethod
    def of_row(cls, recent: str, tags: str | None, at: int | None, sums: bytes | None) -> StoredProfile:
        """From the columns of `users` and `profiles`, the latter None where there is no row."""
        folded = DecayedSums(at, np.frombuffer(sums, dtype="<f8").reshape(-1, TERMS)) if sums and at is not None else None
        return cls(tuple(json.loads(tags)) if tags else (), folded or DecayedSums.empty(), json.loads(recent))

    def folded(self) -> StoredProfile:
        """The same with nothing recent."""
        if not self.recent:
            return self
        rows = {tag: row for row, tag in enumerate(self.tags)}
        shares = [(rows.setdefault(tag, len(rows)), EVENT_WEIGHTS[type], at) for type, at, tags in self.recent for tag in tags]
        if not shares:
            return StoredProfile(self.tags, self.sums)
        places, weights, times = zip(*shares, strict=True)
        sums = self.sums.add(
            np.array(places, dtype=np.int64),
            np.array(weights, dtype=np.float64),
            np.array(times, dtype=np.int64),
            size=len(rows),
        )
        return StoredProfile(tuple(rows), sums)

    def values(self, now: int) -> tuple[tuple[str, ...], NDArray[np.float64]]:
        """Every tag and its weight at `now` (µs)."""
        folded = self.folded()
        return folded.tags, folded.sums.values(now)


def read(connection: Connection, tenant: str, name: str) -> StoredProfile:
    """The profile of a user, empty for one that nobody knows."""
    row = connection.execute(_READ, {"tenant": tenant, "name": name}).one_or_none()
    return StoredProfile.of_row(*row) if row is not None else StoredProfile()


_READ = (
    select(users.c.recent, profiles.c.tags, profiles.c.at, profiles.c.sums)
    .select_from(users.outerjoin(profiles))
    .where(users.c.tenant == bindparam("tenant"), users.c.name == bindparam("name"))
)


@dataclass(slots=True)
class LockedUser:
    """A user's row while this transaction alone may change it. `tags`: all that its events have."""

    id: int
    name: str
    recent: list[Recent]
    tags: set[str]


def lock(connection: Connection, tenant: str, names: Collection[str], *, make: bool) -> dict[str, LockedUser]:
    """The users of these names, locked in the order of their names, so that two transactions never wait for each other in a
    circle. Those that are not there are made, or left out."""
    ordered = sorted(set(names))
    if make:
        upsert(connection, users, [{"tenant": tenant, "name": name} for name in ordered], keys=("tenant", "name"))
    locked = connection.execute(_LOCK, {"tenant": tenant, "names": ordered}).all()
    # a look of its own: PostgreSQL would join what it waited for with profiles as they were before it waited
    tags = dict(connection.execute(_TAGS, {"users": [id for id, _, _ in locked]}).all())
    found = {}
    for id, name, recent in locked:
        latest: list[Recent] = json.loads(recent)
        found[name] = LockedUser(id, name, latest, set(json.loads(tags.get(id, "[]"))).union(*(each[2] for each in latest)))
    return found


_LOCK = (
    select(users.c.id, users.c.name, users.c.recent)
    .where(users.c.tenant == bindparam("tenant"), users.c.name.in_(bindparam("names", expanding=True)))
    .order_by(users.c.name)
    .with_for_update()
)
_TAGS = select(profiles.c.user_id, profiles.c.tags).where(profiles.c.user_id.in_(bindparam("users", expanding=True)))


def extend(
    connection: Connection, tenant: str, new: Iterable[tuple[LockedUser, Sequence[Recent]]], lost: Mapping[str, int] = NONE_LOST
) -> None:
    """Take in new events of users that are locked. `lost` is what `rebuild` gave before in this transaction."""
    gained = Counter(lost)
    changed, full = [], []
    for user, latest in new:
        tags = set[str]().union(*(each[2] for each in latest)) - user.tags
        gained.update(tags)
        gained[EVERY_TAG] += bool(tags) and not user.tags
        user.tags |= tags
        user.recent += latest
        if len(user.recent) >= FOLD:
            full.append(user)
        changed.append(user)
    if full:
        _fold(connection, full)
    if changed:
        connection.execute(_RENEW, [{"user": user.id, "latest": json.dumps(user.recent)} for user in changed])
    count(connection, tenant, gained)


_RENEW = update(users).where(users.c.id == bindparam("user")).values(recent=bindparam("latest"))


def rebuild(connection: Connection, user: LockedUser) -> Counter[str]:
    """Make the profile again of the events that are there. Gives what is to be counted: once, at the transaction's end, since
    rows of tags are locked in their order, and two transactions that count twice could wait for each other."""
    rows = connection.execute(select(events.c.type, events.c.at, events.c.tags).where(events.c.user_id == user.id))
    profile = StoredProfile(recent=[(type, at, json.loads(tags)) for type, at, tags in rows]).folded()
    lost = Counter(dict.fromkeys(user.tags - set(profile.tags), -1))
    if user.tags and not profile.tags:
        lost[EVERY_TAG] = -1
    user.tags, user.recent = set(profile.tags), []
    _write(connection, [(user.id, profile)])
    connection.execute(update(users).where(users.c.id == user.id).values(recent="[]"))
    return lost


def forget(connection: Connection, user: LockedUser) -> Counter[str]:
    """Delete the user's row and with it all that hangs on it. Gives what is to be counted, as `rebuild`."""
    connection.execute(delete(users).where(users.c.id == user.id))
    return Counter(dict.fromkeys((*user.tags, EVERY_TAG) if user.tags else (), -1))


def count(connection: Connection, tenant: str, gained: Mapping[str, int]) -> None:
    """Add to how many users have each tag."""
    rows = [{"tenant": tenant, "tag": tag, "users": gained[tag]} for tag in sorted(gained) if gained[tag]]
    if rows:
        upsert(connection, tag_users, rows, keys=("tenant", "tag"), add=("users",))
    if any(change < 0 for change in gained.values()):
        connection.execute(delete(tag_users).where(tag_users.c.tenant == tenant, tag_users.c.users <= 0))


def _fold(connection: Connection, full: Sequence[LockedUser]) -> None:
    rows = connection.execute(_FOLDED, {"users": [user.id for user in full]})
    known = {id: StoredProfile.of_row("[]", tags, at, sums) for id, tags, at, sums in rows}
    folded = []
    for user in full:
        before = known.get(user.id, StoredProfile())
        folded.append((user.id, StoredProfile(before.tags, before.sums, user.recent).folded()))
        user.recent = []
    _write(connection, folded)


_FOLDED = select(profiles.c.user_id, profiles.c.tags, profiles.c.at, profiles.c.sums).where(
    profiles.c.user_id.in_(bindparam("users", expanding=True))
)


def _write(connection: Connection, folded: Sequence[tuple[int, StoredProfile]]) -> None:
    rows: list[dict[str, Any]] = [
        {
            "user_id": id,
            "tags": json.dumps(profile.tags),
            "at": profile.sums.at,
            "sums": profile.sums.terms.astype("<f8").tobytes(),
        }
        for id, profile in folded
    ]
    upsert(connection, profiles, rows, keys=("user_id",), replace=("tags", "at", "sums"))
