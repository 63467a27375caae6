"""`Admission`: how much is worked on at a time, how much may wait, and for how long. It knows tenants by name and nothing of what
they ask.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from hangtag.errors import DeadlineExceeded, Overloaded

RUNNING, WAITING = 256, 1024
MEMORY = 0.05
"""Share of the latest turn in the mean time of turns."""
AGAIN = 1.0
"""Seconds after which to ask again while no turn has ended yet."""


class Admission:
    """At most `running` turns at a time, and `waiting` more in line. Tenants are served in turns, so that one who asks much does
    not make the others wait for all of it. For one event loop."""

    def __init__(self, running: int = RUNNING, waiting: int = WAITING) -> None:
        self._size = self._free = running
        self._room = waiting
        self._lines: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._seconds: float | None = None
        """Mean time of the latest turns, once one has ended."""
        self.waiting = 0
        """How many wait now."""

    @property
    def running(self) -> int:
        """How many have their turn now."""
        return self._size - self._free

    @asynccontextmanager
    async def turn(self, tenant: str, until: float = math.inf) -> AsyncIterator[float]:
        """A turn; gives the seconds waited for it. `until` is when the caller stops listening, by `time.monotonic`. Raises
        `Overloaded` at once where there is no room to wait or no answer by then to be expected, and when the turn comes too late
        for one: what nobody will hear is not worked on. A turn that is free is given whatever is expected of it."""
        asked = time.monotonic()
        await self._enter(tenant, until)
        begun = time.monotonic()
        try:
            yield begun - asked
        finally:
            self._leave()
            took = time.monotonic() - begun
            self._seconds = took if self._seconds is None else self._seconds + MEMORY * (took - self._seconds)

    async def _enter(self, tenant: str, until: float) -> None:
        if self._free:
            self._free -= 1
            return
        if self.waiting >= self._room:
            raise self._refusal(f"{self._size} requests are worked on and {self.waiting} wait")
        if self._answered(self._ahead(tenant)) > until:
            raise self._refusal(f"{self.waiting} requests wait, too many for an answer in time")
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line = self._lines.setdefault(tenant, deque())
        line.append(place)
        self.waiting += 1
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():  # its turn came in the same moment
                self._leave()
            else:
                self._forget(tenant, line, place)
            raise
        finally:
            self.waiting -= 1
        if self._answered(0) > until:
            self._leave()
            raise self._refusal("the turn came too late for an answer in time")

    def _answered(self, ahead: int) -> float:
        """When who has so many ahead in line is likely to have an answer; now, while no turn has shown how long one takes."""
        return time.monotonic() + (self._seconds or 0.0) * (ahead / self._size + 1)

    def _ahead(self, tenant: str) -> int:
        """How many have their turns before one who comes now."""
        mine = len(self._lines.get(tenant, ()))
        return sum(min(len(line), mine + 1) for line in self._lines.values())

    def _refusal(self, why: str) -> Overloaded:
        wait = (self._seconds or AGAIN) * (self.waiting + 1) / self._size
        return Overloaded(f"{why}; ask again later", retry_after=wait)

    def _leave(self) -> None:
        """The turn goes to the first in the line of the tenant who was served longest ago."""
        while self._lines:
            tenant, line = self._lines.popitem(last=False)
            place = line.popleft()
            if line:
                self._lines[tenant] = line
            if not place.done():
                place.set_result(None)
                return
        self._free += 1

    def _forget(self, tenant: str, line: deque[asyncio.Future[None]], place: asyncio.Future[None]) -> None:
        with suppress(ValueError):  # it was passed over already
            line.remove(place)
        if not line and self._lines.get(tenant) is line:
            del self._lines[tenant]


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Cancels what is done in it after `seconds`. Raises `DeadlineExceeded`."""
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise DeadlineExceeded(f"the answer was not ready within {seconds:g} seconds") from error
