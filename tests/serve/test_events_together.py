"""Events of many requests at once: what is written together, and that each request has its own outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from hangtag.errors import InvalidHistory, StoreUnavailable
from serve import events_together
from serve.events_together import EventsTogether
from serve.store import Store, Taken, UserEvent
from tests.serve.store.shop import NOW, SHOP, did


class Writer:
    """Runs functions of a store in a thread, and counts the transactions; the first waits until it may go on."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.calls = 0
        self.go = asyncio.Event()

    async def __call__(self, work: Callable[[Store], list[events_together.Outcome]]) -> list[events_together.Outcome]:
        self.calls += 1
        await self.go.wait()
        return await asyncio.to_thread(work, self.store)


def written(path: Path, *parts: Sequence[UserEvent], tenants: Sequence[str] = ()) -> tuple[list[Taken | BaseException], int]:
    """The outcomes of requests that come at once, after a first one that is being written; and how many transactions it took."""

    async def run() -> tuple[list[Taken | BaseException], int]:
        writer = Writer(store)
        together = EventsTogether(writer)
        first = asyncio.create_task(together.add(SHOP, [did("first", "view", "Red")]))
        await asyncio.sleep(0)
        given = zip(parts, tenants or [SHOP] * len(parts), strict=True)
        rest = [asyncio.create_task(together.add(tenant, part)) for part, tenant in given]
        await asyncio.sleep(0)
        writer.go.set()
        assert await first == Taken(1, 0)
        return await asyncio.gather(*rest, return_exceptions=True), writer.calls - 1

    store = Store(f"sqlite:///{path}", clock=lambda: NOW)
    try:
        return asyncio.run(run())
    finally:
        store.close()


def test_what_comes_meanwhile_is_one_transaction_and_each_is_told_its_own(tmp_path: Path) -> None:
    one, two = did("ann", "view", "Red", key="1"), did("bob", "like", "Foldable", key="2")
    outcomes, transactions = written(tmp_path / "a.db", [one], [], [two, one], [did("cat", "view", "Red")])
    assert outcomes == [Taken(1, 0), Taken(0, 0), Taken(1, 1), Taken(1, 0)]
    assert transactions == 1


def test_an_error_is_of_its_request_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    unknown = [did("ann", "view", "Red"), did("ann", "view", product="nothing")]
    future = [did("ann", "view", "Red", hours=-5)]
    same_key = [did("ann", "view", "Red", key="k")], [did("ann", "like", "Red", key="k")]
    outcomes, _ = written(path, [did("bob", "view", "Red")], unknown, future, *same_key)
    assert [outcomes[0], outcomes[3]] == [Taken(1, 0)] * 2
    places = {1: "events[1].product", 2: "events[0].at", 4: "events[0].idempotency_key"}
    for number, field in places.items():
        error = outcomes[number]
        assert isinstance(error, InvalidHistory)
        assert error.field == field
    store = Store(f"sqlite:///{path}", clock=lambda: NOW)
    assert len(store.history(SHOP, "ann")) == 1
    store.close()


def test_a_transaction_has_so_many_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_together, "MOST", 3)
    parts = [[did("ann", "view", "Red", key=f"{part}-{number}") for number in range(2)] for part in range(4)]
    large = [did("ann", "view", "Red", key=f"large {number}") for number in range(7)]
    outcomes, transactions = written(tmp_path / "a.db", *parts, large, [did("ann", "view", "Red", key="last")])
    assert outcomes == [Taken(2, 0)] * 4 + [Taken(7, 0), Taken(1, 0)]
    assert transactions == 6


def test_tenants_are_written_apart(tmp_path: Path) -> None:
    event = did("ann", "view", "Red")
    outcomes, transactions = written(tmp_path / "a.db", [event], [event], tenants=["one", "two"])
    assert outcomes == [Taken(1, 0)] * 2
    assert transactions == 2


@pytest.mark.parametrize("trouble", [StoreUnavailable("down"), ZeroDivisionError()])
def test_everybody_hears_of_a_store_that_fails_and_the_next_is_tried_again(trouble: Exception) -> None:
    async def run() -> None:
        failing = [True]

        async def write(work: Callable[[Store], list[events_together.Outcome]]) -> list[events_together.Outcome]:
            await asyncio.sleep(0)
            if failing[0]:
                raise trouble
            return [Taken(1, 0)]

        together = EventsTogether(write)
        given = [did("ann", "view", "Red")]
        outcomes = await asyncio.gather(*(together.add(SHOP, given) for _ in range(3)), return_exceptions=True)
        assert outcomes == [trouble] * 3
        failing[0] = False
        assert await together.add(SHOP, given) == Taken(1, 0)

    asyncio.run(run())


def test_who_goes_away_is_not_waited_for(tmp_path: Path) -> None:
    async def run(store: Store) -> None:
        writer = Writer(store)
        together = EventsTogether(writer)
        tasks = [asyncio.create_task(together.add(SHOP, [did("ann", "view", "Red", key=str(number))])) for number in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        writer.go.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [outcomes[0], outcomes[2]] == [Taken(1, 0)] * 2
        assert isinstance(outcomes[1], asyncio.CancelledError)

    store = Store(f"sqlite:///{tmp_path / 'a.db'}", clock=lambda: NOW + timedelta(seconds=1))
    asyncio.run(run(store))
    assert len(store.history(SHOP, "ann")) == 3  # what was taken is kept
    store.close()
