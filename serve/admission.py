"""`Admission`: how much is worked on at a time, how much may wait, and for how long. It knows tenants by name and nothing of what
they ask.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from hangtag.errors import DeadlineExceeded, Overloaded

RUNNING, WAITING = 256, 1024
MEMORY = 0.05
"""Share of the latest turn in the mean time of turns."""


class Admission:
    """At most `running` turns at a time, and `waiting` more in line. Tenants are served in turns, so that one who asks much does
    not make the others wait for all of it. For one event loop."""

    def __init__(self, running: int = RUNNING, waiting: int = WAITING) -> None:
        self._size = self._free = running
        self._room = waiting
        self._lines: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._seconds = 1.0
        self.waiting = 0
        """How many wait now."""

    @property
    def running(self) -> int:
        """How many have their turn now."""
        return self._size - self._free

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[float]:
        """A turn; gives the seconds waited for it. Raises `Overloaded` at once where there is no room to wait."""
        asked = time.monotonic()
        await self._enter(tenant)
        begun = time.monotonic()
        try:
            yield begun - asked
        finally:
            self._leave()
            self._seconds += MEMORY * (time.monotonic() - begun - self._seconds)

    async def _enter(self, tenant: str) -> None:
        if self._free:
            self._free -= 1
            return
        if self.waiting >= self._room:
            wait = self._seconds * (self.waiting + 1) / self._size
            raise Overloaded(f"{self._size} requests are worked on and {self.waiting} wait; ask again later", retry_after=wait)
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
