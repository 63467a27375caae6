"""`EventsTogether`: events of many requests at once, written in few transactions. It knows no route and no table.

A transaction of one event takes four times as long as one event of a transaction of many. So while one is written, whatever else
comes for the tenant waits and is written in the next, in one go; each request is still all or nothing, and has its own errors.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from hangtag.errors import HangtagError, InvalidHistory
from serve.store import Store, Taken, UserEvent

MOST = 1_000
"""Events of a transaction; a request that has more by itself is alone in one."""

Outcome = Taken | Exception
Write = Callable[[Callable[[Store], list[Outcome]]], Awaitable[list[Outcome]]]


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    events: Sequence[UserEvent]
    told: asyncio.Future[Taken]

    def tell(self, outcome: Outcome) -> None:
        if self.told.done():  # whoever waited has gone
            return
        if isinstance(outcome, Taken):
            self.told.set_result(outcome)
        else:
            self.told.set_exception(outcome)


class EventsTogether:
    """Writes with `write`, which runs a function of the store in a thread: one transaction of a tenant at a time."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._waiting: defaultdict[str, deque[_Waiting]] = defaultdict(deque)
        self._writers: dict[str, asyncio.Task[None]] = {}

    async def add(self, tenant: str, events: Sequence[UserEvent]) -> Taken:
        """What `Store.add_events` does, and raises."""
        waiting = _Waiting(events, asyncio.get_running_loop().create_future())
        self._waiting[tenant].append(waiting)
        if tenant not in self._writers:
            self._writers[tenant] = asyncio.create_task(self._write_all(tenant))
        return await waiting.told

    async def _write_all(self, tenant: str) -> None:
        queue = self._waiting[tenant]
        some: list[_Waiting] = []
        try:
            while queue:
                some = _first(queue)
                work = partial(_added, tenant=tenant, parts=[each.events for each in some])
                try:
                    outcomes = await self._write(work)
                except Exception as error:  # a store that is down, or a defect: whoever waits has to hear of either
                    outcomes = [error] * len(some)
                for each, outcome in zip(some, outcomes, strict=True):
                    each.tell(outcome)
        finally:
            del self._writers[tenant], self._waiting[tenant]
            for each in (*some, *queue):  # none, unless the server was stopped in between
                each.told.cancel()


def _first(queue: deque[_Waiting]) -> list[_Waiting]:
    """Takes from the queue what goes into one transaction."""
    some = [queue.popleft()]
    count = len(some[0].events)
    while queue and count + len(queue[0].events) <= MOST:
        some.append(queue.popleft())
        count += len(some[-1].events)
    return some


def _added(store: Store, tenant: str, parts: Sequence[Sequence[UserEvent]]) -> list[Outcome]:
    """The outcome of each part; if there is something wrong with one, of each in a transaction of its own."""
    try:
        return list(store.add_together(tenant, parts))
    except InvalidHistory as error:
        if len(parts) == 1:
            return [error]
        return [_alone(store, tenant, part) for part in parts]


def _alone(store: Store, tenant: str, part: Sequence[UserEvent]) -> Outcome:
    try:
        return store.add_events(tenant, part)
    except HangtagError as error:
        return error
