"""`Pace`: where short work of a server is done. It knows how long work took, and nothing of what it is.

While a thread holds the interpreter, every call of the event loop that lets go of it (each read, each write) waits for
milliseconds to get it back. So work that is short is done in the loop; longer work goes to a thread, lest everybody wait for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

SHORT = 0.008
"""Seconds of processor time up to which others may wait."""

SHARE = 0.1
"""Of the latest time in the mean."""


class Pace:
    """Of one kind of work."""

    def __init__(self) -> None:
        self._mean = float("inf")
        """Seconds of processor time that the work took lately; nobody knows before the first."""

    @property
    def is_short(self) -> bool:
        """Whether the work was short lately."""
        return self._mean <= SHORT

    async def run(self, work: Callable[[], T], *, usual: bool = True) -> T:
        """What `work` gives. Work that is not `usual` may take longer than the others did, whatever they took."""
        if usual and self.is_short:
            return self._timed(work)
        return await asyncio.to_thread(self._timed, work)

    def _timed(self, work: Callable[[], T]) -> T:
        begun = time.thread_time()
        try:
            return work()
        finally:
            took = time.thread_time() - begun
            self._mean = took if self._mean == float("inf") else self._mean + SHARE * (took - self._mean)
