"""`Shelf`: the store as a server's coroutines use it, in threads of its own, so that neither waits for the model's work. It knows
no table and no route.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from hangtag.errors import StoreUnavailable
from serve.events_together import EventsTogether
from serve.recommending import Recommender
from serve.store import Store, Taken, UserEvent

THREADS = 8
NOTHING_KEPT = "this server keeps nothing; start it with a store (HANGTAG_STORE)"

T = TypeVar("T")
log = logging.getLogger("hangtag.serve")


class Shelf:
    """A store, or none: then whatever needs one is refused. `facet_weights`: see `Recommender`."""

    def __init__(self, store: Store | None = None, *, facet_weights: Mapping[str, float] | None = None) -> None:
        self.store = store
        self._recommender = Recommender(store, facet_weights) if store is not None else None
        self._together = EventsTogether(self.use)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="hangtag-store")
        # threads of their own: whoever waits for a large catalogue to be read keeps no event from being written
        self._recommending = ThreadPoolExecutor(THREADS, thread_name_prefix="hangtag-recommender")

    async def start(self) -> None:
        """Make the store ready before anybody waits for it; one that can't be reached is tried again when it is used."""
        if self.store is not None:
            try:
                await self.use(lambda store: store.database.prepare())
            except StoreUnavailable as error:
                log.error("%s", error)
            else:
                self._recommending.submit(self._warm)

    async def use(self, work: Callable[[Store], T]) -> T:
        """What `work` makes of the store. Raises what the store raises, `StoreUnavailable` where there is none."""
        store = self.store
        if store is None:
            raise StoreUnavailable(NOTHING_KEPT)
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(store))

    async def add_events(self, tenant: str, events: Sequence[UserEvent]) -> Taken:
        """See `Store.add_events`; requests that come while others are written are written together."""
        return await self._together.add(tenant, events)

    async def recommend(self, work: Callable[[Recommender], T]) -> T:
        """The same with what recommends out of the store."""
        recommender = self._recommender
        if recommender is None:
            raise StoreUnavailable(NOTHING_KEPT)
        return await asyncio.get_running_loop().run_in_executor(self._recommending, lambda: work(recommender))

    def _warm(self) -> None:
        assert self._recommender is not None
        try:
            self._recommender.warm()
        except StoreUnavailable as error:
            log.warning("catalogues were not read ahead: %s", error)

    def close(self) -> None:
        """Finish what runs, and give the database's connections back."""
        if self._recommender is not None:
            self._recommender.close()
        self._recommending.shutdown()
        self._threads.shutdown()
        if self.store is not None:
            self.store.close()
