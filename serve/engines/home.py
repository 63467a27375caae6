"""`HomeLoop`: an event loop in a thread of its own, for libraries that belong to one loop. Callers come from any loop and any
number of them; it knows nothing of what is run.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


class HomeLoop:
    """Runs coroutines until it is closed."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which is cancelled with its caller."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, for a caller without a loop, which is held up meanwhile."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def iterate(self, make: Callable[[], AsyncIterator[T]]) -> AsyncGenerator[T, None]:
        """What an iterator that lives here gives; leaving the iteration cancels it."""
        callers, arrived = asyncio.get_running_loop(), asyncio.Event()
        items: list[T] = []

        def tell(_: object = None) -> None:
            with suppress(RuntimeError):  # the caller's loop is closed: nobody listens
                callers.call_soon_threadsafe(arrived.set)

        async def pump() -> None:
            async for item in make():
                items.append(item)
                tell()

        pumping = asyncio.run_coroutine_threadsafe(pump(), self._loop)
        pumping.add_done_callback(tell)
        try:
            while True:
                await arrived.wait()
                arrived.clear()
                ended = pumping.done()
                while items:
                    yield items.pop(0)
                if ended:
                    pumping.result()
                    return
        finally:
            pumping.cancel()

    def close(self) -> None:
        """Cancel what runs, and end the thread."""
        if self._thread.is_alive():
            with suppress(asyncio.CancelledError):
                self.wait(self._cancel_others())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _cancel_others(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
