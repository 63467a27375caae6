"""`Recommender`: products for a user, products like one, a user's tags for one, out of the store. It knows no HTTP and no model.

The index of a tenant's products is made of the store at the start or the first look (15 s for a million) and brought up to date
before each further one; it is never written anywhere, so that it can't be older than the store for longer than CHECK_SECONDS.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from hangtag.errors import StoreUnavailable
from hangtag.vocabulary import TagVocabulary
from serve.products import FacetWeight, ProductIndex, Recommendation, TaggedProduct, recommend, similar, tags_around
from serve.ranking import importance, tag_scores
from serve.store import Product, Store
from serve.store.database import held

MOST_TENANTS = 16
"""Indexes in memory; that of the tenant who asked longest ago goes first."""

CHECK_SECONDS = 2.0
PATIENCE_SECONDS = 5.0
"""How long a request waits for an index that another one makes."""

SLOWEST_WRITE = timedelta(seconds=60)
"""A product can be seen this long after the time that its change bears: large imports are one transaction."""

ALONE = timedelta(seconds=5)
"""The same on SQLite, whose writers take turns: as far as a clock may be set back."""

LONG_SECONDS, RESTS = 0.1, 9
"""Where bringing an index up to date takes longer than that, it stays as it is for RESTS times as long: while a catalogue is
imported, requests don't read the same changes again and again."""

TRENDING = timedelta(days=30)
DEMAND_SECONDS = 60.0
"""How old the list of what is in demand may be."""

DEMANDED = 200


class Basis(StrEnum):
    """What recommendations rest on."""

    INTERESTS = "interests"
    TRENDING = "trending"
    POPULAR = "popular"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Recommended:
    """Products, best first, and what they rest on: where a user has no interests yet that any product has, what is in demand."""

    basis: Basis
    products: Sequence[Recommendation]


@dataclass(slots=True)
class _Shelf:
    """The index of one tenant, and how new it is."""

    index: ProductIndex = field(default_factory=ProductIndex)
    changed: datetime | None = None
    read_at: datetime | None = None
    rests_until: float = 0.0
    checked: float = float("-inf")
    late: dict[str, TaggedProduct] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    demanded: tuple[Basis, Sequence[str]] | None = None
    demand_until: float = float("-inf")
    demand_lock: threading.Lock = field(default_factory=threading.Lock)

    def locked(self) -> AbstractContextManager[None]:
        """While nobody else changes the index. Raises `StoreUnavailable` where somebody does for long."""
        return held(self.lock, PATIENCE_SECONDS, "the catalogue is being read; try again soon")


class Recommender:
    """Recommends what the store's catalogue has; tags count by the `facet_weights`, 1 for a facet that is not in them. Methods
    block: call them from a thread. Raise `UnknownItem`, `StoreUnavailable`."""

    def __init__(self, store: Store, facet_weights: Mapping[str, float] | None = None) -> None:
        self.store = store
        self._facet_weights = dict(facet_weights or {})
        self._shelves: OrderedDict[str, _Shelf] = OrderedDict()
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def warm(self) -> None:
        """Make the indexes that are most likely asked for, so that nobody has to wait for them."""
        for tenant in self.store.tenants(MOST_TENANTS):
            self._shelf(tenant)

    def close(self) -> None:
        """Stop reading catalogues."""
        self._closing.set()

    def for_user(
        self, tenant: str, user: str, vocabulary: TagVocabulary, count: int, *, diversity: float = 0.0, include_seen: bool = False
    ) -> Recommended:
        """`count` products in stock that suit the user's interests and that no event of theirs is about (unless `include_seen`);
        what is in demand where the user's interests lead to none."""
        interests = _by_id(self.store.profile(tenant, user, vocabulary).weights, vocabulary)
        seen = set() if include_seen else self.store.seen(tenant, user)
        shelf = self._shelf(tenant)
        while True:
            found = recommend(
                shelf.index, interests, count, diversity=diversity, without=seen, facet_weight=self._weighing(vocabulary)
            )
            if self._all_exist(tenant, shelf, found):
                break
        return Recommended(Basis.INTERESTS, found) if found else self._in_demand(tenant, shelf, count, seen)

    def like(
        self, tenant: str, product: str, vocabulary: TagVocabulary, count: int, *, diversity: float = 0.0
    ) -> list[Recommendation]:
        """`count` products in stock whose tags are most like those of the product."""
        shelf = self._shelf(tenant)
        asked = self._product(tenant, product)
        while True:
            found = similar(shelf.index, asked, count, diversity=diversity, facet_weight=self._weighing(vocabulary))
            if self._all_exist(tenant, shelf, found):
                return found

    def tags(
        self, tenant: str, user: str, vocabulary: TagVocabulary, count: int, product: str | None = None
    ) -> list[tuple[str, float]]:
        """The user's `count` best tags by id with their scores, best first; with a product, those that suit both, see
        `serve.ranking.tag_scores`."""
        interests = self.store.profile(tenant, user, vocabulary).weights
        given: Mapping[int, float] = {}
        around: Mapping[int, float] = {}
        if product is not None:
            shelf = self._shelf(tenant)
            asked = self._product(tenant, product)
            given = {vocabulary.index(tag): 1.0 for tag in asked.tags if tag in vocabulary}
            near = tags_around(shelf.index, asked)
            around = {vocabulary.index(tag): share for tag, share in near.items() if tag in vocabulary}
        weigh = self._weighing(vocabulary)
        found = tag_scores(interests, given, around)
        scores = {tag: importance(score, facet_weight=weigh(vocabulary.tags[tag].id)) for tag, score in found.items()}
        best = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:count]
        return [(vocabulary.tags[tag].id, score) for tag, score in best]

    def _weighing(self, vocabulary: TagVocabulary) -> FacetWeight:
        def weight(tag: str) -> float:
            facet = vocabulary.tags[vocabulary.index(tag)].facet if tag in vocabulary else ""
            return self._facet_weights.get(facet, 1.0)

        return weight

    def _product(self, tenant: str, id: str) -> TaggedProduct:
        return _tagged(self.store.product(tenant, id))

    def _in_demand(self, tenant: str, shelf: _Shelf, count: int, seen: set[str]) -> Recommended:
        if time.monotonic() >= shelf.demand_until and shelf.demand_lock.acquire(blocking=shelf.demanded is None):
            try:  # one asks; the others have the list of before meanwhile
                if time.monotonic() >= shelf.demand_until:
                    shelf.demanded = self._demanded(tenant)
                    shelf.demand_until = time.monotonic() + DEMAND_SECONDS
            finally:
                shelf.demand_lock.release()
        basis, ids = shelf.demanded or (Basis.NOTHING, ())
        there = self.store.existing(tenant, ids)
        products = (shelf.index.get(id) for id in ids if id in there and id not in seen)
        stocked = [product for product in products if product is not None and product.in_stock][:count]
        size = len(stocked)
        if not stocked:
            return Recommended(Basis.NOTHING, ())
        return Recommended(basis, [Recommendation(each, (size - place) / size) for place, each in enumerate(stocked)])

    def _demanded(self, tenant: str) -> tuple[Basis, Sequence[str]]:
        for basis, within in ((Basis.TRENDING, TRENDING), (Basis.POPULAR, None)):
            if ids := self.store.wanted(tenant, DEMANDED, within=within):
                return basis, ids
        return Basis.NOTHING, ()

    def _all_exist(self, tenant: str, shelf: _Shelf, found: Sequence[Recommendation]) -> bool:
        """Whether the catalogue still has all of them; what it has not leaves the index."""
        ids = {each.product.id for each in found}
        gone = ids - self.store.existing(tenant, ids)
        if gone:
            with shelf.locked():
                gone -= self.store.existing(tenant, gone)  # those that have come back meanwhile
                shelf.index.put((), removed=gone)
                for id in gone:
                    shelf.late.pop(id, None)  # if it comes back as it was, it is new all the same
        return not gone

    def _shelf(self, tenant: str) -> _Shelf:
        """The tenant's products, as new as the store has them."""
        with self._lock:
            if (shelf := self._shelves.get(tenant)) is None:
                shelf = self._shelves[tenant] = _Shelf()
            self._shelves.move_to_end(tenant)
            while len(self._shelves) > MOST_TENANTS:
                self._shelves.popitem(last=False)
        with shelf.locked():
            changed = self.store.latest_change(tenant)
            now = time.monotonic()
            is_due = changed != shelf.changed or now >= shelf.checked + CHECK_SECONDS
            if changed is not None and is_due and now >= shelf.rests_until:
                self._refresh(tenant, shelf, changed)
        return shelf

    def _refresh(self, tenant: str, shelf: _Shelf, changed: datetime) -> None:
        begun, now = time.monotonic(), self.store.now()
        slowest = ALONE if self.store.database.is_sqlite else SLOWEST_WRITE
        since = shelf.read_at - slowest if shelf.read_at is not None else None
        late: dict[str, TaggedProduct] = {}

        def fresh() -> Iterator[TaggedProduct]:
            for found in self.store.tagged_products(tenant, since):
                if self._closing.is_set():
                    raise StoreUnavailable("the server is stopping")
                product = TaggedProduct(*found)
                if since is not None:
                    late[product.id] = product
                if shelf.late.get(product.id) != product:
                    yield product

        if since is None:
            shelf.index.put(fresh())
        elif changes := list(fresh()):
            shelf.index.put(changes)
        shelf.late, shelf.changed, shelf.read_at, shelf.checked = late, changed, now, time.monotonic()
        took = shelf.checked - begun
        shelf.rests_until = shelf.checked + RESTS * took if took > LONG_SECONDS else 0.0


def _tagged(product: Product) -> TaggedProduct:
    return TaggedProduct(product.listing.id, product.tags, product.in_stock)


def _by_id(weights: Mapping[int, float], vocabulary: TagVocabulary) -> dict[str, float]:
    return {vocabulary.tags[tag].id: weight for tag, weight in weights.items()}
