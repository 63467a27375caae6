"""`Store`: what users did and like, the catalogue, suggestions and feedback, each tenant by itself. It knows neither HTTP nor
models.

Every method is one transaction or one consistent look, and blocks: call it from a thread. Raises `StoreUnavailable` where the
database can't be used.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from sqlalchemy import Connection, select

from hangtag.errors import InvalidFeedback, InvalidHistory, InvalidListing, UnknownItem
from hangtag.history import Event, InterestProfile, microseconds, moment, rarity
from hangtag.listing import Listing
from hangtag.vocabulary import TagVocabulary
from serve.store import catalogue, demand, events, people, profiles, suggestions
from serve.store.catalogue import Product
from serve.store.database import Database
from serve.store.events import Taken, UserEvent
from serve.store.names import UserNames, checked_name
from serve.store.people import Held, Purged
from serve.store.suggestions import Feedback, Recorded
from serve.store.tables import tag_users

FAST_CLOCK = timedelta(seconds=30)
"""How far in the future an event may lie: callers' clocks are fast, too."""

RARITY_SECONDS = 10.0
"""How old the counts behind the rarity of tags may be; the weights of a user's own tags are never old."""


@dataclass(slots=True)
class _Rarity:
    until: float = 0.0
    factors: Mapping[str, float] = field(default_factory=dict)


class Store:
    """The store at a URL (see `Database`). `user_key` makes users' names keyed hashes; `clock` says what time it is."""

    def __init__(
        self, url: str, *, user_key: str | None = None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.database = Database(url)
        self._names = UserNames(user_key)
        self._clock = clock
        self._rarity: dict[str, _Rarity] = {}
        self._counting = threading.Lock()

    def now(self) -> datetime:
        """The time that changes bear."""
        return self._clock()

    # what users do

    def add_events(self, tenant: str, given: Sequence[UserEvent]) -> Taken:
        """Take in all of the events or none. Tags are ids; a product's own where an event has none. Raises `InvalidHistory`
        naming the first that can't be taken in."""
        return self.add_together(tenant, [given])[0]

    def add_together(self, tenant: str, parts: Sequence[Sequence[UserEvent]]) -> list[Taken]:
        """Take in several lists of events in one transaction, which takes hardly longer than one of them: all of it or nothing.
        Raises `InvalidHistory`; its place is that in all of the lists together."""
        named = self._checked(tenant, [each for part in parts for each in part])
        fresh: list[bool] = []
        if named:
            with self.database.write() as connection:
                fresh = events.add(connection, tenant, named)
        ends = list(accumulate(map(len, parts)))
        return [Taken.of(fresh[end - len(part) : end]) for part, end in zip(parts, ends, strict=True)]

    def profile(self, tenant: str, user: str, vocabulary: TagVocabulary) -> InterestProfile:
        """The user's interests now, rare tags counting more; of tags that the vocabulary has. Empty for an unknown user."""
        name, now = self._user(tenant, user), self._clock()
        with self.database.read() as connection:
            stored = profiles.read(connection, tenant, name)
        factors = self._rarities(tenant)
        tags, values = stored.values(microseconds(now))
        known = ((tag, value) for tag, value in zip(tags, values.tolist(), strict=True) if tag in vocabulary)
        return InterestProfile({vocabulary.index(tag): value * factors.get(tag, 1.0) for tag, value in known})

    def exact_profile(self, tenant: str, user: str, vocabulary: TagVocabulary) -> InterestProfile:
        """What `profile` approximates, from every event: for checking."""
        now, factors = self._clock(), self._rarities(tenant)
        past = [event for event in self.history(tenant, user) if event.at <= now]
        known = [Event(e.type, e.at, tuple(tag for tag in e.tags if tag in vocabulary), e.product) for e in past]
        exact = InterestProfile.from_events(known, vocabulary, now=now)
        return exact.weighted({tag: factors.get(vocabulary.tags[tag].id, 1.0) for tag in exact.weights})

    def history(self, tenant: str, user: str) -> list[Event]:
        """The user's events in the order of their times."""
        name = self._user(tenant, user)
        with self.database.read() as connection:
            return list(people.history(connection, tenant, name))

    def seen(self, tenant: str, user: str) -> set[str]:
        """The products that the user's events are about."""
        name = self._user(tenant, user)
        with self.database.read() as connection:
            return people.seen(connection, tenant, name)

    # the catalogue

    def put_products(self, tenant: str, given: Sequence[Product]) -> None:
        """Add products or change those that are there. Raises `InvalidListing` for one without an id."""
        for position, product in enumerate(given):
            checked_name(product.listing.id, "id", InvalidListing, field=f"listings[{position}].id")
        with self.database.write() as connection:
            catalogue.put(connection, tenant, given, microseconds(self._clock()))

    def product(self, tenant: str, id: str) -> Product:
        """The product of this id. Raises `UnknownItem`."""
        with self.database.read() as connection:
            found = catalogue.get(connection, tenant, checked_name(id, "id", InvalidListing))
        if found is None:
            raise UnknownItem(f"there is no listing {id!r}", field="id")
        return found

    def product_tags(self, tenant: str, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The tags of those products that are known: the catalogue's, else suggested or accepted ones."""
        with self.database.read() as connection:
            return events.product_tags(connection, tenant, ids)

    def tagged_products(self, tenant: str, since: datetime | None = None) -> Iterator[tuple[str, tuple[str, ...], bool]]:
        """Id, tags and whether it is in stock of every product, or of what was added or changed since then."""
        with self.database.read() as connection:
            yield from catalogue.tagged(connection, tenant, microseconds(since) if since else 0)

    def tenants(self, count: int) -> list[str]:
        """The `count` tenants whose catalogues were changed last."""
        with self.database.read() as connection:
            return demand.tenants(connection, count)

    def remove_product(self, tenant: str, id: str) -> None:
        """Delete the product of this id and what suggestions and feedback taught of it, also where the catalogue has it not; what
        users did with it stays theirs. Raises `UnknownItem`."""
        with self.database.write() as connection:
            if not catalogue.remove(connection, tenant, checked_name(id, "id", InvalidListing)):
                raise UnknownItem(f"there is no listing {id!r}", field="id")

    # what recommendations need

    def wanted(self, tenant: str, count: int, *, within: timedelta | None = None) -> list[str]:
        """The products that users asked for most, within so much time or at all."""
        since = microseconds(self._clock() - within) if within is not None else 0
        with self.database.read() as connection:
            return demand.wanted(connection, tenant, since, count)

    def latest_change(self, tenant: str) -> datetime | None:
        """When a product was added or changed last; None for an empty catalogue."""
        with self.database.read() as connection:
            changed = demand.latest_change(connection, tenant)
        return moment(changed) if changed else None

    def existing(self, tenant: str, ids: Collection[str]) -> set[str]:
        """Those of the products that the catalogue has."""
        with self.database.read() as connection:
            return demand.existing(connection, tenant, ids)

    # suggestions and what became of them

    def record(
        self,
        tenant: str,
        listing: Listing,
        suggested: Sequence[str],
        user: str | None = None,
        *,
        is_known: bool = False,
        teaches: bool = True,
    ) -> str | None:
        """Keep a suggestion by tag ids for feedback; its id. `user` is whom it was for: one that `is_known` and is not there any
        more was deleted meanwhile, and nothing is kept (None). Without a user it `teaches` what tags its product (`listing.id`,
        may be empty) has, until somebody knows better."""
        if listing.id:
            checked_name(listing.id, "product", InvalidListing)
        name = self._user(tenant, user) if user is not None else None
        with self.database.write() as connection:
            return suggestions.record(
                connection, tenant, listing, tuple(suggested), name, self._clock(), is_known=is_known, teaches=teaches
            )

    def suggestion(self, tenant: str, id: str) -> Recorded:
        """The suggestion of this id. Raises `UnknownItem`."""
        checked_name(id, "suggestion", InvalidFeedback)
        with self.database.read() as connection:
            return self._suggestion(connection, tenant, id)

    def give_feedback(self, tenant: str, id: str, given: Feedback) -> Recorded:
        """Keep feedback, in place of any given before; the suggestion that it is on. Raises `UnknownItem`, `InvalidFeedback`."""
        checked_name(id, "suggestion", InvalidFeedback)
        with self.database.write() as connection:
            recorded = self._suggestion(connection, tenant, id)
            given.check(recorded)
            suggestions.judge(connection, tenant, recorded, given, self._clock())
            return recorded

    def feedback(self, tenant: str) -> Iterator[tuple[Recorded, Feedback, datetime]]:
        """All feedback with its suggestion and time."""
        with self.database.read() as connection:
            yield from suggestions.judged(connection, tenant)

    # people

    def export(self, tenant: str, user: str) -> Held:
        """All that is held of the user."""
        name = self._user(tenant, user)
        with self.database.read() as connection:
            return people.held(connection, tenant, name, self._clock())

    def remove_user(self, tenant: str, user: str) -> Purged:
        """Delete everything of the user, from SQLite's log too."""
        name = self._user(tenant, user)
        with self.database.write() as connection:
            gone = people.remove(connection, tenant, name)
        self.database.wipe()
        return gone

    def purge(self, older: timedelta, progress: Callable[[Purged], None] = lambda _: None) -> Purged:
        """Delete events older than that, of all tenants, and suggestions (see `people.purge_suggestions`), in parts, each a
        transaction."""
        before = microseconds(self._clock() - older)
        done = Purged()
        while True:
            with self.database.write() as connection:
                part = people.purge_some(connection, before)
            done += part
            progress(done)
            if part == Purged():
                break
        with self.database.write() as connection:
            done += people.purge_suggestions(connection, before)
        self.database.wipe()
        return done

    def close(self) -> None:
        """Give the connections back."""
        self.database.close()

    def _checked(self, tenant: str, given: Sequence[UserEvent]) -> list[tuple[str, UserEvent]]:
        latest = self._clock() + FAST_CLOCK
        named = []
        for position, each in enumerate(given):
            place = f"events[{position}]"
            try:
                named.append((self._user(tenant, each.user), each))
                if each.event.product or not each.event.tags:
                    checked_name(each.event.product, "product", InvalidHistory)
                if each.key:
                    checked_name(each.key, "idempotency key", InvalidHistory, field="idempotency_key")
                if each.event.at > latest:
                    raise InvalidHistory(f"the time {each.event.at.isoformat()} lies in the future", field="at")
            except InvalidHistory as error:
                raise InvalidHistory(f"{place}: {error}", field=f"{place}.{error.field}") from error
        return named

    @staticmethod
    def _suggestion(connection: Connection, tenant: str, id: str) -> Recorded:
        recorded = suggestions.find(connection, tenant, id)
        if recorded is None:
            raise UnknownItem(f"there is no suggestion {id!r}", field="suggestion")
        return recorded

    def _user(self, tenant: str, user: str) -> str:
        return self._names.stored(tenant, checked_name(user, "user", InvalidHistory))

    def _rarities(self, tenant: str) -> Mapping[str, float]:
        """The rarity of tags among the tenant's users; 1 for one that is not in it."""
        with self._counting:
            known = self._rarity.setdefault(tenant, _Rarity())
            if known.until < time.monotonic():
                with self.database.read() as connection:
                    rows = connection.execute(select(tag_users.c.tag, tag_users.c.users).where(tag_users.c.tenant == tenant))
                    having: dict[str, int] = {row.tag: row.users for row in rows}
                total = having.get(profiles.EVERY_TAG, 0)
                known.factors = {tag: rarity(users, total) for tag, users in having.items()}
                known.until = time.monotonic() + RARITY_SECONDS
            return known.factors
