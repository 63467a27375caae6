"""Suggestions that were made, and what became of them: accepted, rejected, added tags. They know rows, no vocabulary.

One that was made for a user hangs on the user and goes with it; one that had interests in it says nothing about the product's
tags to others.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from hangtag.errors import InvalidFeedback
from hangtag.history import Event, microseconds, moment
from hangtag.listing import Listing
from serve.store import events as event_rows
from serve.store import profiles
from serve.store.catalogue import read_listing, write_listing
from serve.store.tables import events, feedback, learned_tags, suggestions, users
from serve.store.upsert import upsert

PAGE = 1_000
Tags = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A suggestion that was made: the listing, whose `id` is the product's or empty, and the suggested tags by id. `user` is the
    name in the store, None where it was for nobody in particular."""

    id: str
    listing: Listing
    suggested: Tags
    at: datetime
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Feedback:
    """What became of a suggestion; tags by id, each once. A suggested tag that is neither accepted nor rejected was not looked
    at. Raises `InvalidFeedback` where it says nothing."""

    accepted: Tags = ()
    rejected: Tags = ()
    added: Tags = ()

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise InvalidFeedback(f"`{name}` has a tag twice", field=name)
        if not (self.accepted or self.rejected or self.added):
            raise InvalidFeedback("no tag is accepted, rejected or added: this says nothing", field="accepted")

    def check(self, on: Recorded) -> None:
        """Raises `InvalidFeedback` where it does not fit the suggestion."""
        for name in ("accepted", "rejected"):
            if strange := set(getattr(self, name)) - set(on.suggested):
                raise InvalidFeedback(f"{min(strange)!r} is {name}, but was not suggested", field=name)
        if both := set(self.accepted) & set(self.rejected):
            raise InvalidFeedback(f"{min(both)!r} is accepted and rejected", field="rejected")
        if known := set(self.added) & set(on.suggested):
            raise InvalidFeedback(f"{min(known)!r} is added, but was suggested; say that it is accepted", field="added")

    @property
    def right(self) -> Tags:
        """The tags that somebody said are right."""
        return tuple(dict.fromkeys((*self.accepted, *self.added)))


def record(
    connection: Connection,
    tenant: str,
    listing: Listing,
    suggested: Tags,
    user: str | None,
    now: datetime,
    *,
    is_known: bool = False,
    teaches: bool = True,
) -> str | None:
    """Keep a suggestion; its id, which nobody can guess, or None for a user that `is_known` and was deleted since. One for nobody
    in particular may teach what tags its product has."""
    id = secrets.token_hex(16)
    owner = None
    if user is not None:
        locked = profiles.lock(connection, tenant, [user], make=not is_known).get(user)
        if locked is None:
            return None
        owner = locked.id
    if listing.id and suggested and teaches:
        _learn(connection, tenant, listing.id, suggested, now)
    connection.execute(
        insert(suggestions),
        {
            "id": id,
            "tenant": tenant,
            "product": listing.id,
            "user_id": owner,
            "listing": write_listing(listing),
            "suggested": json.dumps(suggested),
            "at": microseconds(now),
        },
    )
    return id


def find(connection: Connection, tenant: str, id: str) -> Recorded | None:
    """The tenant's suggestion of this id."""
    row = connection.execute(_RECORDED.where(suggestions.c.tenant == tenant, suggestions.c.id == id)).one_or_none()
    return _recorded(*row) if row is not None else None


def judge(connection: Connection, tenant: str, recorded: Recorded, given: Feedback, now: datetime) -> None:
    """Keep feedback in place of any that was given on the suggestion before. The user that it was made for likes what was
    accepted or added, and not what was rejected; where it was for nobody, its product has the right tags from now on."""
    connection.execute(select(suggestions.c.id).where(suggestions.c.id == recorded.id).with_for_update())
    before = connection.execute(_FEEDBACK.where(feedback.c.suggestion == recorded.id)).one_or_none()
    if before is not None and _feedback(*before[1:4]) == given:
        return
    values = {name: json.dumps(getattr(given, name)) for name in Feedback.__slots__}
    row = {"suggestion": recorded.id, **values, "at": microseconds(now)}
    upsert(connection, feedback, [row], keys=("suggestion",), replace=(*Feedback.__slots__, "at"))
    if recorded.user is None:
        if recorded.listing.id:
            _learn_from(connection, tenant, recorded.listing.id, given, now)
        return
    lost = _take_back(connection, tenant, recorded) if before is not None else Counter()
    said = {"accept": given.right, "reject": given.rejected}
    new = [
        (recorded.user, event_rows.UserEvent(recorded.user, Event(type, now, tags, recorded.listing.id), _key(recorded, type)))
        for type, tags in said.items()
        if tags
    ]
    event_rows.add(connection, tenant, new, lost)


def judged(connection: Connection, tenant: str) -> Iterator[tuple[Recorded, Feedback, datetime]]:
    """All feedback of a tenant with its time, in the order of the suggestions' ids."""
    last = ""
    while True:
        wanted = (
            _RECORDED.add_columns(feedback.c.accepted, feedback.c.rejected, feedback.c.added, feedback.c.at.label("judged"))
            .join(feedback, feedback.c.suggestion == suggestions.c.id)
            .where(suggestions.c.tenant == tenant, suggestions.c.id > last)
        )
        page = connection.execute(wanted.order_by(suggestions.c.id).limit(PAGE)).all()
        for row in page:
            yield _recorded(*row[:6]), _feedback(*row[6:9]), moment(row[9])
        if len(page) < PAGE:
            return
        last = page[-1][0]


def of_user(connection: Connection, id: int) -> Iterator[tuple[Recorded, Feedback | None]]:
    """What was suggested with a user's interests, and what became of it."""
    wanted = (
        _RECORDED.add_columns(feedback.c.accepted, feedback.c.rejected, feedback.c.added)
        .outerjoin(feedback, feedback.c.suggestion == suggestions.c.id)
        .where(suggestions.c.user_id == id)
    )
    for row in connection.execute(wanted.order_by(suggestions.c.at, suggestions.c.id)):
        yield _recorded(*row[:6]), _feedback(*row[6:9]) if row[6] is not None else None


_RECORDED = select(
    suggestions.c.id, suggestions.c.product, suggestions.c.listing, suggestions.c.suggested, suggestions.c.at, users.c.name
).select_from(suggestions.outerjoin(users, users.c.id == suggestions.c.user_id))
_FEEDBACK = select(feedback.c.suggestion, feedback.c.accepted, feedback.c.rejected, feedback.c.added)


def _recorded(id: str, product: str, listing: str, suggested: str, at: int, user: str | None) -> Recorded:
    return Recorded(id, read_listing(listing, product), tuple(json.loads(suggested)), moment(at), user)


def _feedback(accepted: str, rejected: str, added: str) -> Feedback:
    return Feedback(*(tuple(json.loads(text)) for text in (accepted, rejected, added)))


def _learn(connection: Connection, tenant: str, product: str, tags: Tags, now: datetime) -> None:
    row = {"tenant": tenant, "product": product, "tags": json.dumps(tags), "at": microseconds(now)}
    upsert(connection, learned_tags, [row], keys=("tenant", "product"), replace=("tags", "at"))


def _learn_from(connection: Connection, tenant: str, product: str, given: Feedback, now: datetime) -> None:
    """The right tags, or where none is said to be right what was learned before without what was rejected."""
    if given.right:
        _learn(connection, tenant, product, given.right, now)
        return
    wanted = select(learned_tags.c.tags).where(learned_tags.c.tenant == tenant, learned_tags.c.product == product)
    learned = connection.execute(wanted).scalar_one_or_none()
    if learned is not None:
        left = tuple(tag for tag in json.loads(learned) if tag not in given.rejected)
        _learn(connection, tenant, product, left, now)


def _take_back(connection: Connection, tenant: str, recorded: Recorded) -> Counter[str]:
    """As if the feedback on a suggestion had not been given; see `profiles.count` for what is given."""
    assert recorded.user is not None
    user = profiles.lock(connection, tenant, [recorded.user], make=True)[recorded.user]
    keys = [event_rows.digest(_key(recorded, type)) for type in ("accept", "reject")]
    connection.execute(delete(events).where(events.c.user_id == user.id, events.c.key.in_(keys)))
    return profiles.rebuild(connection, user)


def _key(recorded: Recorded, type: str) -> str:
    return f"\0feedback on {recorded.id}: {type}"  # no key from outside has a control character
