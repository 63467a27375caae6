"""Where work is done, by how long it took."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from serve.pace import SHORT, Pace


def busy(seconds: float) -> threading.Thread:
    begun = time.thread_time()
    while time.thread_time() - begun < seconds:
        pass
    return threading.current_thread()


def test_short_work_is_done_at_once_and_longer_work_in_a_thread() -> None:
    async def scene() -> None:
        pace, here = Pace(), threading.current_thread()
        assert await pace.run(lambda: busy(0)) is not here, "nobody knows how long it takes"
        assert pace.is_short
        assert await pace.run(lambda: busy(0)) is here
        assert await pace.run(lambda: busy(0), usual=False) is not here
        assert await pace.run(lambda: busy(30 * SHORT)) is here
        assert not pace.is_short, "it took longer than others may wait"
        assert await pace.run(lambda: busy(0)) is not here
        for _ in range(60):
            await pace.run(lambda: busy(0))
        assert pace.is_short, "it is short again"

    asyncio.run(scene())


def test_work_that_fails_fails_alike() -> None:
    async def fail(pace: Pace) -> None:
        with pytest.raises(ZeroDivisionError):
            await pace.run(lambda: 1 // 0)

    async def scene() -> None:
        pace = Pace()
        await fail(pace)
        assert pace.is_short
        await fail(pace)

    asyncio.run(scene())
