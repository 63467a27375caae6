"""`HomeLoop`: an event loop in a thread of its own, for engines whose libraries belong to one loop. Callers come from any loop
and any number of them; it knows nothing of what is run.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from hangtag.errors import EngineError

T = TypeVar("T")


class HomeLoop:
    """Runs coroutines until it is closed: those that run then, and those that come later, end with `EngineError`."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which is cancelled with its caller."""
        if self._closed:
            work.close()
            raise EngineError("the engine is closed")
        try:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._counted(work), self._loop))
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if self._closed and caller is not None and not caller.cancelling():
                raise EngineError("the engine is closed") from None
            raise

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, for a caller without a loop, which is held up meanwhile."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def iterate(self, make: Callable[[], AsyncIterator[T]]) -> AsyncGenerator[T, None]:
        """What an iterator that lives here gives; leaving the iteration cancels it."""
        callers, items, arrived = asyncio.get_running_loop(), list[T](), asyncio.Event()

        def tell(_: object = None) -> None:
            with suppress(RuntimeError):  # the caller's loop is closed: nobody listens
                callers.call_soon_threadsafe(arrived.set)

        async def pump() -> None:
            async for item in make():
                items.append(item)
                tell()

        pumping = asyncio.ensure_future(self.run(pump()))
        pumping.add_done_callback(lambda _: arrived.set())
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

    async def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Cancel what runs, run `last`, and end the thread; a second time nothing."""
        if self._closed:
            last.close()
            return
        self._closed = True
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._end(last), self._loop))
        await asyncio.to_thread(self.stop)

    def stop(self) -> None:
        """End the thread."""
        self._closed = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _counted(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            return await work
        finally:
            self._running.discard(task)

    async def _end(self, last: Coroutine[Any, Any, None]) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await last
